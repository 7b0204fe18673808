package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRun(t *testing.T) {
	list := filepath.Join("..", "genaiprices", "testdata", "list.json")
	out := filepath.Join(t.TempDir(), "book.json")
	if err := run(list, out, "9.9.9", "2026-01-01"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("..", "genaiprices", "testdata", "book.golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("built %s", got)
	}

	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte(`[{"id":"p","price":1}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	// A list that cannot be read leaves the book as it was.
	for _, args := range [][4]string{
		{broken, out, "9.9.9", "2026-01-01"},
		{list, out, "9.9.9", "yesterday"},
		{list, out, "", "2026-01-01"},
		{filepath.Join(t.TempDir(), "none"), out, "9.9.9", "2026-01-01"},
	} {
		if err := run(args[0], args[1], args[2], args[3]); err == nil {
			t.Errorf("%v: built", args)
		}
	}
	if again, err := os.ReadFile(out); err != nil || string(again) != string(want) {
		t.Errorf("the book changed: %v", err)
	}
}
