package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReadmeListsSettings keeps the table of the README in step with Config.
func TestReadmeListsSettings(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- settings -->\n", "<!-- /settings -->"
	_, rest, found := strings.Cut(string(b), begin)
	got, _, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("README.md has no table between %q and %q", begin, end)
	}
	want := readmeTable(reflect.TypeFor[Config]())
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the settings in README.md are not those of Config (-Config +README):\n%s\nThe table should be:\n%s", diff, want)
	}
}

func readmeTable(config reflect.Type) string {
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	code := func(s string) string {
		if s == "" {
			return ""
		}
		return "`" + cell.Replace(s) + "`"
	}
	var table strings.Builder
	table.WriteString("| flag | environment | default | what |\n|---|---|---|---|\n")
	for i := range config.NumField() {
		tag := config.Field(i).Tag
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n",
			code("--"+tag.Get("name")), code(tag.Get("env")), code(tag.Get("default")), cell.Replace(tag.Get("help")))
	}
	return table.String()
}
