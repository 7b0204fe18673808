package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// tester is what a test and one try of a property have in common.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Fatal(args ...any)
	Context() context.Context
}

// rig is a hub over a ledger in memory, inside a synctest bubble.
type rig struct {
	tester
	ledger *reference.Ledger
	hub    *Hub
	fail   error
	asked  int
	mu     sync.Mutex
	spans  int
}

func (r *rig) Query(ctx context.Context, q analytics.Query) (analytics.Table, error) {
	r.mu.Lock()
	fail := r.fail
	if q.To.IsZero() {
		r.asked++
	}
	r.mu.Unlock()
	if fail != nil {
		return analytics.Table{}, fail
	}
	return r.ledger.Query(ctx, q)
}

// inBubble runs test with a hub whose clock is the bubble's; whatever goroutine
// of the hub is left when it is closed fails the test.
func inBubble(t *testing.T, maxStreams int, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{tester: t, ledger: &reference.Ledger{}}
		r.hub = New(t.Context(), Params{Ledger: r, Channel: NewMemory(), MaxStreams: maxStreams, Log: slog.New(slog.DiscardHandler)})
		ran := make(chan struct{})
		go func() { defer close(ran); _ = r.hub.Run(t.Context()) }()
		test(r)
		r.hub.Close()
		<-ran
		if n := r.hub.Streams(); n != 0 {
			t.Errorf("%d streams are left", n)
		}
	})
}

func record(span string, cost int64, change ...func(*usage.Record)) usage.Record {
	r := usage.Record{
		Event: usage.Event{
			Project: "default", TraceID: "t", SpanID: span, Timestamp: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC),
			Feature: "chat", Provider: "openai", Model: "gpt-4o", ProviderID: "openai", ModelID: "gpt-4o",
		},
		Costing: usage.Costing{Source: usage.SourceCatalog, PriceID: "p_1"},
	}
	r.Classes[usage.ClassInput] = money.USD(cost)
	for _, c := range change {
		c(&r)
	}
	r.ID = r.Identity()
	return r
}

func feature(name string) func(*usage.Record) { return func(r *usage.Record) { r.Feature = name } }

// store appends without telling anybody, and gives the commit.
func (r *rig) store(records ...usage.Record) int64 {
	r.Helper()
	receipt, err := r.ledger.Append(context.Background(), records)
	if err != nil {
		r.Fatal(err)
	}
	for _, o := range receipt.Outcomes {
		if o != store.Stored {
			r.Fatalf("a record of the test is not new")
		}
	}
	return receipt.Commit
}

// ingest stores and announces n calls of one picodollar each.
func (r *rig) ingest(n int, change ...func(*usage.Record)) {
	r.Helper()
	var records []usage.Record
	for range n {
		r.spans++
		records = append(records, record(fmt.Sprint("span", r.spans), 1, change...))
	}
	r.hub.Announce(r.store(records...), records)
}

func (r *rig) follow(f analytics.Filter, lastID string) *follower {
	r.Helper()
	s, err := r.hub.Subscribe(r.Context(), Request{Filter: f, LastID: lastID})
	if err != nil {
		r.Fatal(err)
	}
	return &follower{rig: r, s: s, lastID: lastID}
}

// follower sums up what its stream tells.
type follower struct {
	*rig
	s       *Stream
	lastID  string
	total   Sums
	by      map[string]money.Total
	events  int
	fresh   int // snapshots
	updates int
}

// drain takes the events that are there.
func (f *follower) drain() {
	f.Helper()
	for {
		select {
		case e, ok := <-f.s.Events():
			if !ok {
				return
			}
			f.take(e)
		default:
			return
		}
	}
}

func (f *follower) take(e *Event) {
	f.Helper()
	f.events++
	f.lastID = e.ID
	if e.Snapshot {
		f.fresh++
		f.total, f.by = Sums{}, map[string]money.Total{}
	} else {
		f.updates++
		if f.by == nil {
			f.Fatalf("a stream began with an update, %s", e.ID)
		}
	}
	f.total.add(e.Sums)
	if f.total != e.Running {
		f.Errorf("event %s says %v in all, the sum of what it told is %v", e.ID, e.Running, f.total)
	}
	var sum money.Total
	for name, cost := range e.Features {
		f.by[name] = f.by[name].Plus(cost)
		sum = sum.Plus(cost)
	}
	if sum != e.Cost || len(e.Names) != len(e.Features) {
		f.Errorf("event %s costs %s, its %d features (%d names) %s", e.ID, e.Cost, len(e.Features), len(e.Names), sum)
	}
}

