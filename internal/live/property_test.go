package live

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

var values = rapid.SampledFrom([]string{"", "a", "b", "openai"})

var filters = rapid.Custom(func(t *rapid.T) analytics.Filter {
	f := analytics.Filter{Any: map[analytics.Dimension][]string{}, Called: map[analytics.Dimension][]string{}}
	dims := append([]analytics.Dimension{analytics.Tag("x"), analytics.Tag("y")}, analytics.Dimensions...)
	for range rapid.IntRange(0, 2).Draw(t, "conditions") {
		f.Any[rapid.SampledFrom(dims).Draw(t, "dimension")] = rapid.SliceOfN(values, 0, 3).Draw(t, "values")
	}
	if rapid.IntRange(0, 3).Draw(t, "called") == 0 {
		d := rapid.SampledFrom([]analytics.Dimension{analytics.Model, analytics.Provider}).Draw(t, "called")
		f.Called[d] = rapid.SliceOfN(values, 0, 2).Draw(t, "names")
	}
	f.Status = rapid.SampledFrom([]analytics.Status{analytics.StatusAny, analytics.StatusAny, analytics.StatusOK, analytics.StatusError}).Draw(t, "status")
	f.Sources = rapid.SliceOfN(rapid.SampledFrom([]usage.Source{usage.SourceCatalog, usage.SourceClient, usage.SourceUnpriced}), 0, 2).Draw(t, "sources")
	return f
})

func drawRecord(t *rapid.T, n int) usage.Record {
	draw := func(label string) string { return values.Draw(t, label) }
	return record(fmt.Sprint("span", n), rapid.Int64Range(0, 1000).Draw(t, "cost"), func(r *usage.Record) {
		r.Feature, r.Model, r.ModelID, r.Provider, r.ProviderID = draw("feature"), draw("model"), draw("modelID"), draw("provider"), draw("providerID")
		r.UserID, r.Department, r.Project, r.Environment = draw("user"), draw("department"), draw("project"), draw("environment")
		r.SessionID, r.Operation = draw("session"), draw("operation")
		if x := draw("tag"); x != "" {
			r.Tags = map[string]string{"x": x}
		}
		r.Error = rapid.Bool().Draw(t, "error")
		r.Aggregate = rapid.IntRange(0, 5).Draw(t, "aggregate") == 0
		r.Fallback = rapid.IntRange(0, 5).Draw(t, "fallback") == 0
		r.Source = rapid.SampledFrom([]usage.Source{usage.SourceCatalog, usage.SourceClient, usage.SourceUnpriced}).Draw(t, "source")
	})
}

// Whatever happens in whatever order, a stream sums up to the ledger's total
// once everything has settled, and its events never disagree with each other.
func TestStreamsAgreeWithTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			r := &rig{tester: rt, ledger: &reference.Ledger{}}
			r.hub = New(t.Context(), Params{Ledger: r, Channel: NewMemory(), Log: slog.New(slog.DiscardHandler)})
			ctx, cancel := context.WithCancel(t.Context())
			ran := make(chan struct{})
			go func() { defer close(ran); _ = r.hub.Run(ctx) }()
			defer func() { r.hub.Close(); cancel(); <-ran }()

			type follows struct {
				*follower
				filter analytics.Filter
				on     bool
			}
			type announcement struct {
				commit  int64
				records []usage.Record
			}
			var followers []*follows
			var late []announcement
			var all []usage.Record
			pick := func() *follows {
				if len(followers) == 0 {
					return nil
				}
				return followers[rapid.IntRange(0, len(followers)-1).Draw(rt, "follower")]
			}
			batch := func() announcement {
				var a announcement
				for range rapid.IntRange(1, 4).Draw(rt, "events") {
					r.spans++
					a.records = append(a.records, drawRecord(rt, r.spans))
				}
				all = append(all, a.records...)
				a.commit = r.store(a.records...)
				return a
			}
			rt.Repeat(map[string]func(*rapid.T){
				"ingest": func(*rapid.T) { a := batch(); r.hub.Announce(a.commit, a.records) },
				"store":  func(*rapid.T) { late = append(late, batch()) },
				"announce": func(rt *rapid.T) {
					if len(late) > 0 {
						i := rapid.IntRange(0, len(late)-1).Draw(rt, "late")
						r.hub.Announce(late[i].commit, late[i].records)
						late = append(late[:i], late[i+1:]...)
					}
				},
				"lose": func(*rapid.T) {
					if len(late) > 0 {
						late = late[1:]
					}
				},
				"follow": func(rt *rapid.T) {
					if len(followers) < 6 {
						f := filters.Draw(rt, "filter")
						followers = append(followers, &follows{r.follow(f, ""), f, true})
					}
				},
				"leave": func(*rapid.T) {
					if f := pick(); f != nil && f.on {
						if rapid.Bool().Draw(rt, "reads first") {
							f.drain()
						}
						f.s.Close()
						f.on = false
					}
				},
				"come back": func(*rapid.T) {
					if f := pick(); f != nil && !f.on {
						f.s, f.on = r.follow(f.filter, f.lastID).s, true
					}
				},
				"read": func(*rapid.T) {
					if f := pick(); f != nil && f.on {
						f.drain()
					}
				},
				"correct": func(rt *rapid.T) {
					if len(all) == 0 {
						return
					}
					i := rapid.IntRange(0, len(all)-1).Draw(rt, "event")
					now := all[i].Costing
					now.Source, now.PriceID = usage.SourceCatalog, fmt.Sprint("p", r.spans)
					now.Classes[usage.ClassInput]++
					_, _ = r.ledger.Correct(ctx, store.Correction{Changes: []store.CostChange{
						{ID: all[i].ID, Timestamp: all[i].Timestamp, WasSource: all[i].Source, WasPriceID: all[i].PriceID, Now: now},
					}})
					all[i].Costing = now
					if rapid.Bool().Draw(rt, "told") {
						r.hub.Matters()
					}
				},
				"pause": func(rt *rapid.T) {
					time.Sleep(time.Duration(rapid.IntRange(0, 1500).Draw(rt, "ms")) * time.Millisecond)
					synctest.Wait()
				},
			})
			r.pause(3*checkEvery + pace)
			for _, f := range followers {
				if !f.on {
					f.s = r.follow(f.filter, f.lastID).s
				}
				f.drain()
				f.agrees(f.filter)
				f.s.Close()
			}
		})
	})
}

