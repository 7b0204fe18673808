package rating

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// outage makes the operations of a store fail, one by one.
type outage struct {
	mu sync.Mutex
	// calls counts operations that a run may be interrupted at. The call with the
	// number at fails: after its effect when late, else before. While away all do.
	calls, at int
	late      bool
	away      atomic.Bool
}

var errAway = &fault.Error{Code: fault.Unavailable, Message: "The store is away"}

func (o *outage) around(effect func() error) error {
	o.mu.Lock()
	o.calls++
	hit := o.away.Load() || o.at > 0 && o.calls == o.at
	o.mu.Unlock()
	if hit && !o.late {
		return errAway
	}
	if err := effect(); err != nil {
		return err
	}
	if hit {
		return errAway
	}
	return nil
}

// fakeLedger is the reference ledger with outages.
type fakeLedger struct {
	reference.Ledger
	*outage
	corrected [][]store.CostChange
	// before, when set, is called before each correction.
	before func()
}

func (l *fakeLedger) Correct(ctx context.Context, c store.Correction) (n int64, err error) {
	if l.before != nil {
		l.before()
	}
	err = l.around(func() error {
		n, err = l.Ledger.Correct(ctx, c)
		l.corrected = append(l.corrected, c.Changes)
		return err
	})
	return n, err
}

func (l *fakeLedger) Get(ctx context.Context, id usage.ID, f analytics.Filter) (r usage.Record, err error) {
	err = l.around(func() error {
		r, err = l.Ledger.Get(ctx, id, f)
		return err
	})
	return r, err
}

func (l *fakeLedger) all(t *testing.T) map[string]usage.Record {
	t.Helper()
	out := make(map[string]usage.Record)
	for r, err := range l.Events(t.Context(), store.EventQuery{Filter: everything}) {
		if err != nil {
			t.Fatal(err)
		}
		out[r.SpanID] = r
	}
	return out
}

// fakeCatalog is a Catalog in memory, with outages.
type fakeCatalog struct {
	*outage
	mu       sync.Mutex
	own      []pricing.Own
	versions map[string]pricing.Version
	log      []store.AuditEntry
	runs     map[string]store.Run
	lists    atomic.Int64 // how often ListRuns was asked
	list     store.PriceList
}

func (c *fakeCatalog) GetList(context.Context) (store.PriceList, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list, nil
}

func (c *fakeCatalog) ReplaceList(_ context.Context, was int64, book []byte, entry store.AuditEntry) error {
	return c.around(func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.list.Number != was {
			return fault.New(fault.Conflict, "The price list was changed meanwhile")
		}
		c.list = store.PriceList{Number: was + 1, Made: entry.At, Book: book}
		c.log = append(c.log, entry)
		return nil
	})
}

func (c *fakeCatalog) ListPrices(context.Context) ([]pricing.Own, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.own), nil
}

func (c *fakeCatalog) ReplacePrices(_ context.Context, remove []string, puts []pricing.Own, entry store.AuditEntry) error {
	return c.around(func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.own = slices.DeleteFunc(c.own, func(o pricing.Own) bool { return slices.Contains(remove, o.ID) })
		c.own = append(c.own, puts...)
		c.log = append(c.log, entry)
		return nil
	})
}

func (c *fakeCatalog) PutVersions(_ context.Context, versions []pricing.Version) error {
	return c.around(func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, v := range versions {
			c.versions[v.ID] = v
		}
		return nil
	})
}

func (c *fakeCatalog) GetVersion(_ context.Context, id string) (pricing.Version, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.versions[id]; ok {
		return v, nil
	}
	return pricing.Version{}, fault.New(fault.NotFound, "no version %s", id)
}

func (c *fakeCatalog) AppendAudit(_ context.Context, entry store.AuditEntry) error {
	return c.around(func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.log = append(c.log, entry)
		return nil
	})
}

func (c *fakeCatalog) ListAudit(_ context.Context, _ int64, limit int) ([]store.AuditEntry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	newest := slices.Clone(c.log)
	for i := range newest {
		newest[i].ID = int64(i + 1)
	}
	slices.Reverse(newest)
	return newest[:min(limit, len(newest))], nil
}

func (c *fakeCatalog) PutRun(_ context.Context, run store.Run) error {
	return c.around(func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.runs[run.ID] = run
		return nil
	})
}

func (c *fakeCatalog) GetRun(_ context.Context, id string) (store.Run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if run, ok := c.runs[id]; ok {
		return run, nil
	}
	return store.Run{}, fault.New(fault.NotFound, "no run %s", id)
}

