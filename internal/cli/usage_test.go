package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Who reads help wants to know what happens without the flag, and what to type.
func TestHelpIsComplete(t *testing.T) {
	commands := []string{
		"serve", "demo", "import", "top", "breakdown", "flame", "series", "prompts", "events", "jobs", "health", "doctor",
		"prices list", "prices quote", "prices explain", "prices unpriced", "prices set", "prices delete", "prices update", "prices rerate",
	}
	for _, command := range commands {
		got := run(t, append(strings.Fields(command), "--help")...)
		if got.code != 0 || !strings.Contains(got.out, "\nExamples:\n\n    ") || !strings.Contains(got.out, "costprof "+command) {
			t.Errorf("%s --help has no example of it:\n%s", command, got.out)
		}
		if again := run(t, append([]string{"help"}, strings.Fields(command)...)...); again != got {
			t.Errorf("help %s differs from %s --help", command, command)
		}
	}
	for command, want := range map[string]string{
		"flame": "default feature,model)", "top": "default feature,model,user)", "serve": "default ./costprof-data, $COSTPROF_DATA)",
		"breakdown": "the last 30 days", "series": "default http://127.0.0.1:3100, $COSTPROF_URL)",
	} {
		if got := strings.Join(strings.Fields(run(t, command, "--help").out), " "); !strings.Contains(got, want) {
			t.Errorf("%s --help lacks %q", command, want)
		}
	}
	if got := run(t, "serve", "--help"); strings.Contains(got.out, "--server") || strings.Contains(got.out, "--json") {
		t.Errorf("serve --help shows flags that mean nothing to it:\n%s", got.out)
	}
}

