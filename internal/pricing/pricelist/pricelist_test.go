package pricelist

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/costprof/costprof/internal/fault"
)

func file(t testing.TB, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRead(t *testing.T) {
	for _, test := range []struct {
		form            Form
		text            string
		source, version string
		listed          string
	}{
		{Book, file(t, "book.json"), "@pydantic/genai-prices", "0.1.8", "2026-09-23"},
		{GenaiPrices, file(t, "genaiprices", "testdata", "list.json"), "@pydantic/genai-prices", "", "2026-11-01"},
		{LiteLLM, file(t, "litellm", "testdata", "list.json"), "litellm", "", "2026-11-01"},
	} {
		for _, lead := range []string{"", "\uFEFF", " \n"} {
			l, err := Read([]byte(lead+test.text), Said{Listed: "2026-11-01"})
			if err != nil {
				t.Errorf("%s: %v", test.form, err)
				continue
			}
			p := l.Data.Provenance
			if l.Form != test.form || p.Source != test.source || p.Listed != test.listed || test.version != "" && p.Version != test.version || !strings.HasPrefix(p.Version, test.version) || p.Version == "" {
				t.Errorf("%s: %+v", l.Form, p)
			}
		}
	}
	l, err := Read([]byte(file(t, "litellm", "testdata", "list.json")), Said{Version: "1.2", Listed: "2026-11-01"})
	if err != nil || l.Data.Version != "1.2" || l.Entries == 0 || len(l.Skipped) == 0 {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestReadRefuses(t *testing.T) {
	book := file(t, "book.json")
	for name, test := range map[string][2]string{
		"empty":         {" \n", "empty"},
		"no JSON":       {"<html>", "not JSON"},
		"nothing":       {`{"a":1}`, "no form that is known"},
		"truncated":     {book[:len(book)-100], "line "},
		"a slip":        {strings.Replace(book, `"gateways": [`, `"gateways": [,`, 1), "line 8, column 14"},
		"half an array": {`[{"id":"p"`, "line 1, column 11"},
		"wrong format":  {`{"format":"costprof/book/9","providers":[]}`, "costprof/book/9"},
		"a bad price":   {strings.Replace(book, `"input":2.5`, `"input":"2.5"`, 1), "line "},
		"a bad rule":    {strings.Replace(book, `{"contains":"azure"}`, `{"regex":"("}`, 1), "cannot be used"},
	} {
		_, err := Read([]byte(test[0]), Said{Listed: "2026-11-01"})
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), test[1]) {
			t.Errorf("%s: %v, want %q", name, err, test[1])
		}
	}
	if _, err := Read(make([]byte, MaxSize+1), Said{}); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("too large: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(file(f, "genaiprices", "testdata", "list.json")))
	f.Add([]byte(file(f, "genaiprices", "testdata", "book.golden.json")))
	f.Add([]byte(file(f, "litellm", "testdata", "list.json")))
	f.Fuzz(func(t *testing.T, list []byte) {
		l, err := Read(list, Said{Listed: "2026-11-01"})
		if (l == nil) == (err == nil) {
			t.Fatalf("%v, %v", l, err)
		}
		if err != nil && fault.CodeOf(err) != fault.Invalid {
			t.Fatalf("%v", err)
		}
	})
}
