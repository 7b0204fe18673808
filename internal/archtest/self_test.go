package archtest

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// file makes a Go file with imports; "ours/" stands for the module.
func file(imports ...string) string {
	text := "package p\n"
	for _, i := range imports {
		text += fmt.Sprintf("import %q\n", strings.Replace(i, "ours/", module+"/", 1))
	}
	return text
}

// The checker catches what it is for. Each planted file breaks one rule.
func TestCheckerCatches(t *testing.T) {
	for name, c := range map[string]struct{ path, text, want string }{
		"a higher layer":                {"internal/money/a.go", file("ours/internal/usage"), "(layer 0) must not import usage (layer 1)"},
		"its own layer":                 {"internal/report/a.go", file("ours/internal/ingest"), "(layer 6) must not import ingest (layer 6)"},
		"a higher layer, from a test":   {"internal/usage/a_test.go", file("ours/internal/store"), "(layer 1) must not import store (layer 4)"},
		"a higher layer, from a child":  {"internal/store/duckdb/a.go", file("ours/internal/report"), "must not import report"},
		"a child of a higher layer":     {"internal/pricing/a.go", file("ours/internal/store/duckdb"), "must not import store/duckdb (layer 4)"},
		"a child by its parent":         {"internal/store/a.go", file("ours/internal/store/duckdb"), "store must not import store/duckdb"},
		"a brother":                     {"internal/store/duckdb/a.go", file("ours/internal/store/engines"), "store/duckdb must not import store/engines"},
		"a brother among formats":       {"internal/ingest/csvevents/a.go", file("ours/internal/ingest/jsonevents"), "must not import ingest/jsonevents"},
		"a package without a layer":     {"internal/helpers/a.go", file(), "internal/helpers has no layer; add it to the table"},
		"an unknown place":              {"pkg/x/a.go", file(), "pkg/x is unknown"},
		"internal by the client":        {"client/a.go", file("ours/internal/money"), "must not import internal/money"},
		"more by the command":           {"cmd/costprof/main.go", file("ours/internal/app"), "must not import internal/app"},
		"the client by the domain":      {"internal/report/a.go", file("ours/client"), "must not import client"},
		"a driver outside its engine":   {"internal/report/a.go", file("github.com/duckdb/duckdb-go/v2"), "imports github.com/duckdb/duckdb-go/v2, which only internal/store/duckdb"},
		"a driver in the seam":          {"internal/store/a.go", file("github.com/duckdb/duckdb-go/v2"), "which only internal/store/duckdb"},
		"SQL outside the store":         {"internal/rating/a.go", file("database/sql"), "imports database/sql"},
		"a part of a fenced library":    {"internal/app/a.go", file("github.com/danielgtaylor/huma/v2/adapters/humago"), "which only internal/httpapi"},
		"decimals outside money":        {"internal/pricing/a.go", file("github.com/cockroachdb/apd/v3"), "which only internal/money"},
		"flags outside the edges":       {"internal/httpapi/a.go", file("github.com/alecthomas/kong"), "which only internal/config"},
		"metrics in the domain":         {"internal/ingest/a.go", file("github.com/prometheus/client_golang/prometheus"), "which only internal/httpapi"},
		"a test library in the program": {"internal/report/a.go", file("pgregory.net/rapid"), "which only tests may"},
		"the oracle in the program":     {"internal/report/a.go", file("ours/internal/store/reference"), "which only internal/store may"},
		"floating point in money":       {"internal/money/a.go", "package p\nvar x float64", "uses float64"},
		"floating point without a type": {"internal/pricing/sub/a.go", "package p\nimport \"strconv\"\nvar x, _ = strconv.ParseFloat(\"\", 64)", "uses ParseFloat"},
		"a file that is too large":      {"internal/report/a.go", "package p\n//" + strings.Repeat("x", maxFile), "split it"},
	} {
		broken, files, err := check(fstest.MapFS{c.path: {Data: []byte(c.text)}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if files != 1 || len(broken) != 1 || !strings.HasPrefix(broken[0], c.path+": ") || !strings.Contains(broken[0], c.want) {
			t.Errorf("%s: got %q, want one sentence with %q", name, broken, c.want)
		}
	}
	if _, _, err := check(fstest.MapFS{"internal/money/a.go": {Data: []byte("no Go")}}); err == nil {
		t.Error("a file that is not Go passes")
	}
}

func TestCheckerAllows(t *testing.T) {
	for name, c := range map[string]struct{ path, text string }{
		"a lower layer":                 {"internal/report/a.go", file("ours/internal/store", "ours/internal/money", "fmt")},
		"a parent":                      {"internal/store/duckdb/a.go", file("ours/internal/store", "github.com/duckdb/duckdb-go/v2", "database/sql")},
		"the list of engines":           {"internal/store/engines/a.go", file("ours/internal/store/duckdb")},
		"an engine's test":              {"internal/store/duckdb/a_test.go", file("ours/internal/store/storetest", "testing")},
		"a brother in a test":           {"internal/ingest/csvevents/a_test.go", file("ours/internal/ingest/jsonevents")},
		"the oracle in a test":          {"internal/report/a_test.go", file("ours/internal/store/reference", "pgregory.net/rapid")},
		"a child of a lower layer":      {"internal/app/a.go", file("ours/internal/store/engines")},
		"the client by the tool":        {"internal/cli/a.go", file("ours/client", "github.com/alecthomas/kong")},
		"the tool by the command":       {"cmd/costprof/main.go", file("ours/internal/cli", "os")},
		"anything by an end-to-end run": {"e2e/crash/a_test.go", file("ours/internal/store/engines", "ours/client")},
		"floating point elsewhere":      {"internal/report/a.go", "package p\nvar x float64"},
		"floating point in a test":      {"internal/money/a_test.go", "package p\nvar x float64"},
		"a large generated file":        {"internal/report/a.go", "// Code generated by x; DO NOT EDIT.\n\npackage p\n//" + strings.Repeat("x", maxFile)},
		"a large test":                  {"internal/report/a_test.go", "package p\n//" + strings.Repeat("x", maxFile)},
		"what no compiler reads":        {"internal/report/testdata/a.go", "no Go"},
	} {
		if broken, _, err := check(fstest.MapFS{c.path: {Data: []byte(c.text)}}); err != nil || len(broken) > 0 {
			t.Errorf("%s: %q, %v", name, broken, err)
		}
	}
	other := fstest.MapFS{"tools/go.mod": {Data: []byte("module tools")}, "tools/a.go": {Data: []byte(file("pgregory.net/rapid"))}}
	if broken, files, err := check(other); err != nil || files != 0 || len(broken) > 0 {
		t.Errorf("another module: %d files, %q, %v", files, broken, err)
	}
}
