package cli

import (
	"cmp"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// input is one file to load.
type input struct {
	path string
	// found says that it lay in a folder, so that nobody named it.
	found bool
	// spooled is where standard input was put aside, waiting what is open already.
	spooled string
	waiting *opened
}

type opened struct {
	src    *source
	reader io.Reader
	kind   format
}

// endings are the names of files that are looked at in a folder.
var endings = []string{".jsonl", ".ndjson", ".json", ".csv", ".log", ".sse"}

var packings = []string{".gz", ".zst", ".zstd"}

// expand finds the files that arguments name: folders with all below them, and
// patterns where no shell did it.
func expand(arguments []string) ([]input, error) {
	var out []input
	known := map[string]bool{}
	add := func(in input) {
		if !known[in.path] || in.path == "-" {
			known[in.path] = true
			out = append(out, in)
		}
	}
	for _, path := range arguments {
		if path == "-" {
			if known[path] {
				return nil, usagef("standard input (-) can be read once")
			}
			add(input{path: path})
			continue
		}
		paths := []string{path}
		_, err := os.Stat(path)
		if err != nil && strings.ContainsAny(path, "*?[") {
			if paths, err = filepath.Glob(path); err != nil || len(paths) == 0 {
				return nil, usagef("%s matches no file", path)
			}
		} else if err != nil {
			return nil, usagef("%s: %v", path, withoutPath(err))
		}
		for _, p := range paths {
			info, err := os.Stat(p)
			if err != nil {
				return nil, usagef("%s: %v", p, withoutPath(err))
			}
			if !info.IsDir() {
				add(input{path: p})
				continue
			}
			files, err := below(p)
			if err != nil {
				return nil, usagef("%s: %v", p, withoutPath(err))
			}
			if len(files) == 0 {
				return nil, usagef("%s holds no file that ends in %s", p, strings.Join(endings, ", "))
			}
			for _, f := range files {
				add(input{path: f, found: true})
			}
		}
	}
	return out, nil
}

// below lists the logs in a folder, those that were finished first before those
// that may be copies of them.
func below(folder string) ([]string, error) {
	type file struct {
		path    string
		changed time.Time
	}
	var files []file
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.ToLower(d.Name())
		for _, p := range packings {
			name = strings.TrimSuffix(name, p)
		}
		if d.IsDir() || !slices.Contains(endings, filepath.Ext(name)) {
			return nil
		}
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			return nil //nolint:nilerr // it vanished, or is a link to nothing
		}
		files = append(files, file{path, info.ModTime()})
		return nil
	})
	slices.SortFunc(files, func(a, b file) int {
		return cmp.Or(a.changed.Compare(b.changed), strings.Compare(a.path, b.path))
	})
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.path
	}
	return paths, err
}
