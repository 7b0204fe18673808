package flamefile

import (
	"bytes"
	"encoding/json"
	"math/big"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

var hostileNames = []string{
	"", "chat", "(none)", "(other)", "%28other)", "a;b", "a b", "gpt 4", " led", "trailed ", "two  spaces", "#first", "new\nline", "tab\t", "100%", "%41",
	"naïve", "a\u00a0b", "a\u2028b", "\u0085", "_Z3foov", "std::vector<int>", "x 12 34", "\x7f", "💸",
}

// spent is what each path of names cost, by period.
type spent map[string][2]side

const apart = "\x00"

func (s spent) add(path []string, period int, v side) {
	key := strings.Join(path, apart)
	both := s[key]
	both[period] = side{both[period].cost.Plus(v.cost), both[period].tokens + v.tokens, both[period].calls + v.calls}
	if both[0].zero() && both[1].zero() {
		delete(s, key)
		return
	}
	s[key] = both
}

// tree makes a tree of random rows, and says what is in it.
func tree(t *rapid.T, compared bool) (*File, spent) {
	levels := rapid.IntRange(1, 4).Draw(t, "levels")
	big := rapid.Bool().Draw(t, "big")
	rows := map[string]*analytics.FlamePair{}
	for range rapid.IntRange(0, 25).Draw(t, "rows") {
		names := make([]string, levels)
		for i := range names {
			names[i] = rapid.SampledFrom(hostileNames).Draw(t, "name")
		}
		pair := &analytics.FlamePair{Row: analytics.Row{Names: names}}
		for _, r := range []*analytics.Row{&pair.Row, &pair.Baseline} {
			if r == &pair.Baseline && !compared {
				continue
			}
			r.Calls = rapid.Int64Range(0, 50).Draw(t, "calls")
			if r.Calls == 0 {
				continue
			}
			most := int64(1e15)
			if big {
				most = int64(money.Max)
			}
			r.Cost = money.TotalOf(money.USD(rapid.Int64Range(0, most).Draw(t, "cost")))
			r.Input = rapid.Int64Range(0, usage.MaxCount).Draw(t, "input")
		}
		if pair.Row.Calls+pair.Baseline.Calls > 0 {
			rows[strings.Join(names, apart)] = pair
		}
	}
	want := spent{}
	byDepth := make([][]analytics.FlamePair, levels+1)
	byDepth[levels] = []analytics.FlamePair{}
	plain := make([][]analytics.Row, levels+1)
	plain[levels] = []analytics.Row{}
	for _, p := range rows {
		byDepth[levels] = append(byDepth[levels], *p)
		plain[levels] = append(plain[levels], p.Row)
		want.add(p.Row.Names, 0, side{p.Row.Cost, p.Row.Tokens(), p.Row.Calls})
		want.add(p.Row.Names, 1, side{p.Baseline.Cost, p.Baseline.Tokens(), p.Baseline.Calls})
	}
	var root *analytics.Node
	var err error
	if compared {
		root, err = analytics.Difference(byDepth, 1000)
	} else {
		root, err = analytics.Flame(plain, 1000)
	}
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	return &File{
		Root: root, Levels: []string{"feature", "model"}, Level: "more", From: from, To: from.Add(72 * time.Hour),
		BeforeFrom: from.Add(-72 * time.Hour), BeforeTo: from, Exporter: "costprof test",
	}, want
}

func written(t interface{ Fatal(...any) }, format Format, f *File) []byte {
	var b bytes.Buffer
	if err := Write(&b, format, f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var picoOf = map[string]int64{"picodollars": 1, "nanodollars": 1e3, "microdollars": 1e6}

// wantUnit checks that the finest unit was taken that holds the sum.
func wantUnit(t *rapid.T, got string, want spent) {
	sum := new(big.Int)
	for _, both := range want {
		sum.Add(sum, both[0].cost.Big())
		sum.Add(sum, both[1].cost.Big())
	}
	sum.Add(sum, big.NewInt(2))
	expected := "picodollars"
	if !sum.IsInt64() {
		expected = "nanodollars"
	}
	if got != expected {
		t.Fatalf("unit %s for %s pico, want %s", got, sum, expected)
	}
}

// near checks amounts of a unit against exact ones: in picodollars they are the
// same, else each is less than one off, and their sum is the sum rounded.
func near(t *rapid.T, pico int64, got map[string][2]side, want spent) {
	sums := [2]money.Total{}
	whole := [2]int64{}
	for path, both := range want {
		for i := range both {
			exact, have := both[i].cost, got[path][i]
			sums[i] = sums[i].Plus(exact)
			n, _ := have.cost.Int64()
			whole[i] += n
			off := new(big.Int).Sub(new(big.Int).Mul(big.NewInt(n), big.NewInt(pico)), exact.Big())
			if off.Abs(off); pico == 1 && off.Sign() != 0 || off.Cmp(big.NewInt(pico)) > 0 {
				t.Fatalf("%q is off by %s picodollars", path, off)
			}
			if have.tokens != both[i].tokens || have.calls != both[i].calls {
				t.Fatalf("%q has %d tokens and %d calls, want %d and %d", path, have.tokens, have.calls, both[i].tokens, both[i].calls)
			}
		}
	}
	for path := range got {
		if _, known := want[path]; !known {
			t.Fatalf("%q is nowhere in the tree", path)
		}
	}
	for i := range sums {
		if n, _ := sums[i].RatioHalfEven(1, pico).Int64(); n != whole[i] {
			t.Fatalf("sum %d, want %d", whole[i], n)
		}
	}
}

func TestPprofHoldsTheTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, want := tree(t, rapid.Bool().Draw(t, "compared"))
		p, err := profile.ParseData(written(t, Pprof, f))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.CheckValid(); err != nil {
			t.Fatal(err)
		}
		got := spent{}
		for _, s := range p.Sample {
			var path []string
			for _, l := range slices.Backward(s.Location) {
				_, name, _ := strings.Cut(l.Line[0].Function.SystemName, "=")
				path = append(path, name)
			}
			v := side{money.TotalOf(money.USD(s.Value[0])), s.Value[1], s.Value[2]}
			period := 0
			if len(s.Label) > 0 {
				period, v = 1, side{}.less(v)
			}
			got.add(path, period, v)
		}
		wantUnit(t, p.SampleType[0].Unit, want)
		near(t, picoOf[p.SampleType[0].Unit], got, want)
		if p.DefaultSampleType != "cost" || p.TimeNanos != f.From.UnixNano() || p.DurationNanos != int64(72*time.Hour) {
			t.Fatalf("%s, %d, %d", p.DefaultSampleType, p.TimeNanos, p.DurationNanos)
		}
	})
}

