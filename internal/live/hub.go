package live

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/usage"
)

// Params are what a Hub is made of. Ledger, Channel and Log are required.
type Params struct {
	Ledger  Ledger
	Channel Channel
	// MaxStreams is how many streams there may be at once; 0 is no bound.
	MaxStreams int
	Now        func() time.Time
	Log        *slog.Logger
}

const (
	// pace is the least time between two events of a stream.
	pace = 100 * time.Millisecond
	// rate is how many events all streams of a view together take in a second: with
	// very many streams each is told less often.
	rate = 2500
	// checkEvery is how often a followed ledger is asked whether anything happened
	// to it that was not announced.
	checkEvery = time.Second
	// linger is how long a view that nobody follows any more is kept for streams
	// that come back, and maxLingering how many such views.
	linger       = time.Minute
	maxLingering = 64
)

// Hub is where streams come from. It may be used from many goroutines.
type Hub struct {
	Params
	ctx      context.Context
	stop     context.CancelFunc
	instance string
	matters  chan struct{} // wakes Run

	streams, dropped atomic.Int64
	wanted           atomic.Uint32 // the Detail that views need; 0 without views
	missed           atomic.Bool   // messages may have been lost since the last check

	mu     sync.Mutex
	closed bool
	views  map[string]*view
	made   uint64 // views ever made
	log    backlog
	heard  heard
	// newest is the highest commit of all messages.
	newest int64
	// lacking is for how many checks the ledger did not have it.
	lacking int
}

// New makes a hub whose work ends with ctx, or with Close.
func New(ctx context.Context, p Params) *Hub {
	if p.Now == nil {
		p.Now = time.Now
	}
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	h := &Hub{Params: p, instance: hex.EncodeToString(id[:]), matters: make(chan struct{}, 1), views: map[string]*view{}}
	h.log.first = 1
	h.ctx, h.stop = context.WithCancel(ctx)
	p.Channel.Connect(h)
	return h
}

// Announce tells what a batch newly stored under a commit. It waits for nobody.
func (h *Hub) Announce(commit int64, stored []usage.Record) {
	// A view that begins after this asks the ledger, which has the batch already.
	detail := Detail(h.wanted.Load()) | h.Channel.Detail()
	if detail == 0 {
		return
	}
	h.Channel.Publish(Message{Commit: commit, Detail: detail, Cells: condense(stored, detail)})
}

// Receive implements Receiver.
func (h *Hub) Receive(m Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.views) == 0 || h.closed {
		return
	}
	h.heard.note(m.Commit)
	h.newest = max(h.newest, m.Commit)
	if len(m.Cells) == 0 {
		return // aggregates only
	}
	h.log.push(m)
	for _, v := range h.views {
		v.wake()
	}
}

// Missed implements Receiver. Views begin afresh at the next check, however often
// it is called until then.
func (h *Hub) Missed() { h.missed.Store(true) }

// Matters says that stored events may have been corrected or removed, so that
// streams need not wait for the next check.
func (h *Hub) Matters() {
	select {
	case h.matters <- struct{}{}:
	default:
	}
}

// Streams is how many streams there are.
func (h *Hub) Streams() int64 { return h.streams.Load() }

// Dropped is how many streams ended because their reader was too slow.
func (h *Hub) Dropped() int64 { return h.dropped.Load() }

// Request asks for a stream.
type Request struct {
	// Filter selects calls; its time bounds are empty.
	Filter analytics.Filter
	// LastID is the id of the last event that an interrupted stream saw; "" for a
	// new one.
	LastID string
}

