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

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/redis"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// bus is a Redis that loses what the test wants lost.
type bus struct {
	mu        sync.Mutex
	down      bool
	lose      int // the next so many texts are lost without a word
	fail      int // the next so many are delivered and reported as failed
	listeners map[redis.Listener]bool
}

func (b *bus) Up() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.down
}

func (b *bus) Publish(_ context.Context, _ string, text []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.down:
		return errors.New("away")
	case b.lose > 0:
		b.lose--
		return nil
	}
	for l := range b.listeners {
		l.Heard(text)
	}
	if b.fail > 0 {
		b.fail--
		return errors.New("no answer in time")
	}
	return nil
}

func (b *bus) Listen(ctx context.Context, _ string, _ time.Duration, l redis.Listener) {
	b.mu.Lock()
	b.listeners[l] = true
	l.Began()
	b.mu.Unlock()
	<-ctx.Done()
	b.mu.Lock()
	delete(b.listeners, l)
	b.mu.Unlock()
}

// set changes what happens to texts; those who listen begin anew when Redis is back.
func (b *bus) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.down
	change()
	if was && !b.down {
		for l := range b.listeners {
			l.Began()
		}
	}
}

// member is one of several servers on one ledger.
type member struct {
	*rig
	stop func()
}

func join(t *testing.T, rt tester, ledger *reference.Ledger, b Bus) *member {
	r := &rig{tester: rt, ledger: ledger}
	channel := NewRedis(b, "ledger")
	r.hub = New(t.Context(), Params{Ledger: r, Channel: channel, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	var ran sync.WaitGroup
	ran.Go(func() { _ = r.hub.Run(ctx) })
	ran.Go(func() { _ = channel.Run(ctx) })
	return &member{r, func() { cancel(); r.hub.Close(); ran.Wait() }}
}

func TestOtherServersReachStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger, b := &reference.Ledger{}, &bus{listeners: map[redis.Listener]bool{}}
		one, two := join(t, t, ledger, b), join(t, t, ledger, b)
		defer two.stop()
		defer one.stop()
		filter := analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Feature: {"chat"}}}
		f := two.follow(filter, "")
		two.pause(3 * time.Second) // until the servers know each other
		f.drain()
		fresh := f.fresh
		for i := range 50 {
			rec := record(fmt.Sprint("s", i), 3)
			one.hub.Announce(one.store(rec), []usage.Record{rec})
			two.pause(pace)
			f.drain()
		}
		f.agrees(filter)
		if f.fresh != fresh || f.updates != 50 {
			t.Errorf("%d updates and %d fresh snapshots for 50 batches of another server, want 50 and none", f.updates, f.fresh-fresh)
		}
		// A lost message, one of unknown fate, and an outage end in snapshots.
		for i, change := range []func(){func() { b.lose = 1 }, func() { b.fail = 1 }, func() { b.down = true }, func() { b.down = false }} {
			b.set(change)
			rec := record(fmt.Sprint("lost", i), 5)
			one.hub.Announce(one.store(rec), []usage.Record{rec})
			two.pause(2*checkEvery + 2*pace)
			f.drain()
			f.agrees(filter)
		}
		if f.fresh == fresh {
			t.Error("no snapshot after messages were lost")
		}
		f.s.Close()
	})
}

// Two appends may share a commit. When only one of their messages arrives the
// commit alone does not tell.
func TestLostHalfOfACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger, b := &reference.Ledger{}, &bus{listeners: map[redis.Listener]bool{}}
		one, two := join(t, t, ledger, b), join(t, t, ledger, b)
		defer two.stop()
		f := two.follow(analytics.Filter{}, "")
		two.pause(3 * time.Second)
		halves := []usage.Record{record("half 1", 1), record("half 2", 2)}
		commit := one.store(halves...)
		one.hub.Announce(commit, halves[:1])
		one.pause(pace)
		b.set(func() { b.lose = 1 })
		one.hub.Announce(commit, halves[1:])
		one.pause(pace)
		f.drain()
		if f.total.Calls != 1 {
			t.Fatalf("%d calls, want the half that arrived", f.total.Calls)
		}
		two.pause(3 * time.Second)
		f.drain()
		f.agrees(analytics.Filter{})

		// The server ends between the two.
		halves = []usage.Record{record("half 3", 1), record("half 4", 2)}
		commit = one.store(halves...)
		one.hub.Announce(commit, halves[:1])
		one.pause(pace)
		one.stop()
		two.pause(forgetAfter + 3*time.Second)
		f.drain()
		f.agrees(analytics.Filter{})
		f.s.Close()
	})
}

