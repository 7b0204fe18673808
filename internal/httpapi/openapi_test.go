package httpapi

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

func TestDocumentGolden(t *testing.T) {
	f := setup(t)
	got := f.get("/openapi.json").want(200).body
	const golden = "testdata/openapi.golden.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the document changed; look at the difference after: go test ./internal/httpapi -run TestDocumentGolden -update")
	}
}

func TestDocumentIsValid(t *testing.T) {
	f := setup(t)
	if err := f.doc.Validate(t.Context()); err != nil {
		t.Errorf("not a valid OpenAPI document: %v", err)
	}
	if !strings.HasPrefix(f.doc.OpenAPI, "3.1") {
		t.Errorf("version %s", f.doc.OpenAPI)
	}
}

// What the mux serves is documented and what is documented is served.
func TestDocumentIsComplete(t *testing.T) {
	f := setup(t)
	served := map[string]bool{}
	for _, rt := range f.api.server.routes() {
		for _, p := range rt.paths() {
			served[rt.method+" "+strings.TrimSuffix(p, "{$}")] = true
		}
	}
	ids := map[string]string{}
	for path, item := range f.doc.Paths.Map() {
		for method, op := range item.Operations() {
			at := method + " " + path
			if !served[at] {
				t.Errorf("%s is documented and not served", at)
			}
			delete(served, at)
			if other := ids[op.OperationID]; other != "" || op.OperationID == "" {
				t.Errorf("%s and %s have the id %q", at, other, op.OperationID)
			}
			ids[op.OperationID] = at
			if op.Summary == "" || len(op.Tags) == 0 {
				t.Errorf("%s has no summary or tag", at)
			}
			for _, p := range op.Parameters {
				if p.Value.Description == "" && p.Value.In == "query" {
					t.Errorf("%s: %s has no description", at, p.Value.Name)
				}
			}
			// It answers, with anything but "no such path" and "wrong method".
			probe := f.do(method, strings.ReplaceAll(path, "{id}", "00000000000000000000000000000000"), "")
			if probe.status == 405 || probe.status == 404 && !strings.Contains(path, "{") {
				t.Errorf("%s answers %d", at, probe.status)
			}
		}
	}
	for at := range served {
		t.Errorf("%s is served and not documented", at)
	}
}
