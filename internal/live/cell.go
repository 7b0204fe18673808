package live

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// Text is one of the texts by which calls are told apart.
type Text uint8

// The texts of a cell.
const (
	TextFeature Text = iota
	TextModel
	TextProvider
	TextSentModel
	TextSentProvider
	TextUser
	TextDepartment
	TextProject
	TextEnvironment
	TextSession
	TextOperation
	numTexts
)

// Detail is a set of what cells tell calls apart by: a bit for each Text, and
// the constants. What is not in it is empty in every cell.
type Detail uint32

// The details beside the texts, and all there is.
const (
	DetailTags Detail = 1 << (numTexts + iota)
	DetailOutcome
	DetailSource
	detailEnd

	DetailAll = detailEnd - 1
)

// Detail is the set of this text alone.
func (t Text) Detail() Detail { return 1 << t }

// Cell sums the calls of one batch that are alike.
type Cell struct {
	Texts  [numTexts]string
	Tags   map[string]string
	Error  bool
	Source usage.Source
	Sums
}

// likeness is what the calls of a cell have in common.
type likeness struct {
	texts  [numTexts]string
	tags   string
	failed bool
	source usage.Source
}

// condense sums records that are alike as far as detail tells; aggregates are
// left out. The cells share the records' strings and tags.
func condense(records []usage.Record, detail Detail) []Cell {
	var cells []Cell
	places := make(map[likeness]int, 8)
	for i := range records {
		r := &records[i]
		if r.Aggregate {
			continue
		}
		like := likeness{texts: texts(r, detail)}
		if detail&DetailTags != 0 {
			like.tags = tagKey(r.Tags)
		}
		if detail&DetailOutcome != 0 {
			like.failed = r.Error
		}
		if detail&DetailSource != 0 {
			like.source = r.Source
		}
		at, ok := places[like]
		if !ok {
			at = len(cells)
			places[like] = at
			c := Cell{Texts: like.texts, Error: like.failed, Source: like.source}
			if detail&DetailTags != 0 {
				c.Tags = r.Tags
			}
			cells = append(cells, c)
		}
		cells[at].add(sumsOf(r))
	}
	return cells
}

func sumsOf(r *usage.Record) Sums {
	s := Sums{Calls: 1}
	for _, c := range r.Classes {
		s.Cost = s.Cost.Plus(money.TotalOf(c))
	}
	if r.Source == usage.SourceClient || r.Source == usage.SourceUnpriced {
		s.Unpriced = 1
	}
	if r.Fallback {
		s.Fallback = 1
	}
	return s
}

func texts(r *usage.Record, detail Detail) (out [numTexts]string) {
	all := [numTexts]string{
		TextFeature: r.Feature, TextModel: r.ModelID, TextProvider: r.ProviderID,
		TextSentModel: r.Model, TextSentProvider: r.Provider,
		TextUser: r.UserID, TextDepartment: r.Department, TextProject: r.Project,
		TextEnvironment: r.Environment, TextSession: r.SessionID, TextOperation: r.Operation,
	}
	for t := range numTexts {
		if detail&t.Detail() != 0 {
			out[t] = all[t]
		}
	}
	return out
}

// tagKey joins tags unambiguously.
func tagKey(tags map[string]string) string {
	if len(tags) == 0 {
		return ""
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		for _, s := range []string{name, tags[name]} {
			b.WriteString(strconv.Itoa(len(s)))
			b.WriteByte(':')
			b.WriteString(s)
		}
	}
	return b.String()
}
