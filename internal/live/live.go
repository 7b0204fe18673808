// Package live tells subscribers what is being stored, while it is stored. A
// Hub holds, for each filter that somebody follows, a view: the exact sums of
// one moment of the ledger, and what was announced since. It owns who follows
// what, at which pace, and how an interrupted stream goes on; it knows no HTTP,
// no JSON and no engine.
//
// Never a gap, never a repeat: a view begins with the ledger's answer as of
// commit N and adds exactly the announced messages of later commits. What the
// hub cannot vouch for (a lost message, corrected or removed events, commits
// that nobody announced) ends in a fresh snapshot, never in a wrong sum.
package live

import (
	"context"
	"sync"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
)

// Ledger is what a hub needs of a store.Ledger.
type Ledger interface {
	Query(ctx context.Context, q analytics.Query) (analytics.Table, error)
}

// Message is what one batch newly stored.
type Message struct {
	// Commit is the number from which the ledger's answers hold these calls.
	Commit int64
	// Detail says by what Cells tell calls apart.
	Detail Detail
	Cells  []Cell
}

// Channel carries messages to the hubs of all servers that share a ledger.
type Channel interface {
	// Connect says who receives here. It is called once, before Publish.
	Connect(r Receiver)
	// Publish hands m to every receiver, that of this process included, and waits
	// for none. When a message may have been lost on its way, the channel tells the
	// receiver that missed it.
	Publish(m Message)
	// Detail is what receivers elsewhere may need; 0 when there are none.
	Detail() Detail
	// Need says what the receiver of this process needs from now on.
	Need(d Detail)
}

// Receiver takes messages. Its methods do not block and may be called from many
// goroutines; messages may come in any order.
type Receiver interface {
	Receive(m Message)
	// Missed says that messages may have been lost, which may share a commit with
	// one that was received.
	Missed()
}

// Sums are exact sums over calls; aggregates do not count.
type Sums struct {
	Cost  money.Total
	Calls int64
	// Unpriced counts calls whose cost is the caller's estimate or unknown,
	// Fallback those that took the standard tier's or region's price.
	Unpriced, Fallback int64
}

func (s *Sums) add(o Sums) {
	s.Cost = s.Cost.Plus(o.Cost)
	s.Calls += o.Calls
	s.Unpriced += o.Unpriced
	s.Fallback += o.Fallback
}

// Other is the name under which the features beyond Shown are summed.
const Other = "(other)"

// Shown is how many features an event names, the dearest.
const Shown = 100

// Event is one thing that a stream tells. It is shared by many streams and does
// not change.
type Event struct {
	// ID lets a stream that was interrupted go on behind this event.
	ID string
	// Snapshot says that this is the state and what came before is void; otherwise
	// it is what was stored since the event before.
	Snapshot bool
	// At is when the event was made.
	At time.Time
	// Sums are of everything for a snapshot, else of what is new.
	Sums
	// Running are the sums of everything.
	Running Sums
	// Features has the cost of each of the dearest features in Sums, and of the
	// rest as Other; Names are they, dearest first.
	Features map[string]money.Total
	Names    []string

	seq  uint64
	once sync.Once
	text []byte
}

// Text gives what render makes of the event, made once however many streams
// send it.
func (e *Event) Text(render func(*Event) []byte) []byte {
	e.once.Do(func() { e.text = render(e) })
	return e.text
}

// The reasons for which a stream ends by itself.
var (
	// ErrSlow: the reader did not keep up.
	ErrSlow = fault.New(fault.Gone, "the stream was read too slowly and was ended")
	// ErrClosed: the hub is closed.
	ErrClosed = &fault.Error{Code: fault.Unavailable, Message: "The server is shutting down; follow the stream again", RetryAfter: 2 * time.Second}
)
