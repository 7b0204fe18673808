package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// fakeBook prices the model "known" at one picodollar per input token.
type fakeBook struct{ also string }

func (b *fakeBook) Price(e *usage.Event) (usage.Costing, error) {
	e.ProviderID, e.ModelID = e.Provider, e.Model
	var c usage.Costing
	switch e.Model {
	case "known", b.also:
		c.Source, c.PriceID = usage.SourceCatalog, "p_"+e.Model
		c.Classes[usage.ClassInput] = money.USD(e.Counts[usage.Input])
	case "huge":
		return c, fault.Field("inputTokens", "cost more than 9000000 USD")
	case "broken":
		return c, fmt.Errorf("division by zero")
	}
	return c, nil
}

func (b *fakeBook) Version(id string) (pricing.Version, bool) {
	return pricing.Version{ID: id}, id != "p_lost"
}

// fakeLedger is the reference ledger, with failures.
type fakeLedger struct {
	reference.Ledger
	err      error
	appended func()
	// uncorrectable fails Correct.
	uncorrectable error
}

func (l *fakeLedger) Correct(ctx context.Context, c store.Correction) (int64, error) {
	if l.uncorrectable != nil {
		return 0, l.uncorrectable
	}
	return l.Ledger.Correct(ctx, c)
}

func (l *fakeLedger) Append(ctx context.Context, records []usage.Record) (store.Receipt, error) {
	if l.err != nil {
		return store.Receipt{}, l.err
	}
	receipt, err := l.Ledger.Append(ctx, records)
	if l.appended != nil {
		l.appended()
	}
	return receipt, err
}

func (l *fakeLedger) all(t *testing.T) []usage.Record {
	t.Helper()
	var out []usage.Record
	for r, err := range l.Events(t.Context(), store.EventQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

type fakeVersions struct {
	mu   sync.Mutex
	puts []string
	err  error
}

func (v *fakeVersions) PutVersions(_ context.Context, versions []pricing.Version) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return v.err
	}
	for _, version := range versions {
		v.puts = append(v.puts, version.ID)
	}
	return nil
}

// rig is a pipeline over fakes.
type rig struct {
	*Pipeline
	ledger    *fakeLedger
	versions  *fakeVersions
	book      *fakeBook
	announced []usage.Record
	commits   []int64
	log       bytes.Buffer
}

func newRig(change func(*Params)) *rig {
	r := &rig{ledger: &fakeLedger{}, versions: &fakeVersions{}, book: &fakeBook{}}
	p := Params{
		Ledger: r.ledger, Versions: r.versions,
		Book: func() Book { return r.book },
		Now:  func() time.Time { return noon.Add(1234 * time.Nanosecond) },
		Log:  slog.New(slog.NewTextHandler(io.Writer(&r.log), nil)),
		Announce: func(commit int64, rs []usage.Record) {
			r.announced, r.commits = append(r.announced, rs...), append(r.commits, commit)
		},
	}
	if change != nil {
		change(&p)
	}
	r.Pipeline = New(p)
	return r
}

// input is a valid event; span tells one from another.
func input(span string) Input {
	in := NewInput()
	e := &in.Event
	e.TraceID, e.SpanID, e.Feature, e.Provider, e.Model = "t", span, "f", "p", "known"
	e.Timestamp, e.TimestampDefaulted = noon.Add(-time.Hour), false
	e.Counts[usage.Input] = 7
	return in
}
