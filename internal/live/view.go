package live

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
)

// historyLength is how many events are kept for streams that come back.
const historyLength = 256

// view is what all streams with one filter follow. One goroutine, run, keeps its
// sums; everything below mu is shared.
type view struct {
	hub     *Hub
	number  uint64
	filter  analytics.Filter
	matcher *matcher
	ctx     context.Context
	stop    context.CancelFunc
	done    chan struct{}
	woken   chan struct{}

	// Of run alone.
	pos   uint64 // the last message read
	state state
	told  time.Time // when the streams were last told something

	mu       sync.Mutex
	waiting  []*Stream
	streams  map[*Stream]bool
	since    time.Time // when the last stream left
	based    bool
	outdated bool
	asOf     int64
	revision int64
	seq      uint64   // of the last event
	history  []*Event // the latest, in order; a snapshot voids what is before it
}

func newView(h *Hub, number uint64, f analytics.Filter, m *matcher) *view {
	v := &view{
		hub: h, number: number, filter: f, matcher: m, done: make(chan struct{}), woken: make(chan struct{}, 1),
		streams: map[*Stream]bool{}, since: time.Now(),
	}
	v.ctx, v.stop = context.WithCancel(h.ctx)
	return v
}

func (v *view) wake() {
	select {
	case v.woken <- struct{}{}:
	default:
	}
}

// begin has the view ask the ledger anew.
func (v *view) begin() {
	v.mu.Lock()
	v.outdated = true
	v.mu.Unlock()
	v.wake()
}

// moment is the commit and revision that the view began with.
func (v *view) moment() (asOf, revision int64, based bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asOf, v.revision, v.based && !v.outdated
}

// empty says whether nobody follows, and since when.
func (v *view) empty() (time.Time, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.since, len(v.streams) == 0 && len(v.waiting) == 0
}

func (v *view) leave(s *Stream) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.streams, s)
	for i, w := range v.waiting {
		if w == s {
			v.waiting = append(v.waiting[:i:i], v.waiting[i+1:]...)
			break
		}
	}
	if len(v.streams) == 0 {
		v.since = time.Now()
	}
}

func (v *view) run() {
	defer close(v.done)
	defer v.close()
	timer := time.NewTimer(0)
	<-timer.C
	for {
		select {
		case <-v.woken:
		case <-v.ctx.Done():
			return
		}
		for wait := v.wait(); wait > 0; wait = v.wait() {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-v.ctx.Done():
				return
			}
		}
		if _, empty := v.empty(); empty {
			continue // what comes meanwhile is read when somebody comes
		}
		if again := v.tick(); again > 0 {
			timer.Reset(again)
			select {
			case <-timer.C:
				v.wake()
			case <-v.ctx.Done():
				return
			}
		}
	}
}

// wait is how long the streams must not be told anything yet.
func (v *view) wait() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	least := max(pace, time.Duration(len(v.streams))*time.Second/rate)
	return time.Until(v.told.Add(least))
}

func (v *view) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for s := range v.streams {
		s.end(ErrClosed)
	}
	for _, s := range v.waiting {
		s.joined <- ErrClosed
	}
	v.streams, v.waiting = map[*Stream]bool{}, nil
}

// retryAfter is how long a ledger that does not answer is left alone.
const retryAfter = time.Second