// A setting that makes no sense stops the start with one line that names it.
func TestSettingsFailWithOneLine(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(file, []byte("prot: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"costprof: config file " + file + `: unknown key "prot"` + "\n":                              {"--config", file},
		"costprof: PORT (--port): must be between 0 and 65535\n":                                     {"--port", "70000"},
		`costprof: unknown flag --prot, did you mean "--port"? (see "costprof serve --help")` + "\n": {"--prot", "1"},
		"costprof: config file " + dir + "/none: no such file or directory\n": {
			"--config", dir + "/none",
		},
	} {
		got := run(t, append([]string{"serve", "--data", dir}, args...)...)
		if got.code != exitUsage || got.err != want {
			t.Errorf("%v: code %d, %q, want %q", args, got.code, got.err, want)
		}
	}
}

// What the server refuses about a question is a mistake in the command line, in
// its words.
func TestRefusedArgumentsAreUsageErrors(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":"Validation failed","details":{"groupBy":["must be a dimension"],"tz":["must be a zone"]}}`)
	}))
	defer s.Close()
	got := run(t, "--server", s.URL, "breakdown", "x")
	if want := (outcome{code: exitUsage, err: "costprof: --tz must be a zone; the dimension must be a dimension\n"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestForeignServer(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	for _, args := range [][]string{{"top"}, {"health"}, {"demo"}, {"prices", "quote", "p", "m", "--input", "1"}} {
		got := run(t, append([]string{"--server", s.URL}, args...)...)
		want := "costprof: the server answered 404 Not Found; is " + s.URL + " the address of a costprof server?\n"
		if got.code != exitFailed || got.err != want {
			t.Errorf("%v: %+v, want %q", args, got, want)
		}
	}
}

func TestEmptyServerVariableIsNotSet(t *testing.T) {
	t.Setenv("COSTPROF_URL", "")
	if got := run(t, "version"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	s := &session{root: &root{}}
	if c, err := s.connect(); err != nil || c.BaseURL() != defaultServer {
		t.Errorf("%v, want a client of %s", err, defaultServer)
	}
}

func TestDimensions(t *testing.T) {
	for in, want := range map[string][]string{
		"feature model":      {"feature", "model"},
		"feature,model":      {"feature", "model"},
		"feature,tag:a,b":    {"feature", "tag:a,b"},
		"tag:a,b model":      {"tag:a,b", "model"},
		"user,,environment ": {"user", "", "environment"},
	} {
		if diff := cmp.Diff(want, dimensions(strings.Fields(in))); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}

func TestNothingFoundSaysWhatToDo(t *testing.T) {
	server := answers(t, map[string]string{
		"/api/v1/analytics/cost-breakdown": `{"data":[],"meta":{"totalCost":0}}`,
		"/api/v1/analytics/flamegraph":     `{"data":{"name":"Project","value":0},"meta":{}}`,
		"/api/v1/analytics/timeseries":     `{"data":[{"timestamp":"2026-01-01T00:00:00Z","cost":0,"callCount":0}],"meta":{}}`,
		"/api/v1/events":                   `{"data":[]}`,
	})
	for _, command := range []string{"top", "breakdown", "flame", "series", "events"} {
		got := run(t, "--server", server, command)
		if all := got.out + got.err; got.code != 0 || !strings.Contains(all, "--last") || !strings.Contains(all, "costprof demo") || strings.Contains(all, "2026-01-01") {
			t.Errorf("%s: %+v", command, got)
		}
		got = run(t, "--server", server, command, "--feature", "x")
		if all := got.out + got.err; got.code != 0 || !strings.Contains(all, "No calls match") || strings.Contains(all, "costprof demo") {
			t.Errorf("%s with a filter: %+v", command, got)
		}
	}
}

func TestEventTimesAreOfTheZone(t *testing.T) {
	server := answers(t, map[string]string{"/api/v1/events": `{"data":[{"timestamp":"2026-11-21T20:00:00Z","feature":"f","cost":1}]}`})
	for zone, want := range map[string]string{
		"":               "TIME (UTC)           FEATURE  MODEL   INPUT  CACHED  OUTPUT  COST  SOURCE  LATENCY  STATUS  ID\n2026-11-21 20:00:00  ",
		"Asia/Kathmandu": "TIME (Asia/Kathmandu)  FEATURE  MODEL   INPUT  CACHED  OUTPUT  COST  SOURCE  LATENCY  STATUS  ID\n2026-11-22 01:45:00    ",
	} {
		if got := run(t, "--server", server, "events", "--tz", zone); got.code != 0 || !strings.HasPrefix(got.out, want) {
			t.Errorf("%q: %+v", zone, got)
		}
	}
	for _, zone := range []string{"Mars", "Local"} {
		if got := run(t, "--server", server, "events", "--tz", zone); got.code != exitUsage {
			t.Errorf("%q: %+v", zone, got)
		}
	}
}

// A note must not come before the table that it is about.
func TestNotesComeAfterWhatTheyAreAbout(t *testing.T) {
	server := answers(t, map[string]string{"/api/v1/analytics/cost-breakdown": `{"data":[{"name":"a","totalCost":1,"unpricedCalls":2}],"meta":{},"pagination":{"nextCursor":"c"}}`})
	var both strings.Builder
	code := Run(t.Context(), []string{"--server", server, "breakdown"}, Stdio{Out: &both, Err: &both})
	table, more, unpriced := strings.Index(both.String(), "FEATURE"), strings.Index(both.String(), "more rows"), strings.Index(both.String(), "2 calls have no price")
	if code != 0 || table < 0 || more < table || unpriced < more {
		t.Errorf("code %d:\n%s", code, both.String())
	}
}

func TestExplainWithoutProvider(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/prices" {
			io.WriteString(w, `{"data":[]}`)
			return
		}
		switch r.URL.Query().Get("provider") + "/" + r.URL.Query().Get("model") {
		case "/known":
			io.WriteString(w, `{"data":{"because":"a price needs a provider and a model","candidates":[],"listed":["maker","reseller"]}}`)
		case "maker/known":
			io.WriteString(w, `{"data":{"because":"maker lists known","candidates":[{"chosen":true,"why":"in force","price":{"priceId":"p_1","prices":{"input":2.5}}},
				{"why":"it has ended","price":{"priceId":"p_2","effectiveTo":"2026-01-01T00:00:00Z","region":"eu","prices":{"input":3}}}]}}`)
		default:
			io.WriteString(w, `{"data":{"because":"a price needs a provider and a model","candidates":[]}}`)
		}
	}))
	defer s.Close()
	got := run(t, "--server", s.URL, "prices", "explain", "known")
	want := outcome{
		out: "maker lists known\n\nPrices that could apply, in precedence:\n" +
			"→ p_1\n    input $2.5\n    in force\n" +
			"  p_2 for region eu, from – to 2025-12-31\n    input $3\n    it has ended\n",
		err: "Other providers list it, too: reseller; --provider names one.\n",
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Error(diff)
	}
	if got := run(t, "--server", s.URL, "prices", "explain", "unknown"); got.code != 0 || !strings.Contains(got.out, "No provider of the price book lists unknown") {
		t.Errorf("%+v", got)
	}
}

// Programs find every answer of a server below data.
func TestJSONOfChangesHasTheServersForm(t *testing.T) {
	server := answers(t, map[string]string{
		"/api/v1/prices/quote": `{"data":{"cost":0.1,"costSource":"catalog","lines":[]}}`,
		"/api/v1/prices":       `{"data":{"priceId":"p_1","provider":"p","model":"m","prices":{"input":1}}}`,
	})
	for want, args := range map[string][]string{
		`{"data":{"cost":0.1,`:             {"quote", "p", "m", "--input", "1"},
		`{"data":{"priceId":"p_1",`:        {"set", "p", "m", "input=1"},
		`{"data":{"deleted":true}}` + "\n": {"delete", "p", "m"},
	} {
		if got := run(t, append([]string{"--server", server, "--json", "prices"}, args...)...); got.code != 0 || !strings.HasPrefix(got.out, want) {
			t.Errorf("%v: %+v, want %s…", args, got, want)
		}
	}
}
