package lexical

import (
	"os"
	"strings"
	"testing"
)

// pair is two prompts and whether a person calls them near-duplicates.
type pair struct {
	kind string
	a, b string
	same bool
}

// labelled reads testdata/families.txt, which says how.
func labelled(t *testing.T) []pair {
	t.Helper()
	text, err := os.ReadFile("testdata/families.txt")
	if err != nil {
		t.Fatal(err)
	}
	var (
		pairs []pair
		bases []string
	)
	for _, block := range strings.Split(string(text), "\n\n") {
		said := map[string]string{}
		var many []string
		for line := range strings.Lines(block) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
			if !ok {
				t.Fatalf("not a line of the set: %q", line)
			}
			if key == "use" || key == "ask" {
				many = append(many, fill(said["template"]+said["frame"], value))
				continue
			}
			said[key] = value
		}
		switch base := said["base"]; {
		case base != "":
			for _, kind := range []string{"names", "order", "words"} {
				pairs = append(pairs, pair{kind, base, said[kind], true})
			}
			// A changed form of the changed text: two small changes at once.
			pairs = append(pairs, pair{"two changes", said["names"], said["words"], true})
			pairs = append(pairs, pair{"domain", base, said["domain"], false})
			bases = append(bases, base)
		case len(many) > 0:
			kind, same := "template", true
			if said["frame"] != "" {
				kind, same = "frame", false
			}
			for i := range many {
				for j := range i {
					pairs = append(pairs, pair{kind, many[i], many[j], same})
				}
			}
		}
	}
	for i := range bases {
		for _, step := range []int{1, 5, 11} {
			pairs = append(pairs, pair{"topic", bases[i], bases[(i+step)%len(bases)], false})
		}
	}
	return pairs
}

// fill puts the values in the places {}.
func fill(form, values string) string {
	if strings.Count(form, "{}") == 1 {
		return strings.Replace(form, "{}", values, 1)
	}
	for v := range strings.SplitSeq(values, " | ") {
		form = strings.Replace(form, "{}", v, 1)
	}
	return form
}

// What docs/prompts.md says about the embedder's quality is what this test prints
// with -v.
func TestQuality(t *testing.T) {
	pairs := labelled(t)
	got := make([]float64, len(pairs))
	same := 0
	for i, p := range pairs {
		got[i] = cosine(Vector(p.a), Vector(p.b))
		if p.same {
			same++
		}
	}
	if len(pairs) < 300 || same < 150 || len(pairs)-same < 150 {
		t.Fatalf("%d pairs, %d of them near-duplicates", len(pairs), same)
	}
	t.Logf("%d pairs: %d near-duplicates, %d unrelated", len(pairs), same, len(pairs)-same)
	floors := map[int][2]float64{70: {0.98, 0.93}, 80: {0.99, 0.85}, 90: {1, 0.48}}
	for percent := 50; percent <= 95; percent += 5 {
		var hits, wrong, missed int
		for i, p := range pairs {
			switch found := got[i] >= float64(percent)/100; {
			case found && p.same:
				hits++
			case found:
				wrong++
			case p.same:
				missed++
			}
		}
		precision, recall := float64(hits)/float64(hits+wrong), float64(hits)/float64(hits+missed)
		t.Logf("threshold 0.%d: precision %.3f, recall %.3f", percent, precision, recall)
		if floor, ok := floors[percent]; ok && (precision < floor[0] || recall < floor[1]) {
			t.Errorf("threshold 0.%d: precision %.3f, recall %.3f, want at least %v", percent, precision, recall, floor)
		}
	}
	for _, kind := range []string{"names", "order", "words", "two changes", "template", "frame", "domain", "topic"} {
		var n, found int
		low, high, sum := 1.0, -1.0, 0.0
		for i, p := range pairs {
			if p.kind != kind {
				continue
			}
			n++
			if got[i] >= 0.8 {
				found++
			}
			low, high, sum = min(low, got[i]), max(high, got[i]), sum+got[i]
		}
		t.Logf("%-11s %3d pairs: similarity %.2f to %.2f, mean %.2f; %3d at or above 0.8", kind, n, low, high, sum/float64(n), found)
	}
	// What it cannot do: a long text in common hides that the questions differ.
	long := pairs[0].a
	for _, p := range pairs[:40] {
		long += " " + p.b
	}
	n, found := 0, 0
	for _, p := range pairs {
		if p.kind == "domain" {
			n++
			if cosine(Vector(long+p.a), Vector(long+p.b)) >= 0.8 {
				found++
			}
		}
	}
	t.Logf("behind %d characters in common, %d of %d unrelated questions are at or above 0.8", len(long), found, n)
}

func cosine(a, b []float32) float64 {
	var s float64
	for i := range a {
		s += float64(a[i]) * float64(b[i])
	}
	return s
}
