package export

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// newFake is a server that exports what a test says.
func newFake(t *testing.T, export http.HandlerFunc) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/export/events") {
			export(w, r)
			return
		}
		_, _ = io.WriteString(w, `{"status":"ok"}`)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func command(dir, url string, args ...string) *exec.Cmd {
	cmd := exec.Command(built, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "COSTPROF_URL="+url)
	return cmd
}
