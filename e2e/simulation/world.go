// Package simulation runs the real ingest code, one thread and no clock, against
// clients that lose answers, repeat, reorder and cut batches, and against a disk
// that fails, forgets and lies about having stored. One number makes one
// schedule, always the same. What is simulated is the ledger's file and the
// clients; validation, pricing, identity and the recognition of duplicates are
// the server's own.
package simulation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/costprof/costprof/internal/ingest"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/dedupe"
	"github.com/costprof/costprof/internal/usage"
)

// Bug is a mistake that a world can be made with, to see that it is found.
type Bug string

// The bugs.
const (
	Sound Bug = ""
	// RemembersTooMuch keeps what is known after a commit that failed.
	RemembersTooMuch Bug = "what is known is kept after a failed commit"
	// AcknowledgesEarly answers before the commit is durable.
	AcknowledgesEarly Bug = "acknowledged before the commit"
	// TrustsHashes drops an event because its fingerprint is known.
	TrustsHashes Bug = "dropped by fingerprint alone"
	// ReusesNumbers counts commits from what was known before a failure.
	ReusesNumbers Bug = "commit numbers are used again"
	// ForgetsMarks leaves events counted that turned out to be aggregates.
	ForgetsMarks Bug = "marks are acknowledged and not made"
)

var errDisk = errors.New("the disk failed")

// Tally counts what schedules went through.
type Tally struct {
	Steps, Commits, Failed, Unknown, Crashes, LostAnswers, Duplicates, Conflicts, LookUps, Loads, Marks int64
	// Seen marks the abstract states that were visited: a bit for each, by hash.
	Seen []uint64
}

// Pool is what schedules draw from: the events, and the price book.
type Pool struct {
	inputs []ingest.Input
	ids    []usage.ID
	rivals []int // the other content of the same explicit identity, or -1
	// sums are events that turn out to be aggregates: first they may be sent as
	// calls.
	sums []bool
	book *pricing.Book
	base time.Time
}

const (
	poolSize = 14
	derived  = poolSize - 6
)

// NewPool makes the events: most derive their identity, some are alike but for
// one count, some have an eventId, and some share one with other content.
func NewPool() (*Pool, error) {
	book, err := pricing.Shipped()
	if err != nil {
		return nil, err
	}
	p := &Pool{book: book, base: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	for i := range poolSize {
		e := usage.Event{
			TraceID: "t", SpanID: fmt.Sprint("s", i/2), Feature: "f", Provider: "openai", Model: "gpt-4o", Project: "default",
			Timestamp: p.base.Add(time.Duration(i%4) * 7 * time.Minute), Latency: time.Millisecond, TimeToFirstToken: -1,
		}
		e.Counts[usage.Input], e.Counts[usage.Output] = int64(10+i), 5
		if i >= derived {
			e.EventID = fmt.Sprint("e", i/2)
			e.Timestamp = p.base.Add(time.Duration(i%3) * 11 * time.Minute)
		}
		rival := -1
		if i >= derived && i < derived+4 {
			rival = i ^ 1
		} else if i >= derived+4 {
			e.EventID = fmt.Sprint("own", i)
		}
		p.inputs = append(p.inputs, ingest.Input{Event: e})
		p.ids = append(p.ids, e.Identity())
		p.rivals = append(p.rivals, rival)
		p.sums = append(p.sums, i%3 == 0 && rival < 0)
	}
	return p, nil
}

// row is a stored event.
type row struct {
	rec     usage.Record
	commit  int64
	write   int64  // tells writes with one number apart
	content uint64 // as it was when it was written
}

// world is one schedule: the disk, the server's memory, and the clients.
type world struct {
	*Pool
	r     *rand.Rand
	bug   Bug
	tally *Tally

	disk   []row
	last   int64 // what the server believes to be the last commit
	spans  *dedupe.Spans
	known  *dedupe.Known
	budget int
	pipe   *ingest.Pipeline
	calm   bool // no more faults
	crash  bool
	acked  [poolSize]bool
}

// Run plays the schedule of one seed and reports the first broken promise.
func (p *Pool) Run(seed uint64, bug Bug, tally *Tally) error {
	w := &world{Pool: p, r: rand.New(rand.NewPCG(seed, 0x5eed)), bug: bug, tally: tally}
	w.budget = []int{0, 100, 300, 700, 4000}[w.r.IntN(5)]
	w.start()
	ctx := context.Background()
	for range 3 + w.r.IntN(7) {
		if err := w.step(ctx); err != nil {
			return err
		}
		w.note()
	}
	// Calm: the server starts anew now and then, every client sends until it is
	// answered.
	w.calm = true
	if w.r.IntN(2) == 0 {
		w.start()
	}
	for i := 0; i < poolSize; {
		n := min(1+w.r.IntN(8), poolSize-i)
		if err := w.send(ctx, w.some(i, n)); err != nil {
			return err
		}
		i += n
	}
	return w.judge()
}

// start is a new process: it knows what is on the disk.
func (w *world) start() {
	w.crash = false
	w.spans = &dedupe.Spans{}
	w.known = dedupe.NewKnown(w.budget, w.spans)
	// Sixteen hashes only: most of them collide.
	w.known.HashWith(func(id usage.ID) uint64 { return uint64(id[0]>>4)<<60 | 1 })
	w.reload()
	w.pipe = ingest.New(ingest.Params{
		Ledger: w, Book: func() ingest.Book { return w.book }, Versions: w, Now: func() time.Time { return w.base.Add(time.Hour) },
		Log: slog.New(slog.DiscardHandler),
	})
}

func (w *world) reload() {
	counts := map[int64]int{}
	last := int64(0)
	for i := range w.disk {
		counts[dedupe.SpanOf(w.disk[i].rec.Timestamp)]++
		last = max(last, w.disk[i].commit)
	}
	w.spans.Replace(counts)
	if w.bug != ReusesNumbers {
		w.last = max(w.last, last)
	}
}

// failed is what the writer does after a failure.
func (w *world) failed() {
	if w.bug == RemembersTooMuch {
		return
	}
	w.known.Forget()
	w.reload()
}

func (w *world) some(from, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = from + i
	}
	return out
}

