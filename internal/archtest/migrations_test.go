package archtest

import (
	"path/filepath"
	"strings"
	"testing"
)

// Two steps of one schema with the same number, each good by itself, stop the
// server: they come from two branches.
func TestMigrationsAreNumberedOnce(t *testing.T) {
	files, err := filepath.Glob("../store/*/migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d migrations, %v", len(files), err)
	}
	seen := map[string]string{}
	for _, f := range files {
		number, _, _ := strings.Cut(filepath.Base(f), "_")
		place := filepath.Join(filepath.Dir(f), number)
		if other, twice := seen[place]; twice {
			t.Errorf("%s and %s have the same number", other, f)
		}
		seen[place] = f
	}
}
