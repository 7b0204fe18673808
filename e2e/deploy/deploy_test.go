// Package deploy holds the files below deploy, docker-compose.yml and Dockerfile
// to what the program knows. That an image builds and a cluster takes them is not
// tried here.
package deploy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func manifests(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{"docker-compose.yml": read(t, "docker-compose.yml")}
	for _, folder := range []string{"", "base", "embedded"} {
		files, err := filepath.Glob(filepath.Join(root, "deploy", "kubernetes", folder, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			rel, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			out[rel] = read(t, rel)
		}
	}
	return out
}

// Every file of YAML can be read, and repeats no key.
func TestManifestsRead(t *testing.T) {
	files := manifests(t)
	if len(files) < 10 {
		t.Fatalf("only %d files", len(files))
	}
	for name, text := range files {
		d := yaml.NewDecoder(bytes.NewBufferString(text))
		for {
			var v map[string]any
			err := d.Decode(&v)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
		}
	}
}

var (
	setting = regexp.MustCompile(`\b(?:COSTPROF_[A-Z0-9_]+|API_KEYS|DATABASE_[A-Z_]+|DB_[A-Z]+|LOG_[A-Z]+)\b`)
	ofServe = regexp.MustCompile("`([A-Z][A-Z0-9_]+)`")
	graces  = regexp.MustCompile(`(?:stop_grace_period: |TimeoutStopSec=|terminationGracePeriodSeconds: )(\d+)`)
)

// Whatever the files set is a setting, and whoever stops the server waits longer
// than it takes to stop.
func TestSettingsAndGrace(t *testing.T) {
	known := map[string]bool{}
	for _, m := range ofServe.FindAllStringSubmatch(read(t, "README.md"), -1) {
		known[m[1]] = true
	}
	files := manifests(t)
	for _, name := range []string{"Dockerfile", "deploy/systemd/costprof.service", "deploy/costprof.env.example"} {
		files[name] = read(t, name)
	}
	const closing = 30 * time.Second // app.closeWait
	waits := 0
	for name, text := range files {
		for _, s := range setting.FindAllString(text, -1) {
			if !known[s] {
				t.Errorf("%s names %s, which is no setting", name, s)
			}
		}
		for _, m := range graces.FindAllStringSubmatch(text, -1) {
			waits++
			d, err := time.ParseDuration(m[1] + "s")
			if err != nil || d < defaultGrace(t)+closing {
				t.Errorf("%s waits %v for the server to stop, which may take %v", name, d, defaultGrace(t)+closing)
			}
		}
	}
	if waits < 4 {
		t.Errorf("only %d files say how long to wait", waits)
	}
}

func defaultGrace(t *testing.T) time.Duration {
	t.Helper()
	m := regexp.MustCompile(`COSTPROF_SHUTDOWN_GRACE" default:"(\w+)"`).FindStringSubmatch(read(t, "internal/config/config.go"))
	if m == nil {
		t.Fatal("the setting has no default")
	}
	d, err := time.ParseDuration(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The tools of systemd and Kubernetes have no objection, where they are installed.
func TestToolsAccept(t *testing.T) {
	if path, err := exec.LookPath("systemd-analyze"); err == nil {
		unit := strings.Replace(read(t, "deploy/systemd/costprof.service"), "/usr/local/bin/costprof serve", "/bin/true", 1)
		file := filepath.Join(t.TempDir(), "costprof.service")
		if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(path, "verify", file).CombinedOutput(); err != nil || strings.Contains(string(out), "costprof.service:") {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
	if path, err := exec.LookPath("kubectl"); err == nil {
		for folder, kind := range map[string]string{"base": "kind: Deployment", "embedded": "kind: StatefulSet"} {
			out, err := exec.Command(path, "kustomize", filepath.Join(root, "deploy", "kubernetes", folder)).CombinedOutput()
			if err != nil || !strings.Contains(string(out), kind) {
				t.Errorf("kubectl kustomize %s: %v\n%s", folder, err, out)
			}
		}
	}
}
