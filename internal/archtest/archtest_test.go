package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestHouse(t *testing.T) {
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			t.Fatal("no go.mod above this folder")
		}
		root = filepath.Dir(root)
	}
	broken, files, err := check(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range broken {
		t.Error(b)
	}
	if files < 50 {
		t.Errorf("only %d files were looked at", files)
	}
}

// check reads every Go file and returns the rules that are broken, as sentences
// that begin with the file.
func check(tree fs.FS) (broken []string, files int, err error) {
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules") {
				return fs.SkipDir
			}
			if _, err := fs.Stat(tree, path.Join(name, "go.mod")); err == nil && name != "." {
				return fs.SkipDir // another module
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		files++
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		s := source{name: name, folder: path.Dir(name), test: strings.HasSuffix(name, "_test.go")}
		for _, rule := range s.check(f, len(text)) {
			broken = append(broken, name+": "+rule)
		}
		return nil
	})
	return broken, files, err
}

type source struct {
	name, folder string
	test         bool
}

func (s source) check(f *ast.File, size int) (broken []string) {
	if size > maxFile && !s.test && !ast.IsGenerated(f) {
		broken = append(broken, fmt.Sprintf("has %d bytes, more than %d; split it", size, maxFile))
	}
	top, inside := strings.CutPrefix(s.folder, "internal/")
	top, _, _ = strings.Cut(top, "/")
	if _, known := layers[top]; inside && !known {
		broken = append(broken, "internal/"+top+" has no layer; add it to the table in archtest")
	}
	if !inside && s.beside() == "" {
		broken = append(broken, s.folder+" is unknown; add it to the table of outside packages in archtest")
	}
	for _, spec := range f.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			broken = append(broken, err.Error())
			continue
		}
		if rule := s.fenced(target); rule != "" {
			broken = append(broken, rule)
		}
		own, ours := strings.CutPrefix(target, module+"/")
		if !ours {
			continue
		}
		if inside {
			if rule := s.inward(own); rule != "" {
				broken = append(broken, rule)
			}
		} else if rule := s.fromOutside(own); rule != "" {
			broken = append(broken, rule)
		}
	}
	if !s.test && slices.ContainsFunc(exact, func(folder string) bool { return within(s.folder, folder) }) {
		ast.Inspect(f, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && slices.Contains(floating, id.Name) {
				broken = append(broken, "uses "+id.Name+"; money never passes through floating point")
			}
			return true
		})
	}
	return broken
}

// inward judges an import of a package of ours by one in internal.
func (s source) inward(target string) string {
	to, internal := strings.CutPrefix(target, "internal/")
	if !internal {
		// The client is above nothing and below what speaks through it.
		if target == "client" && layers[s.top()] >= layers["demo"] {
			return ""
		}
		return "must not import " + target
	}
	from := strings.TrimPrefix(s.folder, "internal/")
	toTop, _, _ := strings.Cut(to, "/")
	high, ok := layers[toTop]
	if !ok {
		return "" // said at the package itself
	}
	low := layers[s.top()]
	switch {
	case toTop == s.top():
		// Within one folder: children import their parents; tests what they like.
		if s.test || strings.HasPrefix(from, to+"/") || slices.Contains(relatives[from], to) {
			return ""
		}
		return fmt.Sprintf("%s must not import %s: neither its parents nor its brothers import a package", from, to)
	case high < low || s.test && high == low:
		return ""
	}
	return fmt.Sprintf("%s (layer %d) must not import %s (layer %d)", from, low, to, high)
}

func (s source) top() string {
	top, _, _ := strings.Cut(strings.TrimPrefix(s.folder, "internal/"), "/")
	return top
}

// beside is the entry of outside that the file belongs to, or "".
func (s source) beside() string {
	for folder := range outside {
		if within(s.folder, folder) {
			return folder
		}
	}
	return ""
}

func (s source) fromOutside(target string) string {
	allowed := outside[s.beside()]
	if within(target, s.beside()) || target == "client" && s.beside() != "cmd/costprof" || slices.Contains(allowed, "*") || slices.Contains(allowed, target) {
		return ""
	}
	return "must not import " + target
}

func (s source) fenced(target string) string {
	if s.test {
		return ""
	}
	for fence, folders := range fences {
		if target != fence && !strings.HasPrefix(target, strings.TrimSuffix(fence, "/")+"/") {
			continue
		}
		if !slices.ContainsFunc(folders, func(folder string) bool { return within(s.folder, folder) }) {
			if len(folders) == 0 {
				return "imports " + target + ", which only tests may"
			}
			return fmt.Sprintf("imports %s, which only %s may", target, strings.Join(folders, ", "))
		}
	}
	return ""
}

// within says whether folder is parent or below it.
func within(folder, parent string) bool {
	return folder == parent || strings.HasPrefix(folder, parent+"/")
}