// agrees checks the sums against the ledger's.
func (f *follower) agrees(filter analytics.Filter) {
	f.Helper()
	t, err := f.ledger.Query(context.Background(), analytics.Query{Filter: filter, GroupBy: []analytics.Dimension{analytics.Feature}, Measures: analytics.MeasureSource})
	if err != nil {
		f.Fatal(err)
	}
	if want := (Sums{t.Cost, t.Calls, t.Unpriced, t.Fallback}); f.total != want {
		f.Errorf("the stream sums up to %+v, the ledger to %+v", f.total, want)
	}
	if len(t.Rows) <= Shown {
		for _, row := range t.Rows {
			if got := f.by[row.Names[0]]; got != row.Cost {
				f.Errorf("feature %q: the stream says %s, the ledger %s", row.Names[0], got, row.Cost)
			}
		}
	}
}

// pause lets the time pass, and everything happen that is due by then.
func (r *rig) pause(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
	time.Sleep(time.Millisecond)
	synctest.Wait()
}

func TestSnapshotThenUpdates(t *testing.T) {
	inBubble(t, 0, func(r *rig) {
		r.ingest(3)
		f := r.follow(analytics.Filter{}, "")
		f.drain()
		if f.fresh != 1 || f.total.Calls != 3 {
			t.Fatalf("the first event: %d snapshots of %d calls", f.fresh, f.total.Calls)
		}
		for range 5 { // one update for each batch when there is time
			r.pause(pace)
			r.ingest(2, feature("search"))
			synctest.Wait()
			f.drain()
		}
		f.agrees(analytics.Filter{})
		if f.updates != 5 {
			t.Errorf("%d updates for 5 batches", f.updates)
		}
		// Only aggregates, or nothing that the filter wants, tells nothing.
		r.pause(pace)
		r.ingest(2, func(rec *usage.Record) { rec.Aggregate = true })
		synctest.Wait()
		f.drain()
		if f.events != 6 {
			t.Errorf("aggregates made an event")
		}
		f.s.Close()
		f.s.Close()
	})
}

func TestCoalesced(t *testing.T) {
	inBubble(t, 0, func(r *rig) {
		f := r.follow(analytics.Filter{}, "")
		start := time.Now()
		for range 500 { // 2 s
			r.ingest(1)
			time.Sleep(4 * time.Millisecond)
			f.drain()
		}
		took := time.Since(start)
		r.pause(pace)
		f.drain()
		f.agrees(analytics.Filter{})
		if most := int(took/pace) + 1; f.updates > most || f.updates < most-2 {
			t.Errorf("%d updates in %v, want about %d", f.updates, took, most)
		}
		f.s.Close()
	})
}

func TestResume(t *testing.T) {
	inBubble(t, 0, func(r *rig) {
		f := r.follow(analytics.Filter{}, "")
		step := func() { r.ingest(2); r.pause(pace); f.drain() }
		step()
		f.s.Close()
		step() // missed
		step()
		before := f.fresh
		f.s = r.follow(analytics.Filter{}, f.lastID).s
		f.drain()
		step()
		f.agrees(analytics.Filter{})
		if f.fresh != before {
			t.Errorf("a stream that could go on began with a snapshot")
		}
		seen := f.lastID

		// Nothing missed: nothing told.
		f.s.Close()
		again := r.follow(analytics.Filter{}, seen)
		again.drain()
		if again.events != 0 {
			t.Errorf("a stream that missed nothing was told %d events", again.events)
		}
		again.s.Close()

		// What this hub cannot know begins afresh.
		other := analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Feature: {"chat"}}}
		for name, id := range map[string]string{
			"another process": "0123456789ab" + seen[12:], "the future": seen + "0", "nonsense": "x", "long": string(make([]byte, 9000)),
			"padded": seen[:len(seen)-1] + "0" + seen[len(seen)-1:],
		} {
			g := r.follow(analytics.Filter{}, id)
			g.drain()
			if g.fresh != 1 || g.events != 1 {
				t.Errorf("%s: %d events, %d snapshots", name, g.events, g.fresh)
			}
			g.agrees(analytics.Filter{})
			g.s.Close()
		}
		g := r.follow(other, seen)
		g.drain()
		if g.fresh != 1 {
			t.Errorf("the id of another filter was taken")
		}
		g.s.Close()

		// So does what is too old.
		f = r.follow(analytics.Filter{}, "")
		f.drain()
		old := f.lastID
		for range historyLength + 2 {
			step()
		}
		h := r.follow(analytics.Filter{}, old)
		h.drain()
		if h.fresh != 1 {
			t.Errorf("an id older than the history was taken")
		}
		h.agrees(analytics.Filter{})
		h.s.Close()
		f.s.Close()

		// A view that nobody came back to is gone.
		time.Sleep(linger + 2*checkEvery)
		synctest.Wait()
		r.hub.mu.Lock()
		views := len(r.hub.views)
		r.hub.mu.Unlock()
		if views != 0 {
			t.Errorf("%d views are left", views)
		}
	})
}

