package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Group is what totals are compared by.
type Group struct {
	Project, Feature, Model string
	Source                  usage.Source
}

// Sum is what a group cost, spans that only sum their children left out.
type Sum struct {
	Calls int64
	Cost  money.Total
}

// digest is that of a set of rows: the sum of those of its rows, so that their
// order does not matter.
type digest struct {
	rows   int64
	hi, lo uint64
}

// Tally counts a dump: totals by group, and a digest of each table by which two
// dumps are seen to be of the same rows. It is a sink.
type Tally struct {
	Groups map[Group]Sum
	tables map[string]digest

	table  *store.Table
	column map[string]int
	cells  map[int64]Group
	buf    []byte
}

// NewTally makes an empty one.
func NewTally() *Tally {
	return &Tally{Groups: map[Group]Sum{}, tables: map[string]digest{}, cells: map[int64]Group{}}
}

// TallyOf counts what a ledger holds.
func TallyOf(ctx context.Context, d store.Dumper) (*Tally, error) {
	t := NewTally()
	return t, d.Dump(ctx, t)
}

// Table implements store.Sink.
func (t *Tally) Table(table *store.Table) error {
	t.table, t.column = table, map[string]int{}
	for i, c := range table.Columns {
		t.column[c.Name] = i
	}
	t.tables[table.Name] = digest{}
	return nil
}

// Row implements store.Sink.
func (t *Tally) Row(values []any) error {
	if t.table.Name == store.PositionTable {
		return nil // another ledger counts on its own
	}
	var err error
	if t.buf, err = appendRow(t.buf[:0], t.table, values); err != nil {
		return err
	}
	sum := sha256.Sum256(t.buf)
	d := t.tables[t.table.Name]
	d.rows++
	d.hi += binary.LittleEndian.Uint64(sum[:])
	d.lo += binary.LittleEndian.Uint64(sum[8:])
	t.tables[t.table.Name] = d

	text := func(name string) string { s, _ := values[t.column[name]].(string); return s }
	number := func(name string) int64 { n, _ := values[t.column[name]].(int64); return n }
	switch t.table.Name {
	case "cells":
		t.cells[number("id")] = Group{Project: text("project"), Feature: text("feature"), Model: text("model")}
	case store.EventsTable:
		if aggregate, _ := values[t.column["is_aggregate"]].(bool); aggregate {
			return nil
		}
		g := t.cells[number("cell")]
		g.Source = usage.Source(number("source"))
		s := t.Groups[g]
		s.Calls++
		s.Cost = s.Cost.Add(money.USD(number("cost")))
		t.Groups[g] = s
	}
	return nil
}

// Rows is how many rows of a table were counted.
func (t *Tally) Rows(table string) int64 { return t.tables[table].rows }

// Projects sums the groups by project, by name.
func (t *Tally) Projects() (names []string, sums map[string]Sum) {
	sums = map[string]Sum{}
	for g, s := range t.Groups {
		p := sums[g.Project]
		p.Calls += s.Calls
		p.Cost = p.Cost.Plus(s.Cost)
		sums[g.Project] = p
	}
	return slices.Sorted(maps.Keys(sums)), sums
}

// Equal fails with the first thing in which another ledger's tally differs.
func (t *Tally) Equal(other *Tally) error {
	for _, table := range slices.Sorted(maps.Keys(t.tables)) {
		a, b := t.tables[table], other.tables[table]
		if a.rows != b.rows {
			return fmt.Errorf("%s has %d rows on one side and %d on the other", table, a.rows, b.rows)
		}
	}
	groups := slices.SortedFunc(maps.Keys(t.Groups), func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Source, b.Source))
	})
	for _, g := range groups {
		if a, b := t.Groups[g], other.Groups[g]; a != b {
			return fmt.Errorf("project %q, feature %q, model %q, source %s: %d calls of %s on one side, %d of %s on the other",
				g.Project, g.Feature, g.Model, g.Source, a.Calls, a.Cost, b.Calls, b.Cost)
		}
	}
	if len(t.Groups) != len(other.Groups) {
		return fmt.Errorf("%d combinations of project, feature, model and source on one side, %d on the other", len(t.Groups), len(other.Groups))
	}
	for _, table := range slices.Sorted(maps.Keys(t.tables)) {
		if t.tables[table] != other.tables[table] {
			return fmt.Errorf("the rows of %s are not the same on both sides", table)
		}
	}
	return nil
}

// Tee passes a dump to several sinks.
func Tee(sinks ...store.Sink) store.Sink { return tee(sinks) }

type tee []store.Sink

func (t tee) Table(table *store.Table) error {
	for _, s := range t {
		if err := s.Table(table); err != nil {
			return err
		}
	}
	return nil
}

func (t tee) Row(values []any) error {
	for _, s := range t {
		if err := s.Row(values); err != nil {
			return err
		}
	}
	return nil
}