// tick tells the streams what is new and lets in those that wait. It returns
// after how long it must be called again, 0 for when it is woken.
func (v *view) tick() time.Duration {
	v.mu.Lock()
	fresh := !v.based || v.outdated
	v.mu.Unlock()
	var update *Event
	if !fresh {
		messages, ok := v.hub.messagesAfter(v.pos)
		if ok {
			update, ok = v.apply(messages)
		}
		fresh = !ok
	}
	if fresh {
		if err := v.ask(); err != nil {
			return v.unanswered(err)
		}
		update = v.state.snapshot(v.hub.Now())
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if update != nil {
		v.publish(update)
	}
	v.admit()
	return 0
}

// ask begins with the ledger's sums of now.
func (v *view) ask() error {
	v.mu.Lock()
	v.outdated = false // what is found out from here on counts again
	v.mu.Unlock()
	pos, newest := v.hub.position()
	q := analytics.Query{
		Filter: v.filter, GroupBy: []analytics.Dimension{analytics.Feature}, Measures: analytics.MeasureSource, Limit: maxNames,
	}
	t, err := v.hub.Ledger.Query(v.ctx, q)
	if err == nil && t.AsOf < newest {
		// A replica lacks what another server announced already: what is before pos
		// is not added any more, so it must be in the answer.
		q.AsOf = newest
		if t, err = v.hub.Ledger.Query(v.ctx, q); err == nil && t.AsOf < newest {
			err = &fault.Error{Code: fault.Unavailable, Message: "The ledger does not have yet what was announced", RetryAfter: retryAfter}
		}
	}
	v.mu.Lock()
	if err != nil {
		v.outdated = true
	} else {
		v.pos, v.state = pos, newState(&t)
		v.based, v.asOf, v.revision = true, t.AsOf, t.Revision
	}
	v.mu.Unlock()
	if err == nil {
		v.hub.based(t.AsOf) // takes the hub's lock, which comes before the view's
	}
	return err
}

// unanswered turns away who waits while the ledger does not answer; who follows
// already is told when it does.
func (v *view) unanswered(err error) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.waiting {
		s.joined <- err
	}
	v.waiting = nil
	if len(v.streams) == 0 {
		return 0
	}
	if v.ctx.Err() == nil && fault.CodeOf(err) != fault.Unavailable {
		v.hub.Log.Warn("live streams wait for the ledger", "error", err)
	}
	return retryAfter
}

// apply adds messages to the sums and gives what they tell, nil for nothing. It
// is false when a message does not say enough.
func (v *view) apply(messages []Message) (*Event, bool) {
	v.mu.Lock()
	asOf := v.asOf
	v.mu.Unlock()
	var news state
	for i := range messages {
		m := &messages[i]
		if m.Commit <= asOf {
			continue
		}
		if m.Detail&v.matcher.need != v.matcher.need {
			return nil, false
		}
		for j := range m.Cells {
			if c := &m.Cells[j]; v.matcher.matches(c) {
				news.add(c.Texts[TextFeature], c.Sums)
			}
		}
	}
	v.pos += uint64(len(messages))
	if news.Calls == 0 {
		return nil, true
	}
	v.state.merge(&news)
	return news.update(v.hub.Now(), v.state.Sums), true
}

// publish gives the event its place and hands it to every stream; mu is held.
func (v *view) publish(e *Event) {
	v.seq++
	e.seq, e.ID = v.seq, v.id(v.seq)
	if len(v.history) == historyLength {
		copy(v.history, v.history[1:])
		v.history = v.history[:historyLength-1]
	}
	v.history = append(v.history, e)
	v.told = time.Now()
	for s := range v.streams {
		v.hand(s, e)
	}
}

// hand gives an event to a stream, or ends it when its reader is behind.
func (v *view) hand(s *Stream, e *Event) {
	select {
	case s.events <- e:
	default:
		delete(v.streams, s)
		if len(v.streams) == 0 {
			v.since = time.Now()
		}
		s.late()
		s.end(ErrSlow)
	}
}

// admit lets in who waits; mu is held.
func (v *view) admit() {
	var now *Event
	for _, s := range v.waiting {
		v.streams[s] = true
		missed, ok := v.missed(s.lastID)
		if !ok {
			if now == nil {
				now = v.state.snapshot(v.hub.Now())
				now.seq, now.ID = v.seq, v.id(v.seq)
			}
			missed = now
		}
		if missed != nil {
			v.hand(s, missed)
		}
		s.joined <- nil
	}
	v.waiting = nil
}

func (v *view) id(seq uint64) string {
	return fmt.Sprintf("%s-%d-%d", v.hub.instance, v.number, seq)
}

// missed is what a stream that saw the event with this id has not seen, as one
// event, nil for nothing. It is false when that is not known.
func (v *view) missed(lastID string) (*Event, bool) {
	mine, ok := strings.CutPrefix(lastID, fmt.Sprintf("%s-%d-", v.hub.instance, v.number))
	if !ok {
		return nil, false
	}
	seq, err := strconv.ParseUint(mine, 10, 64)
	if err != nil || seq > v.seq || mine != strconv.FormatUint(seq, 10) {
		return nil, false
	}
	if seq == v.seq {
		return nil, true
	}
	if len(v.history) == 0 || v.history[0].seq > seq+1 {
		return nil, false
	}
	behind := v.history[len(v.history)-int(v.seq-seq):]
	var news state
	for _, e := range behind {
		if e.Snapshot {
			return nil, false
		}
		news.mergeEvent(e)
	}
	last := behind[len(behind)-1]
	e := news.update(last.At, last.Running)
	e.seq, e.ID = last.seq, last.ID
	return e, true
}