func (w *world) any() []int {
	out := make([]int, 1+w.r.IntN(6))
	for i := range out {
		out[i] = w.r.IntN(poolSize)
	}
	return out
}

func (w *world) step(ctx context.Context) error {
	w.tally.Steps++
	switch w.r.IntN(8) {
	case 0:
		w.tally.Crashes++
		w.start()
		return nil
	case 1, 2:
		return w.group(ctx)
	}
	return w.send(ctx, w.any())
}

// send is one request through the pipeline. The answer may get lost.
func (w *world) send(ctx context.Context, events []int) error {
	inputs := make([]ingest.Input, len(events))
	for i, e := range events {
		inputs[i] = w.input(e)
	}
	res, err := w.pipe.Ingest(ctx, ingest.Batch{Events: inputs})
	if w.crash {
		w.start()
		return nil
	}
	if err != nil {
		return w.calmly(err)
	}
	if got := res.Accepted + res.Duplicates + len(res.Conflicts); got != len(events) {
		return fmt.Errorf("%d events sent, the answer counts %d", len(events), got)
	}
	w.tally.Conflicts += int64(len(res.Conflicts))
	conflicts := map[int]bool{}
	for _, c := range res.Conflicts {
		conflicts[events[c.Index]] = true
	}
	for i, e := range events {
		if inputs[i].Event.Aggregate && !w.marked(w.ids[e]) {
			return fmt.Errorf("event %d is acknowledged as an aggregate and still counts", e)
		}
	}
	return w.answer(events, conflicts)
}

// group is a commit of several requests at once.
func (w *world) group(ctx context.Context) error {
	batches := make([][]usage.Record, 1+w.r.IntN(3))
	events := make([][]int, len(batches))
	for b := range batches {
		events[b] = w.any()
		for _, e := range events[b] {
			in := w.input(e)
			cost, err := w.book.Price(&in.Event)
			if err != nil {
				return err
			}
			batches[b] = append(batches[b], usage.Record{ID: in.Event.Identity(), Event: in.Event, Costing: cost})
		}
	}
	receipts, err := w.commit(ctx, batches)
	if w.crash {
		w.start()
		return nil
	}
	if err != nil {
		return w.calmly(err)
	}
	for b := range batches {
		conflicts := map[int]bool{}
		for i, o := range receipts[b].Outcomes {
			if o == store.Conflict {
				conflicts[events[b][i]] = true
				w.tally.Conflicts++
			}
		}
		if err := w.answer(events[b], conflicts); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) calmly(err error) error {
	if w.calm {
		return fmt.Errorf("refused without a fault: %w", err)
	}
	return nil
}

// answer is an acknowledgement on its way: what it speaks of must be on the
// disk, whether it arrives or not.
func (w *world) answer(events []int, conflicts map[int]bool) error {
	if !w.calm && w.r.IntN(4) == 0 {
		w.tally.LostAnswers++
		return nil
	}
	for _, e := range events {
		if conflicts[e] {
			if w.rivals[e] < 0 {
				return fmt.Errorf("event %d conflicts with nothing", e)
			}
			continue
		}
		w.acked[e] = true
		if !w.stored(w.ids[e]) {
			return fmt.Errorf("event %d is acknowledged and not on the disk", e)
		}
	}
	return nil
}

// input is an event as a client sends it now.
func (w *world) input(e int) ingest.Input {
	in := w.inputs[e]
	in.Event.Aggregate = w.sums[e] && (w.calm || w.r.IntN(2) == 0)
	return in
}

func (w *world) marked(id usage.ID) bool {
	for i := range w.disk {
		if w.disk[i].rec.ID == id {
			return w.disk[i].rec.Aggregate
		}
	}
	return false
}

func (w *world) stored(id usage.ID) bool {
	for i := range w.disk {
		if w.disk[i].rec.ID == id {
			return true
		}
	}
	return false
}