// A replica that lacks what another server announced is not believed.
func TestAnswerOlderThanAnnounced(t *testing.T) {
	inBubble(t, 0, func(r *rig) {
		f := r.follow(analytics.Filter{}, "")
		r.ingest(2)
		r.pause(pace)
		f.drain()
		r.hub.Receive(Message{Commit: 2, Detail: DetailAll, Cells: condense([]usage.Record{record("x", 1)}, DetailAll)})
		r.pause(pace)
		f.drain()
		if f.total.Calls != 3 {
			t.Fatalf("%d calls, want 3", f.total.Calls)
		}
		r.hub.Missed()
		r.pause(5 * time.Second)
		f.drain()
		if f.fresh != 1 {
			t.Errorf("a snapshot of a ledger without what was announced")
		}
		rec := record("x", 1)
		r.store(rec)
		r.pause(3 * time.Second)
		f.drain()
		f.agrees(analytics.Filter{})
		if f.fresh != 2 {
			t.Errorf("%d snapshots, want one when the ledger caught up", f.fresh)
		}
		// What it lost for good is not waited for.
		r.hub.Receive(Message{Commit: 900, Detail: DetailAll, Cells: condense([]usage.Record{record("gone", 1)}, DetailAll)})
		r.hub.Missed()
		r.pause((maxBehind + 10) * time.Second)
		f.drain()
		f.agrees(analytics.Filter{})
		f.s.Close()
	})
}

// Whatever is lost, doubled or late, streams of all servers sum up to the ledger.
func TestServersAgreeWithTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			ledger, b := &reference.Ledger{}, &bus{listeners: map[redis.Listener]bool{}}
			var members []*member
			var followers []*follower
			for range rapid.IntRange(2, 3).Draw(rt, "servers") {
				m := join(t, rt, ledger, b)
				members = append(members, m)
			}
			defer func() {
				for _, m := range members {
					m.stop()
				}
			}()
			pick := func() *member { return members[rapid.IntRange(0, len(members)-1).Draw(rt, "server")] }
			spans := 0
			batch := func() []usage.Record {
				var rs []usage.Record
				for range rapid.IntRange(1, 3).Draw(rt, "events") {
					spans++
					rs = append(rs, drawRecord(rt, spans))
				}
				return rs
			}
			var late []func()
			rt.Repeat(map[string]func(*rapid.T){
				"ingest": func(*rapid.T) { m, rs := pick(), batch(); m.hub.Announce(m.store(rs...), rs) },
				"shared commit": func(*rapid.T) {
					m, rs := pick(), append(batch(), batch()...)
					commit, at := m.store(rs...), rapid.IntRange(0, len(rs)-1).Draw(rt, "at")
					m.hub.Announce(commit, rs[:at])
					late = append(late, func() { m.hub.Announce(commit, rs[at:]) })
				},
				"announce": func(*rapid.T) {
					for _, f := range late {
						f()
					}
					late = nil
				},
				"follow": func(rt *rapid.T) {
					if len(followers) < 5 {
						followers = append(followers, pick().follow(analytics.Filter{}, ""))
					}
				},
				"fault": func(rt *rapid.T) {
					n := rapid.IntRange(0, 3).Draw(rt, "kind")
					b.set(func() {
						switch n {
						case 0:
							b.down = !b.down
						case 1:
							b.lose++
						case 2:
							b.fail++
						}
					})
				},
				"pause": func(rt *rapid.T) {
					time.Sleep(time.Duration(rapid.IntRange(0, 1500).Draw(rt, "ms")) * time.Millisecond)
					synctest.Wait()
				},
				"read": func(*rapid.T) {
					for _, f := range followers {
						f.drain()
					}
				},
			})
			for _, f := range late {
				f()
			}
			b.set(func() { b.down, b.lose, b.fail = false, 0, 0 })
			members[0].pause(5*time.Second + pace)
			for _, f := range followers {
				f.drain()
				f.agrees(analytics.Filter{})
				f.s.Close()
			}
		})
	})
}

func TestFrameRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := frame{From: "a", Number: rapid.Uint64().Draw(rt, "number"), Need: Detail(rapid.Uint32Range(0, uint32(DetailAll)).Draw(rt, "need"))}
		text := f.appendHead(nil)
		for i := range rapid.IntRange(0, 3).Draw(rt, "messages") {
			d := Detail(rapid.Uint32Range(0, uint32(DetailAll)).Draw(rt, "detail"))
			var rs []usage.Record
			for j := range rapid.IntRange(0, 4).Draw(rt, "records") {
				rs = append(rs, drawRecord(rt, 10*i+j))
			}
			m := Message{Commit: rapid.Int64().Draw(rt, "commit"), Detail: d, Cells: condense(rs, d)}
			text = appendMessage(text, &m)
			f.Messages = append(f.Messages, m)
		}
		got, err := readFrame(text)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(fmt.Sprintf("%+v", f), fmt.Sprintf("%+v", got)); diff != "" {
			rt.Fatal(diff)
		}
		if _, err := readFrame(text[:rapid.IntRange(0, 1).Draw(rt, "cut")]); err == nil {
			rt.Fatal("a cut frame was read")
		}
	})
}

func FuzzReadFrame(f *testing.F) {
	seed := frame{From: "a", Number: 7, Need: DetailAll}
	rs := []usage.Record{record("x", 5), record("y", 6, feature("g"))}
	f.Add(appendMessage(seed.appendHead(nil), &Message{Commit: 9, Detail: DetailAll, Cells: condense(rs, DetailAll)}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := readFrame(text)
		if err != nil {
			return
		}
		again := got.appendHead(nil)
		for i := range got.Messages {
			again = appendMessage(again, &got.Messages[i])
		}
		if _, err := readFrame(again); err != nil {
			t.Fatal(err)
		}
	})
}
