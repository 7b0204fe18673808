package deploy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/costprof/costprof/internal/testserver"
)

var (
	metric    = regexp.MustCompile(`\b(?:costprof|go|process)_[a-z_]+\b`)
	selector  = regexp.MustCompile(`\b((?:costprof|go|process)_[a-z_]+)\{([^}]*)\}`)
	labelName = regexp.MustCompile(`(\w+)=~?"`)
	byLabels  = regexp.MustCompile(`by \(([^)]*)\)`)
)

// expressions are those of the dashboard and the alerts, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/costprof.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for i, target := range p.Targets {
			out[fmt.Sprintf("panel %s, %d", p.Title, i)] = target.Expr
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/prometheus/costprof.rules.yaml")), &rules); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			out["alert "+r.Alert] = r.Expr
		}
	}
	if len(out) < 30 {
		t.Fatalf("only %d expressions", len(out))
	}
	return out
}

// scraped is what a real server answers at /metrics: the labels of each name. Its
// Redis is away, which is no reason not to start.
func scraped(t *testing.T) map[string][]string {
	t.Helper()
	s := testserver.Serve(t, testserver.Binary(t), "REDIS_URL=redis://127.0.0.1:1")
	ask := func(path string) string {
		answer, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatalf("%v\n%s", err, s.Log())
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", path, answer.StatusCode, err)
		}
		return string(text)
	}
	ask("/api/v1/analytics/features") // so that requests were counted
	out := map[string][]string{}
	for line := range strings.SplitSeq(ask("/metrics"), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		name, labels, _ := strings.Cut(name+" "+rest, "{")
		name, _, _ = strings.Cut(name, " ")
		for _, m := range labelName.FindAllStringSubmatch(labels, -1) {
			out[name] = append(out[name], m[1])
		}
		out[name] = append(out[name], "instance", "job") // of Prometheus itself
	}
	return out
}

// Dashboard and alerts name what the server tells, with labels that it has.
func TestMetricsExist(t *testing.T) {
	told := scraped(t)
	for where, expr := range expressions(t) {
		names := metric.FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("%s names no metric: %s", where, expr)
		}
		for _, name := range names {
			if told[name] == nil {
				t.Errorf("%s names %s, which the server does not tell", where, name)
			}
		}
		for _, m := range selector.FindAllStringSubmatch(expr, -1) {
			for _, label := range labelName.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(told[m[1]], label[1]) {
					t.Errorf("%s selects %s by %s, which it does not have", where, m[1], label[1])
				}
			}
		}
		for _, m := range byLabels.FindAllStringSubmatch(expr, -1) {
			for label := range strings.SplitSeq(m[1], ",") {
				if !slices.ContainsFunc(names, func(name string) bool { return slices.Contains(told[name], strings.TrimSpace(label)) }) {
					t.Errorf("%s groups by %s, which none of its metrics has", where, label)
				}
			}
		}
	}
}