// Subscribe begins a stream. One whose LastID this hub still knows goes on
// behind it; any other begins with a snapshot that holds everything that was
// acknowledged before the call. fault.Unavailable when there are MaxStreams, when
// the ledger does not answer, or after Close.
func (h *Hub) Subscribe(ctx context.Context, r Request) (*Stream, error) {
	m, err := newMatcher(r.Filter)
	if err != nil {
		return nil, err
	}
	if n := h.streams.Add(1); h.MaxStreams > 0 && n > int64(h.MaxStreams) {
		h.streams.Add(-1)
		return nil, &fault.Error{
			Code: fault.Unavailable, Message: "There are as many live streams as this server allows (SSE_MAX_CONNECTIONS); try again", RetryAfter: 5 * time.Second,
		}
	}
	s := &Stream{hub: h, events: make(chan *Event, streamBuffer), ended: make(chan struct{}), joined: make(chan error, 1), lastID: r.LastID}
	if err := h.enter(s, r.Filter, m); err != nil {
		h.streams.Add(-1)
		return nil, err
	}
	select {
	case err = <-s.joined:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// enter puts the stream at the door of its view, which is made when there is none.
func (h *Hub) enter(s *Stream, f analytics.Filter, m *matcher) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.ctx.Err() != nil {
		return ErrClosed
	}
	key := filterKey(f)
	v := h.views[key]
	if v == nil {
		h.made++
		v = newView(h, h.made, f, m)
		if len(h.views) == 0 {
			h.heard, h.newest, h.lacking = heard{}, 0, 0
		}
		h.views[key] = v
		h.Channel.Need(Detail(h.wanted.Or(uint32(m.need))) | m.need)
		v.pos = h.log.last
		go v.run()
	}
	s.view = v
	v.mu.Lock()
	v.waiting = append(v.waiting, s)
	v.mu.Unlock()
	v.wake()
	return nil
}

// Close ends all streams, and refuses new ones.
func (h *Hub) Close() {
	h.stop()
	h.mu.Lock()
	h.closed = true
	views := h.views
	h.views = map[string]*view{}
	h.need(0)
	h.log.clear()
	h.mu.Unlock()
	for _, v := range views {
		<-v.done
	}
}

// Run looks after the views until ctx ends.
func (h *Hub) Run(ctx context.Context) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.ctx.Done():
			return nil
		case <-tick.C:
		case <-h.matters:
		}
		h.sweep()
		h.check(ctx)
	}
}

// sweep gives up views that nobody came back to.
func (h *Hub) sweep() {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	idle := 0
	for key, v := range h.views {
		since, empty := v.empty()
		if !empty {
			continue
		}
		if idle++; idle > maxLingering || now.Sub(since) >= linger {
			delete(h.views, key)
			v.stop()
		}
	}
	if len(h.views) == 0 {
		h.need(0)
		h.log.clear()
		return
	}
	need := Detail(0)
	for _, v := range h.views {
		need |= v.matcher.need
	}
	h.need(need)
}

// need tells who announces; mu is held.
func (h *Hub) need(d Detail) {
	if h.wanted.Swap(uint32(d)) != uint32(d) {
		h.Channel.Need(d)
	}
}

// check finds what no message told: corrected or removed events, and commits
// that nobody announced. Who follows them begins afresh.
func (h *Hub) check(ctx context.Context) {
	h.mu.Lock()
	followed := len(h.views) > 0
	if h.missed.Swap(false) {
		for _, v := range h.views {
			v.begin()
		}
	}
	h.mu.Unlock()
	if !followed {
		return
	}
	t, err := h.Ledger.Query(ctx, analytics.Query{Filter: analytics.Filter{To: usage.Epoch}})
	if err != nil {
		if ctx.Err() == nil {
			h.Log.Debug("live: the ledger does not say where it is", "error", err)
		}
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.behind(t.AsOf)
	lost := h.heard.lost(t.AsOf)
	for _, v := range h.views {
		if asOf, revision, ok := v.moment(); ok && (revision != t.Revision || asOf < lost) {
			v.begin()
		}
	}
}

// maxBehind is for how many checks the ledger may lack what was announced: longer
// than any replica is behind that is of use. Then it lost it, or is another ledger.
const maxBehind = 30

// behind looks whether the ledger has what was announced; mu is held.
func (h *Hub) behind(asOf int64) {
	if asOf >= h.newest {
		h.lacking = 0
	} else if h.lacking++; h.lacking >= maxBehind {
		h.newest, h.lacking = asOf, 0
	}
}

// based says that a view has the sums of a commit.
func (h *Hub) based(asOf int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard.start(asOf)
}

// position is the number of the last message, and the highest commit of all.
func (h *Hub) position() (last uint64, newest int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.last, h.newest
}

func (h *Hub) messagesAfter(n uint64) ([]Message, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.after(n)
}