// unescape is what the page about formats tells readers of folded files to do.
func unescape(name string) string {
	if name == missing {
		return ""
	}
	name, err := url.PathUnescape(name)
	if err != nil {
		panic(err)
	}
	return name
}

func TestFoldedHoldsTheTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		compared := rapid.Bool().Draw(t, "compared")
		f, want := tree(t, compared)
		got := spent{}
		text := string(written(t, Folded, f))
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			var values [2]int64
			for i := range values {
				if i == 1 && !compared {
					continue
				}
				// As flamegraph.pl does: the last blank ends the stack.
				at := strings.LastIndexAny(line, " \t")
				n, err := strconv.ParseInt(line[at+1:], 10, 64)
				if err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				values[i], line = n, line[:at]
			}
			if fields := strings.Fields(line); len(fields) > 0 {
				if _, err := strconv.ParseFloat(fields[len(fields)-1], 64); err == nil && len(fields) > 1 {
					t.Fatalf("what is left of %q ends with a number", line)
				}
			}
			var path []string
			for name := range strings.SplitSeq(line, ";") {
				path = append(path, unescape(name))
			}
			for i, v := range values {
				got.add(path, i, side{cost: money.TotalOf(money.USD(v))})
			}
		}
		// Only costs are here.
		costs := spent{}
		for path, both := range want {
			costs.add(strings.Split(path, apart), 0, side{cost: both[0].cost})
			costs.add(strings.Split(path, apart), 1, side{cost: both[1].cost})
		}
		unit := unitFor(f.stacks())
		wantUnit(t, unit.name, want)
		near(t, unit.pico, got, costs)
	})
}

