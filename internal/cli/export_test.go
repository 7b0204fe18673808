package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// A file that was cut off goes on behind the last part that is whole, with what
// the first run asked for.
func TestExportResumes(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if !strings.HasSuffix(r.URL.Path, "/export/events") {
			fmt.Fprint(w, `{"status":"ok"}`)
			return
		}
		if q.Get("feature") != "chat" {
			t.Errorf("asked for %s", r.URL.RawQuery)
		}
		w.Header().Set("Trailer", "X-Next-Cursor")
		switch q.Get("cursor") {
		case "":
			w.Header().Set("X-Total-Count", "4")
			fmt.Fprint(w, "id\r\n1\r\n2\r\n")
			w.Header().Set("X-Next-Cursor", "c2")
		case "c2":
			fmt.Fprint(w, "3\r\n")
			if broken.Load() {
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			fmt.Fprint(w, "4\r\n")
		}
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "x.csv")
	o := run(t, "export", "events", "--server", server.URL, "-o", path, "--feature", "chat")
	if o.code == 0 || !strings.Contains(o.err, "--resume goes on") {
		t.Fatalf("%+v", o)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("half a file has the name of the whole: %v", err)
	}
	broken.Store(false)
	if o = run(t, "export", "events", "--server", server.URL, "-o", path, "--resume"); o.code != 0 {
		t.Fatalf("%+v", o)
	}
	got, err := os.ReadFile(path)
	if want := "id\r\n1\r\n2\r\n3\r\n4\r\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	left, _ := filepath.Glob(path + ".*")
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