// Many goroutines store, follow, leave and come back at once.
func TestConcurrently(t *testing.T) {
	ledger := &reference.Ledger{}
	hub := New(t.Context(), Params{Ledger: ledger, Channel: NewMemory(), Log: slog.New(slog.DiscardHandler)})
	ran := make(chan struct{})
	go func() { defer close(ran); _ = hub.Run(t.Context()) }()
	var writers, readers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 150 {
				rs := []usage.Record{record(fmt.Sprint("a", w, "-", i), 1), record(fmt.Sprint("b", w, "-", i), 2, feature(fmt.Sprint("f", i%5)))}
				receipt, err := ledger.Append(t.Context(), rs)
				if err != nil {
					t.Error(err)
					return
				}
				hub.Announce(receipt.Commit, rs)
				if i%10 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	stored := make(chan struct{})
	go func() { writers.Wait(); close(stored) }()
	for n := range 12 {
		readers.Go(func() {
			filter := analytics.Filter{}
			want := int64(4 * 150 * 3)
			if n%3 == 0 {
				filter.Any = map[analytics.Dimension][]string{analytics.Feature: {"chat"}}
				want = 4 * 150
			}
			f := &follower{rig: &rig{tester: t, ledger: ledger, hub: hub}}
			for {
				s, err := hub.Subscribe(t.Context(), Request{Filter: filter, LastID: f.lastID})
				if err != nil {
					t.Error(err)
					return
				}
				for range 1 + n%4 {
					select {
					case e := <-s.Events():
						f.take(e)
					case <-time.After(30 * time.Millisecond):
					}
				}
				s.Close()
				select {
				case <-stored:
					if got, _ := f.total.Cost.Int64(); got == want {
						return
					}
				default:
				}
				if t.Context().Err() != nil {
					t.Errorf("stream %d ends with %+v", n, f.total)
					return
				}
			}
		})
	}
	readers.Wait()
	hub.Close()
	<-ran
	if n := hub.Streams(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

// A message that has too little detail, or that the backlog does not hold any
// more, is made good by a snapshot.
func TestTooLittle(t *testing.T) {
	inBubble(t, 0, func(r *rig) {
		filter := analytics.Filter{Any: map[analytics.Dimension][]string{analytics.User: {""}}}
		f := r.follow(filter, "")
		f.drain()
		rec := record("coarse", 1)
		r.hub.Receive(Message{Commit: r.store(rec), Detail: TextFeature.Detail(), Cells: condense([]usage.Record{rec}, TextFeature.Detail())})
		r.pause(pace)
		f.drain()
		f.agrees(filter)
		if f.fresh != 2 {
			t.Errorf("%d snapshots after a coarse message, want 2", f.fresh)
		}
		r.ingest(1)
		time.Sleep(pace / 2)
		for range maxMessages + 10 {
			r.ingest(1)
		}
		r.pause(pace)
		f.drain()
		f.agrees(filter)
		if f.fresh != 3 {
			t.Errorf("%d snapshots after the backlog ran over, want 3", f.fresh)
		}
		f.s.Close()
	})
}

func TestBacklogIsBounded(t *testing.T) {
	b := &backlog{first: 1}
	big := make([]Cell, 500)
	for i := range 3 * maxMessages {
		b.push(Message{Commit: int64(i), Cells: big[:1+i%500]})
		held := 0
		for n := b.first; n <= b.last; n++ {
			if i%997 == 0 {
				held += len(b.slots[n%maxMessages].Cells)
			}
		}
		if b.cells > maxCells || i%997 == 0 && held != b.cells {
			t.Fatalf("after %d: %d cells counted, %d held", i, b.cells, held)
		}
	}
	got, ok := b.after(b.first - 1)
	if !ok || len(got) != int(b.last-b.first+1) || got[len(got)-1].Commit != 3*maxMessages-1 {
		t.Fatalf("%v, %d messages", ok, len(got))
	}
	if _, ok := b.after(b.first - 2); ok {
		t.Fatal("a message that is not held was given")
	}
	b.clear()
	if got, ok := b.after(b.last); !ok || len(got) != 0 || b.cells != 0 {
		t.Fatalf("after clear: %v, %d messages, %d cells", ok, len(got), b.cells)
	}
}
