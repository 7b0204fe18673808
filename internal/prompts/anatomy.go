package prompts

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// What it takes to say where long prompts are long is bounded: so many of them, of
// so many features and models, against so many usual ones that are among the
// newest calls.
const (
	anatomyCalls  = 100
	anatomyGroups = 10
	anatomyTexts  = 10
	anatomyNewest = 200
	// fewestTexts are not enough to tell what varies.
	fewestTexts = 3
	// behindCharacters is how much of the constant part in front is shown.
	behindCharacters = 40
)

// AnatomyLedger is where calls and their texts are.
type AnatomyLedger interface {
	Events(ctx context.Context, q store.EventQuery) iter.Seq2[usage.Record, error]
	store.Texts
}

// Anatomy says which part of a long prompt is the long one.
type Anatomy struct{ Ledger AnatomyLedger }

// LongParts compares the prompts of calls, as far as their texts are kept, with
// those of usual calls of the same project, feature and model that f selects. It
// looks at the first 100 calls, of ten features and models at most.
func (a Anatomy) LongParts(ctx context.Context, f analytics.Filter, calls []analytics.Bloat) (map[usage.ID]analytics.LongPart, error) {
	type key struct{ project, feature, model string }
	groups := map[key][]analytics.Bloat{}
	var order []key
	for _, c := range calls[:min(len(calls), anatomyCalls)] {
		k := key{c.Project, c.Feature, c.Model}
		if c.PromptID == (usage.ID{}) || groups[k] == nil && len(order) == anatomyGroups {
			continue
		}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], c)
	}
	out := map[usage.ID]analytics.LongPart{}
	for _, k := range order {
		long := groups[k]
		ids := make([]usage.ID, len(long))
		for i, c := range long {
			ids[i] = c.PromptID
		}
		texts, err := a.Ledger.GetPrompts(ctx, k.project, ids)
		if err != nil {
			return nil, err
		}
		if len(texts) == 0 {
			continue
		}
		of := f
		of.Any = maps.Clone(f.Any)
		if of.Any == nil {
			of.Any = map[analytics.Dimension][]string{}
		}
		of.Any[analytics.Project], of.Any[analytics.Feature], of.Any[analytics.Model] = []string{k.project}, []string{k.feature}, []string{k.model}
		usual, err := a.usual(ctx, of, long[0].Median, ids)
		if err != nil {
			return nil, err
		}
		if len(usual) < fewestTexts {
			continue
		}
		made := formOf(usual)
		for _, c := range long {
			if p, kept := texts[c.PromptID]; kept {
				out[c.ID] = made.longest(p.Text)
			}
		}
	}
	return out, nil
}

// usual gives texts of the newest calls that have no more than the usual input, but
// for those listed.
func (a Anatomy) usual(ctx context.Context, f analytics.Filter, medianInput int64, but []usage.ID) ([]string, error) {
	var ids []usage.ID
	for r, err := range a.Ledger.Events(ctx, store.EventQuery{Filter: f, Limit: anatomyNewest}) {
		if err != nil {
			return nil, err
		}
		id := r.PromptID
		if id == (usage.ID{}) || r.Counts[usage.Input] > medianInput+medianInput/2 || slices.Contains(ids, id) || slices.Contains(but, id) {
			continue
		}
		if ids = append(ids, id); len(ids) == anatomyTexts {
			break
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	kept, err := a.Ledger.GetPrompts(ctx, f.Any[analytics.Project][0], ids)
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, id := range ids {
		if p, ok := kept[id]; ok {
			texts = append(texts, p.Text)
		}
	}
	return texts, nil
}

// form is what texts have in common, and how long they are in between.
type form struct {
	constants []string
	// gaps are the usual lengths before each constant and behind the last, in
	// characters; whole is that of a text.
	gaps         []int
	whole, texts int
	// opens and closes say that all begin and end with a constant.
	opens, closes bool
}

func formOf(texts []string) form {
	t := MineTemplate(texts)
	s := form{texts: len(texts)}
	for i, p := range t.Parts {
		if p.Varies() {
			continue
		}
		s.constants = append(s.constants, p.Text)
		s.opens = s.opens || i == 0
		s.closes = i == len(t.Parts)-1
	}
	var whole []int
	lengths := make([][]int, len(s.constants)+1)
	for _, text := range texts {
		whole = append(whole, utf8.RuneCountInString(text))
		if gaps, ok := s.cut(text); ok {
			for i, n := range gaps {
				lengths[i] = append(lengths[i], n)
			}
		}
	}
	s.whole = median(whole)
	for _, l := range lengths {
		n := 0
		if len(l) > 0 {
			n = median(l)
		}
		s.gaps = append(s.gaps, n)
	}
	return s
}

// cut gives the lengths of what stands between the constants of a text, in
// characters; false when it does not have all of them in their order.
func (s *form) cut(text string) ([]int, bool) {
	gaps := make([]int, 0, len(s.constants)+1)
	for i, c := range s.constants {
		at := strings.Index(text, c)
		if s.closes && i == len(s.constants)-1 {
			at = len(text) - len(c)
			if !strings.HasSuffix(text, c) {
				return nil, false
			}
		}
		if at < 0 || at > 0 && i == 0 && s.opens {
			return nil, false
		}
		gaps = append(gaps, utf8.RuneCountInString(text[:at]))
		text = text[at+len(c):]
	}
	return append(gaps, utf8.RuneCountInString(text)), true
}

// longest says which part of the text has most characters beyond what is usual.
func (s *form) longest(text string) analytics.LongPart {
	out := analytics.LongPart{Characters: utf8.RuneCountInString(text), Usual: s.whole, Texts: s.texts}
	gaps, ok := s.cut(text)
	if !ok || len(s.constants) == 0 {
		return out
	}
	best, beyond := -1, 0
	for i, n := range gaps {
		if n > 0 || s.gaps[i] > 0 {
			out.Parts++
		}
		if n-s.gaps[i] > beyond {
			best, beyond = i, n-s.gaps[i]
			out.Number = out.Parts
		}
	}
	if best < 0 {
		return out
	}
	out.PartCharacters, out.PartUsual = gaps[best], s.gaps[best]
	if best > 0 {
		out.Behind = tail(strings.TrimSpace(s.constants[best-1]), behindCharacters)
	}
	return out
}

// tail is the end of a text.
func tail(text string, characters int) string {
	r := []rune(text)
	return string(r[max(0, len(r)-characters):])
}