func TestCorrectionBeginsAfresh(t *testing.T) {
	inBubble(t, 0, func(r *rig) {
		r.ingest(3)
		f := r.follow(analytics.Filter{}, "")
		f.drain()
		wrong := record("wrong", 5)
		r.hub.Announce(r.store(wrong), []usage.Record{wrong})
		r.pause(pace)
		f.drain()
		right := wrong.Costing
		right.Classes[usage.ClassInput] = 7
		if n, err := r.ledger.Correct(r.Context(), store.Correction{Changes: []store.CostChange{
			{ID: wrong.ID, Timestamp: wrong.Timestamp, WasSource: wrong.Source, WasPriceID: wrong.PriceID, Now: right},
		}}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		seen := f.lastID
		r.hub.Matters()
		r.pause(pace)
		f.drain()
		f.agrees(analytics.Filter{})
		if f.fresh != 2 {
			t.Errorf("%d snapshots, want a second one", f.fresh)
		}
		g := r.follow(analytics.Filter{}, seen)
		g.drain()
		if g.fresh != 1 {
			t.Errorf("a stream from before the correction went on")
		}
		g.s.Close()
		// Removed events are found without being told.
		if _, err := r.ledger.Prune(r.Context(), map[string]time.Time{"default": time.Now().Add(100 * 365 * 24 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		r.pause(2 * checkEvery)
		f.drain()
		f.agrees(analytics.Filter{})
		events := f.events
		r.pause(20 * checkEvery)
		f.drain()
		if f.events != events {
			t.Errorf("%d events while nothing happened", f.events-events)
		}
		f.s.Close()
	})
}

// A commit that nobody announced shows within two checks, as a snapshot.
func TestUnannouncedCommit(t *testing.T) {
	inBubble(t, 0, func(r *rig) {
		f := r.follow(analytics.Filter{}, "")
		f.drain()
		r.store(record("silent", 5))
		r.ingest(1)
		r.pause(pace)
		f.drain()
		if f.total.Calls != 1 {
			t.Errorf("%d calls, want the one that was announced", f.total.Calls)
		}
		r.pause(2*checkEvery + pace)
		f.drain()
		f.agrees(analytics.Filter{})
		if f.fresh != 2 {
			t.Errorf("%d snapshots, want a second one", f.fresh)
		}
		// An announcement that comes after all is in the snapshot already.
		late := record("late", 9)
		commit := r.store(late)
		r.pause(2*checkEvery + pace)
		r.hub.Announce(commit, []usage.Record{late})
		r.pause(pace)
		f.drain()
		f.agrees(analytics.Filter{})
		f.s.Close()
	})
}

func TestSlowReaderIsDropped(t *testing.T) {
	inBubble(t, 0, func(r *rig) {
		slow, quick := r.follow(analytics.Filter{}, ""), r.follow(analytics.Filter{}, "")
		for range streamBuffer + 5 {
			r.ingest(1)
			r.pause(pace)
			quick.drain()
		}
		n := 0
		for range slow.s.Events() {
			n++
		}
		if !errors.Is(slow.s.Err(), ErrSlow) || n != streamBuffer || r.hub.Dropped() != 1 || r.hub.Streams() != 1 {
			t.Errorf("after %d events the slow stream says %v; %d dropped, %d left", n, slow.s.Err(), r.hub.Dropped(), r.hub.Streams())
		}
		quick.agrees(analytics.Filter{})
		slow.s.Close()
		quick.s.Close()
	})
}

func TestMaxStreams(t *testing.T) {
	inBubble(t, 2, func(r *rig) {
		a, b := r.follow(analytics.Filter{}, ""), r.follow(analytics.Filter{}, "")
		_, err := r.hub.Subscribe(r.Context(), Request{})
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.Unavailable || f.RetryAfter <= 0 {
			t.Errorf("the third stream: %v", err)
		}
		a.s.Close()
		r.follow(analytics.Filter{}, "").s.Close()
		b.s.Close()
	})
}

func TestClose(t *testing.T) {
	inBubble(t, 0, func(r *rig) {
		f := r.follow(analytics.Filter{}, "")
		r.hub.Close()
		for range f.s.Events() { //nolint:revive // until it ends
		}
		if !errors.Is(f.s.Err(), ErrClosed) {
			t.Errorf("the stream ended with %v", f.s.Err())
		}
		if _, err := r.hub.Subscribe(r.Context(), Request{}); !errors.Is(err, ErrClosed) {
			t.Errorf("a stream after Close: %v", err)
		}
		r.ingest(1) // tells nobody
		f.s.Close()
	})
}

func TestLedgerAway(t *testing.T) {
	inBubble(t, 0, func(r *rig) {
		away := &fault.Error{Code: fault.Unavailable, Message: "away"}
		set := func(err error) { r.mu.Lock(); r.fail = err; r.mu.Unlock() }
		set(away)
		if _, err := r.hub.Subscribe(r.Context(), Request{}); !errors.Is(err, away) {
			t.Errorf("a stream without a ledger: %v", err)
		}
		set(nil)
		f := r.follow(analytics.Filter{}, "")
		f.drain()
		set(away)
		r.hub.mu.Lock()
		for _, v := range r.hub.views {
			v.begin()
		}
		r.hub.mu.Unlock()
		r.ingest(2)
		r.pause(10 * time.Second)
		f.drain()
		if f.events != 1 {
			t.Errorf("%d events from a ledger that does not answer", f.events)
		}
		set(nil)
		r.pause(retryAfter + pace)
		f.drain()
		f.agrees(analytics.Filter{})
		f.s.Close()
	})
}

// A subscriber that gives up while it waits leaves nothing behind.
func TestGivingUp(t *testing.T) {
	inBubble(t, 0, func(r *rig) {
		f := r.follow(analytics.Filter{}, "")
		r.ingest(1)
		synctest.Wait()
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		for range 20 {
			if s, err := r.hub.Subscribe(ctx, Request{}); err == nil {
				s.Close()
			}
		}
		if n := r.hub.Streams(); n != 1 {
			t.Errorf("%d streams, want 1", n)
		}
		f.s.Close()
	})
}

func TestManyFeatures(t *testing.T) {
	inBubble(t, 0, func(r *rig) {
		for i := range maxNames + 50 {
			r.ingest(1+i%3, feature(fmt.Sprint("f", i)))
		}
		f := r.follow(analytics.Filter{}, "")
		f.drain()
		if len(f.by) != Shown+1 {
			t.Errorf("%d features, want %d and %s", len(f.by), Shown, Other)
		}
		for i := range 3 * Shown {
			r.ingest(1, feature(fmt.Sprint("new", i)))
		}
		r.pause(pace)
		f.drain()
		f.agrees(analytics.Filter{})
		f.s.Close()
	})
}

// Views are asked for once, however many streams follow them.
func TestOneQuestionForManyStreams(t *testing.T) {
	inBubble(t, 0, func(r *rig) {
		var all []*follower
		for i := range 200 {
			f := analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Feature: {"chat", "search"}}}
			if i%2 == 0 {
				f.Any[analytics.Feature] = []string{"search", "chat", "chat"}
			}
			all = append(all, r.follow(f, ""))
		}
		if r.asked != 1 {
			t.Errorf("the ledger was asked %d times", r.asked)
		}
		for range 10 {
			r.ingest(3)
			r.pause(pace)
		}
		for _, f := range all {
			f.drain()
			f.agrees(analytics.Filter{})
			f.s.Close()
		}
	})
}
