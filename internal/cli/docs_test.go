package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var (
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
	ourCommand = regexp.MustCompile(`(?m)(?:^|[|(] *|&& *)(?:bin/)?costprof ((?:\\\n|[^\n])*)`)
	nested     = regexp.MustCompile(`"\$\(([^)]*)\)"`)
	shellWords = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"])+`)
	shellEnd   = regexp.MustCompile(`\s+#.*|\s*(?:\||>|&&|\)).*`)
)

// Every command that the documents and the help show is one that there is. Their
// stories are told by e2e/cli.
func TestDocumentedCommandsParse(t *testing.T) {
	texts := map[string]string{}
	for _, file := range []string{"../../README.md", "../../docs/guide.md"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range shellBlock.FindAllStringSubmatch(string(b), -1) {
			texts[file] += block[1] + "\n"
		}
	}
	parser, err := kong.New(&root{}, kong.Name("costprof"))
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range parser.Model.Leaves(false) {
		_, examples, _ := strings.Cut(node.Detail, "Examples:")
		texts[node.Path()+" --help"] = strings.ReplaceAll(examples, "\n  ", "\n")
	}
	seen := 0
	for where, text := range texts {
		for _, inner := range nested.FindAllStringSubmatch(text, -1) {
			text += "\n" + inner[1]
		}
		text = nested.ReplaceAllString(text, "WORD")
		for _, found := range ourCommand.FindAllStringSubmatch(text, -1) {
			line := shellEnd.ReplaceAllString(strings.ReplaceAll(found[1], "\\\n", " "), "")
			var args []string
			for _, word := range shellWords.FindAllString(line, -1) {
				args = append(args, strings.Trim(word, `'"`))
			}
			parser, err := kong.New(&root{}, kong.Name("costprof"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(args); err != nil {
				t.Errorf("%s: costprof %s: %v", where, line, err)
			}
			seen++
		}
	}
	if seen < 60 {
		t.Errorf("only %d commands were found", seen)
	}
}
