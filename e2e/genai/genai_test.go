// Package genai_test compares our prices with those of the published package
// that the shipped book's figures come from.
package genai_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/pricing/genaiprices"
	"github.com/costprof/costprof/internal/usage"
)

// need stops the test where the package is not installed, unless it must be.
func need(t *testing.T) {
	t.Helper()
	missing := func(what string) {
		if slices.Contains(strings.Split(os.Getenv("COSTPROF_REQUIRE"), ","), "genai") {
			t.Fatalf("%s is missing: npm install --prefix e2e/genai", what)
		}
		t.Skipf("%s is missing; install it with npm install --prefix e2e/genai", what)
	}
	if _, err := exec.LookPath("node"); err != nil {
		missing("node")
	}
	if _, err := os.Stat(filepath.FromSlash("node_modules/@pydantic/genai-prices/package.json")); err != nil {
		missing("the published package")
	}
}

func run(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"calls.mjs"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node calls.mjs %v: %v\n%s", args, err, stderr.String())
	}
	return out
}

func shipped(t *testing.T) *pricing.Book {
	t.Helper()
	b, err := pricing.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBookIsThePackagesList(t *testing.T) {
	need(t)
	info := shipped(t).Info()
	res, err := genaiprices.Convert(run(t, "list"), genaiprices.Provenance(info.Version, info.Listed))
	if err != nil {
		t.Fatal(err)
	}
	got, err := pricing.Encode(res.Data)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.FromSlash("../../internal/pricing/book.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the committed book is not the package's list (-committed +package):\n%s",
			cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")))
	}
	var manifest struct{ Version string }
	b, err := os.ReadFile(filepath.FromSlash("node_modules/@pydantic/genai-prices/package.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Version != info.Version {
		t.Errorf("installed package is %s, the book is from %s", manifest.Version, info.Version)
	}
}

// line is one call priced by the package. Price is absent when it found none.
type line struct {
	Provider, Listed, Model string
	At                      time.Time
	Counts                  map[string]int64
	// Suffix is what was added to the model's id, if anything.
	Suffix               string
	Price                *json.Number
	FoundProvider, Found string
	Error                string
}

func (l *line) call(t *testing.T) pricing.Call {
	t.Helper()
	c := pricing.Call{Provider: l.Provider, Model: l.Model, At: l.At}
	for name, n := range l.Counts {
		u, ok := usage.UnitByCount(name)
		if !ok {
			t.Fatalf("no count %q", name)
		}
		c.Counts[u] = n
	}
	return c
}

func TestQuotesAgree(t *testing.T) {
	need(t)
	book := shipped(t)
	seed := os.Getenv("COSTPROF_SEED")
	if seed == "" {
		seed = "1"
	}
	models := make(map[[2]string]bool)
	used := make(map[string]int)
	total, wrong := 0, 0
	in := bufio.NewScanner(bytes.NewReader(run(t, "calls", seed)))
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var l line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		total++
		models[[2]string{l.Provider, l.Listed}] = true
		q, err := book.Quote(l.call(t))
		if err != nil {
			t.Fatalf("%s %s: %v", l.Provider, l.Model, err)
		}
		if rule := explain(t, book, &l, &q); rule != "" {
			used[rule]++
			continue
		}
		if err := agree(book, &l, &q); err != nil {
			if wrong++; wrong <= 20 {
				t.Errorf("%s %s (of %s) at %s, counts %v:\n%v", l.Provider, l.Model, l.Listed, l.At, l.Counts, err)
			}
		}
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	if wrong > 0 {
		t.Errorf("%d of %d calls differ without an explanation", wrong, total)
	}
	if want := book.Info().Models; len(models) != want {
		t.Errorf("%d models compared, want %d", len(models), want)
	}
	for _, d := range differences {
		if used[d.rule] == 0 {
			t.Errorf("the difference %q does not occur any more", d.rule)
		}
	}
	t.Logf("%d calls, %d models; explained differences: %v", total, len(models), used)
}

// agree compares exactly, but for what floating point and our rounding of
// lines may make.
func agree(book *pricing.Book, l *line, q *pricing.Quote) error {
	if l.Error != "" || l.Price == nil {
		if q.Source != usage.SourceUnpriced {
			return fmt.Errorf("they have no price (%s), ours is %s by %s", l.Error, total(q), q.PriceID)
		}
		return nil
	}
	v, ok := book.Version(q.PriceID)
	if !ok {
		return fmt.Errorf("they find %s/%s at %s, we find no price", l.FoundProvider, l.Found, *l.Price)
	}
	// They name the provider that was asked, we the one whose list it is from.
	if v.Model != l.Found {
		return fmt.Errorf("they find %s, we find %s/%s", l.Found, v.Provider, v.Model)
	}
	return near(l.Price.String(), q)
}

func near(theirs string, q *pricing.Quote) error {
	want, ok := new(big.Rat).SetString(theirs)
	if !ok {
		return fmt.Errorf("their price %q", theirs)
	}
	got := total(q)
	diff := new(big.Rat).Sub(got, want)
	diff.Abs(diff)
	// Half a picodollar for each line that we round, and their sums of products
	// of doubles: some thirty roundings of 2⁻⁵³ each.
	bound := new(big.Rat).SetFrac64(int64(len(q.Lines)), 2_000_000_000_000)
	bound.Add(bound, new(big.Rat).Mul(want, big.NewRat(1, 100_000_000_000_000)))
	if diff.Cmp(bound) > 0 {
		return fmt.Errorf("their price is %s, ours %s, apart by %s", theirs, got.FloatString(12), diff.FloatString(18))
	}
	return nil
}

func total(q *pricing.Quote) *big.Rat {
	sum := new(big.Rat)
	for _, l := range q.Lines {
		sum.Add(sum, big.NewRat(int64(l.Amount), 1_000_000_000_000))
	}
	return sum
}
