package prompts

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// shape writes a template with its varying parts as <least-most>.
func shape(t Template) string {
	var b strings.Builder
	for _, p := range t.Parts {
		if p.Varies() {
			fmt.Fprintf(&b, "<%d-%d>", p.Least, p.Most)
		} else {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

func TestMineTemplate(t *testing.T) {
	for name, c := range map[string]struct {
		texts []string
		want  string
	}{
		"none":            {nil, ""},
		"one":             {[]string{"Hello, world!"}, "Hello, world!"},
		"the same":        {[]string{"a b", "a b", "a b"}, "a b"},
		"nothing common":  {[]string{"abc", "xyz1"}, "<3-4>"},
		"empty among":     {[]string{"abc", ""}, "<0-3>"},
		"end":             {[]string{"Translate to French: yes", "Translate to French: good morning"}, "Translate to French: <3-12>"},
		"beginning":       {[]string{"One? Answer briefly.", "Two? Answer briefly."}, "<3-3>? Answer briefly."},
		"whole words":     {[]string{"order 1234 is late", "order 1299 is late"}, "order <4-4> is late"},
		"between":         {[]string{"To Anna about the offer. Be kind.", "To Bob Li about the offer and more. Be kind."}, "To <4-6> about the offer<0-9>. Be kind."},
		"by accident":     {[]string{"x one a two y", "x three a four y"}, "x <9-12> y"},
		"nothing between": {[]string{"a c", "a b c"}, "a <0-2>c"},
		"unicode":         {[]string{"Grüße an Jörg!", "Grüße an Zoë!"}, "Grüße an <4-5>!"},
	} {
		got := MineTemplate(c.texts)
		if shape(got) != c.want {
			t.Errorf("%s: %q, want %q", name, shape(got), c.want)
		}
	}
	grown := MineTemplate([]string{"System: " + strings.Repeat("rule ", 200) + "Ask 1", "System: " + strings.Repeat("rule ", 200) + "Ask 22"})
	if grown.Prefix != 1012 || grown.PrefixPerMille() < 990 || grown.PrefixPerMille() > 1000 {
		t.Errorf("prefix %d of %d, %d per mille", grown.Prefix, grown.Median, grown.PrefixPerMille())
	}
}

// Every text is the template with its varying parts filled in.
func TestTemplateFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"a", "b", "the", "Ü", "日本", "7", " ", ".", "\n"})
		texts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(word, 0, 12).Draw(t, "words"), "")
		}), 1, 5).Draw(t, "texts")
		got := MineTemplate(texts)
		constant := 0
		for _, p := range got.Parts {
			constant += len(p.Text)
		}
		if constant != got.Constant || got.Prefix > got.Constant {
			t.Fatalf("%+v", got)
		}
		for _, text := range texts {
			if !fits(text, got.Parts) {
				t.Fatalf("%q is not %q", text, shape(got))
			}
		}
	})
}

// fits tries every length that a varying part may have.
func fits(text string, parts []Part) bool {
	if len(parts) == 0 {
		return text == ""
	}
	p := parts[0]
	if !p.Varies() {
		rest, ok := strings.CutPrefix(text, p.Text)
		return ok && fits(rest, parts[1:])
	}
	for n := p.Least; n <= min(p.Most, len(text)); n++ {
		if fits(text[n:], parts[1:]) {
			return true
		}
	}
	return false
}

// Texts without order take no time that matters.
func TestMineTemplateIsBounded(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	texts := make([]string, 80)
	for i := range texts {
		var b strings.Builder
		for range 450 {
			b.WriteString([]string{"alpha ", "beta ", "gamma "}[random.IntN(3)])
		}
		texts[i] = b.String()
	}
	from := time.Now()
	got := MineTemplate(texts)
	if took := time.Since(from); got.Texts != maxTemplateTexts || took > 20*time.Second {
		t.Errorf("%d texts in %v", got.Texts, took)
	} else {
		t.Log(took)
	}
}