func TestEscapesTellNamesApart(t *testing.T) {
	seen := map[string]string{}
	for _, name := range hostileNames {
		for _, first := range []bool{true, false} {
			text := escape(frame{name: name}, first)
			if was, known := seen[text]; known && was != name {
				t.Errorf("%q and %q are both %q", was, name, text)
			}
			seen[text] = name
			if text == "" || strings.ContainsAny(text, ";\n\r\t") || strings.HasPrefix(text, " ") || strings.HasSuffix(text, " ") || unescape(text) != name {
				t.Errorf("%q is written %q", name, text)
			}
		}
	}
	if got := escape(frame{name: analytics.Other, folded: true}, false); got != "(other)" {
		t.Errorf("what was folded is %q", got)
	}
}

func TestSpeedscopeHoldsTheTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		compared := rapid.Bool().Draw(t, "compared")
		f, want := tree(t, compared)
		var file struct {
			Shared   struct{ Frames []struct{ Name, File string } }
			Profiles []struct {
				Type, Name, Unit     string
				StartValue, EndValue json.Number
				Samples              [][]int
				Weights              []json.Number
			}
		}
		if err := json.Unmarshal(written(t, Speedscope, f), &file); err != nil {
			t.Fatal(err)
		}
		periods := 1
		if compared {
			periods = 2
		}
		if len(file.Profiles) != 3*periods {
			t.Fatalf("%d profiles", len(file.Profiles))
		}
		got := spent{}
		for i, p := range file.Profiles {
			if len(p.Samples) != len(p.Weights) || p.Type != "sampled" || p.Unit != "none" || p.StartValue != "0" {
				t.Fatalf("profile %+v", p)
			}
			sum := money.Total{}
			for j, sample := range p.Samples {
				var path []string
				for _, at := range sample {
					name := file.Shared.Frames[at].Name
					if name == missing {
						name = ""
					}
					path = append(path, name)
				}
				v, err := money.ParseTotal(p.Weights[j].String())
				if err != nil {
					t.Fatal(err)
				}
				sum = sum.Plus(v)
				s := side{cost: v}
				if i%3 != 0 {
					n, _ := p.Weights[j].Int64()
					s = [...]side{1: {tokens: n}, 2: {calls: n}}[i%3]
				}
				got.add(path, i/3, s)
			}
			if sum.String() != p.EndValue.String() {
				t.Fatalf("profile %s ends at %s, its weights are %s", p.Name, p.EndValue, sum)
			}
		}
		// A real "(none)" and a missing name are one frame here, told apart only by
		// nothing: speedscope has no other place for it.
		merged := spent{}
		for path, both := range want {
			names := strings.Split(path, apart)
			for i := range names {
				if names[i] == missing {
					names[i] = ""
				}
			}
			merged.add(names, 0, both[0])
			merged.add(names, 1, both[1])
		}
		if diff := cmp.Diff(merged, got, cmp.AllowUnexported(side{}, money.Total{})); diff != "" {
			t.Fatal(diff)
		}
	})
}