func (c *fakeCatalog) ListRuns(_ context.Context, state string, limit int) ([]store.Run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lists.Add(1)
	if c.away.Load() {
		return nil, errAway
	}
	var out []store.Run
	for _, run := range c.runs {
		if state == "" || run.State == state {
			out = append(out, run)
		}
	}
	slices.SortFunc(out, func(a, b store.Run) int { return bytes.Compare([]byte(b.ID), []byte(a.ID)) })
	return out[:min(limit, len(out))], nil
}

// rig is a service over fakes. The shipped book is the real one.
type rig struct {
	book *pricing.Book
	*Service
	t       *testing.T
	ledger  *fakeLedger
	catalog *fakeCatalog
	outage  *outage
	now     time.Time
	log     bytes.Buffer
}

var shipped = sync.OnceValues(pricing.Shipped)

func newRig(t *testing.T) *rig {
	t.Helper()
	o := &outage{}
	r := &rig{
		t: t, outage: o, now: noon,
		ledger:  &fakeLedger{outage: o},
		catalog: &fakeCatalog{outage: o, versions: make(map[string]pricing.Version), runs: make(map[string]store.Run)},
	}
	var err error
	if r.book, err = shipped(); err != nil {
		t.Fatal(err)
	}
	r.open()
	return r
}

// small leaves of the shipped book what a test calls, which makes loading lists
// over it fast.
func small(t *testing.T, book *pricing.Book, providers []string, model string) *pricing.Book {
	t.Helper()
	d := *book.Data()
	var kept []pricing.ProviderData
	for _, p := range d.Providers {
		if !slices.Contains(providers, p.ID) {
			continue
		}
		p.Fallback = slices.DeleteFunc(slices.Clone(p.Fallback), func(id string) bool { return !slices.Contains(providers, id) })
		p.Models = slices.DeleteFunc(slices.Clone(p.Models), func(m pricing.ModelData) bool { return !strings.Contains(m.ID, model) })
		kept = append(kept, p)
	}
	d.Providers = kept
	text, err := pricing.Encode(&d)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pricing.Load(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// open starts a new service on the same store, as after a restart.
func (r *rig) open() {
	r.t.Helper()
	var err error
	r.Service, err = Open(r.t.Context(), Params{
		Ledger: r.ledger, Catalog: r.catalog, Shipped: r.book,
		Now: func() time.Time { return r.now }, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.pageSize, r.groupPage = 3, 2
}

// settled does all work that waits.
func (r *rig) settled() {
	r.t.Helper()
	if err := r.work(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// call is an event of 1,000 input and 100 output tokens.
func call(span, provider, model string, at time.Time) usage.Event {
	e := usage.Event{
		Project: "default", TraceID: "t", SpanID: span, Feature: "f", Provider: provider, Model: model,
		Timestamp: at, TimeToFirstToken: -1,
	}
	e.Counts[usage.Input], e.Counts[usage.Output] = 1000, 100
	return e
}

// store prices events with the book in force and stores them.
func (r *rig) store(events ...usage.Event) {
	r.t.Helper()
	if err := appendPriced(r.t.Context(), r.Service, r.ledger, events...); err != nil {
		r.t.Fatal(err)
	}
}

func appendPriced(ctx context.Context, s *Service, l *fakeLedger, events ...usage.Event) error {
	book := s.Book()
	var records []usage.Record
	for _, e := range events {
		c, err := book.Price(&e)
		if err != nil {
			return err
		}
		records = append(records, usage.Record{ID: e.Identity(), Event: e, Costing: c, ReceivedAt: s.Now()})
	}
	_, err := l.Append(ctx, records)
	return err
}

// put stores a price of input and output per million tokens.
func (r *rig) put(request pricing.PutRequest) PutResult {
	r.t.Helper()
	own, err := r.Book().ParsePut(request)
	if err != nil {
		r.t.Fatal(err)
	}
	result, err := r.Put(r.t.Context(), own, "tester")
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

func amount(t *testing.T, s string) money.USD {
	t.Helper()
	v, err := money.ParseSigned(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// costs shows each event as "span source cost".
func (r *rig) costs() []string {
	var out []string
	for span, rec := range r.ledger.all(r.t) {
		out = append(out, fmt.Sprintf("%s %s %s", span, rec.Source, rec.Total()))
	}
	slices.Sort(out)
	return out
}