// The real tool reads what is written.
func TestToolReadsProfiles(t *testing.T) {
	names := func(ns ...string) []string { return ns }
	row := func(cost, calls int64, ns []string) analytics.Row {
		return analytics.Row{Names: ns, Cost: money.TotalOf(money.USD(cost)), Calls: calls, Input: 100 * calls}
	}
	rows := []analytics.Row{
		row(4_000_000, 2, names("chat", "gpt-4o")), row(1_000_000, 1, names("chat", "std::vector<int>")),
		row(500_000, 5, names("", "gpt-4o")), row(250_000, 1, names("line\nbreak", "_Z3foov")),
	}
	root, err := analytics.Flame([][]analytics.Row{nil, nil, rows}, 100)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	save := func(name string, root *analytics.Node) string {
		path := filepath.Join(dir, name)
		f := &File{Root: root, Levels: []string{"feature", "model"}, From: from, To: from.Add(24 * time.Hour)}
		if err := os.WriteFile(path, written(t, Pprof, f), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	now := save("now.pb.gz", root)
	halved := slices.Clone(rows[:2])
	for i := range halved {
		halved[i].Cost, halved[i].Calls, halved[i].Input = halved[i].Cost.RatioHalfEven(1, 2), 1, 100
	}
	before, err := analytics.Flame([][]analytics.Row{nil, nil, halved}, 100)
	if err != nil {
		t.Fatal(err)
	}
	base := save("before.pb.gz", before)
	pairs := make([]analytics.FlamePair, len(rows))
	for i := range rows {
		pairs[i].Row = rows[i]
		if i < len(halved) {
			pairs[i].Baseline = halved[i]
		}
	}
	changed, err := analytics.Difference([][]analytics.FlamePair{nil, nil, pairs}, 100)
	if err != nil {
		t.Fatal(err)
	}
	diff := save("diff.pb.gz", changed)

	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("go", append([]string{"tool", "pprof"}, args...)...)
		cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+dir, "PPROF_BINARY_PATH="+dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("pprof %v: %v\n%s", args, err, stderr.String())
		}
		if s := stderr.String(); s != "" {
			t.Errorf("pprof %v complains: %s", args, s)
		}
		return string(out)
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"-top", now}, []string{"Type: cost", "5750000picodollars", "4500000picodollars 78.26%", "gpt-4o", "std::vector<int>", "_Z3foov", "(none)", "line�break"}},
		{[]string{"-top", "-sample_index=calls", now}, []string{"Type: calls", "Showing nodes accounting for 9, 100% of 9 total"}},
		{[]string{"-top", "-sample_index=tokens", now}, []string{"Type: tokens", "900"}},
		{[]string{"-traces", now}, []string{"gpt-4o", "chat"}},
		{[]string{"-peek=chat", now}, []string{"4000000picodollars", "5000000picodollars"}},
		{[]string{"-top", "-cum", diff}, []string{"130.00%"}},
	} {
		out := run(c.args...)
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("pprof %v has no %q:\n%s", c.args, w, out)
			}
		}
	}
	// What we call the difference is what the tool makes of the two.
	report := func(args ...string) string {
		_, table, _ := strings.Cut(run(append([]string{"-top", "-cum"}, args...)...), "Showing")
		return table
	}
	if ours, theirs := report(diff), report("-diff_base="+base, now); ours != theirs {
		t.Errorf("the difference is\n%s\nand of two profiles\n%s", ours, theirs)
	}
}

func TestFileNames(t *testing.T) {
	from := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600))
	f := &File{Root: &analytics.Node{}, From: from, To: from.Add(time.Hour)}
	for _, format := range []Format{Pprof, Speedscope, Folded} {
		want := "costprof-20260301T110000Z-20260301T120000Z" + format.Suffix
		if got := f.FileName(format); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for want, to := range map[string]time.Time{"2026-03-01": day.Add(24 * time.Hour), "2026-03-01 to 2026-03-02": day.Add(48 * time.Hour), "2026-03-01T00:00:00Z to 2026-03-01T01:00:00Z": day.Add(time.Hour)} {
		if got := period(day, to); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
