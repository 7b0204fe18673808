package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/costprof/costprof/client"
	exact "github.com/costprof/costprof/internal/money"
)

const (
	// senders is how many batches are on their way at once: enough to keep the
	// server's commits full, few enough to hold little memory.
	senders = 4
	// batchBytes cuts batches of large rows; a batch is at most
	// client.MaxBatchEvents rows.
	batchBytes = 1 << 20
	// goodbye is how long batches on their way may take after Ctrl-C, or after
	// another one was refused.
	goodbye = 5 * time.Second
	// listed is how many rejected rows are shown; the rest is counted.
	listed = 20
)

// row is one event to send and where it came from.
type row struct {
	event json.RawMessage
	// file and line name its origin in messages.
	file, line int
	// logged is what is known of a call from somebody else's log.
	logged *logged
}

// logged is a call whose id comes from a provider or a logger. Where it is known
// already, it is the same call, whatever else is told of it.
type logged struct {
	// aggregate calls only sum up others; a copy came before in this import.
	aggregate, copy bool
	input, output   int64
}

// reject is a row that was not stored, and why.
type reject struct {
	file, line int
	reason     string
}

// tally is what became of the rows. Each is counted once.
type tally struct {
	New, Duplicates, Conflicts, Rejected int
	// Marked counts those of Duplicates that became sums of others.
	Marked int
	// rejects are the first ones, in order of file and line.
	rejects  []reject
	warnings []string
	// Differing counts those of Duplicates that were stored with other details,
	// as copies in forked transcripts are.
	Differing int
	// sums are what the calls of logs come to, by file.
	sums map[int]*worth
}

// worth is what a file's calls come to, those that were there already included.
type worth struct {
	calls, copies, unpriced, estimated int
	input, output                      int64
	cost                               exact.Total
}

func (s *worth) add(o *worth) {
	s.calls += o.calls
	s.copies += o.copies
	s.unpriced += o.unpriced
	s.estimated += o.estimated
	s.input += o.input
	s.output += o.output
	s.cost = s.cost.Plus(o.cost)
}

// price adds what a batch's calls cost. Those that only sum up others, and those
// that were rejected, are nobody's cost.
func (t *tally) price(batch []row, costs []client.EventCost) {
	for _, c := range costs {
		if c.Index < 0 || c.Index >= len(batch) {
			continue
		}
		r := batch[c.Index]
		if r.logged == nil || r.logged.aggregate {
			continue
		}
		s := t.sums[r.file]
		if s == nil {
			s = &worth{}
			t.sums[r.file] = s
		}
		if r.logged.copy {
			s.copies++
			continue
		}
		s.calls++
		s.input += r.logged.input
		s.output += r.logged.output
		switch c.CostSource {
		case "unpriced":
			s.unpriced++
		case "client":
			s.estimated++
		}
		if cost, err := exact.ParseTotal(string(c.Cost)); err == nil {
			s.cost = s.cost.Plus(cost)
		}
	}
}

func (t *tally) rows() int { return t.New + t.Duplicates + t.Conflicts + t.Rejected }

func (t *tally) reject(r reject) {
	t.Rejected++
	// Batches come back in any order: keep the first of the file, not of time.
	at, _ := slices.BinarySearchFunc(t.rejects, r, func(a, b reject) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line))
	})
	if at < listed {
		t.rejects = slices.Insert(t.rejects, at, r)
		t.rejects = t.rejects[:min(len(t.rejects), listed)]
	}
}

func (t *tally) warn(text string) {
	if len(t.warnings) < listed && !slices.Contains(t.warnings, text) {
		t.warnings = append(t.warnings, text)
	}
}

// pump sends rows in batches, several at once, in bounded memory.
type pump struct {
	c *client.Client
	// open ends with the command, or with the first batch that fails: no further
	// one is sent then. What is on its way may arrive, until ctx ends a little
	// later: it is stored or not, never half, and it is counted.
	open    context.Context
	stop    context.CancelCauseFunc
	ctx     context.Context
	cancel  context.CancelCauseFunc
	release func() bool
	work    chan []row
	wait    sync.WaitGroup

	mu    sync.Mutex
	tally tally

	batch []row
	bytes int
}

func newPump(ctx context.Context, c *client.Client) *pump {
	p := &pump{c: c, work: make(chan []row), tally: tally{sums: map[int]*worth{}}}
	p.open, p.stop = context.WithCancelCause(ctx)
	p.ctx, p.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	p.release = context.AfterFunc(p.open, func() {
		time.AfterFunc(goodbye, func() { p.cancel(context.Cause(p.open)) })
	})
	for range senders {
		p.wait.Go(p.run)
	}
	return p
}

func (p *pump) run() {
	for batch := range p.work {
		if p.open.Err() != nil {
			continue // drain
		}
		events := make([]json.RawMessage, len(batch))
		for i := range batch {
			events[i] = batch[i].event
		}
		options := []client.SendOption{client.Partial()}
		if slices.ContainsFunc(batch, func(r row) bool { return r.logged != nil }) {
			options = append(options, client.Costs())
		}
		result, err := p.c.SendRaw(p.ctx, events, options...)
		p.note(batch, &result)
		if err != nil {
			p.stop(err)
		}
	}
}

func (p *pump) note(batch []row, result *client.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tally.New += result.Accepted
	p.tally.Duplicates += result.Duplicates
	p.tally.Marked += result.Marked
	for _, c := range result.Conflicts {
		if c.Index >= 0 && c.Index < len(batch) && batch[c.Index].logged != nil {
			p.tally.Duplicates++
			p.tally.Differing++
		} else {
			p.tally.Conflicts++
		}
	}
	p.tally.price(batch, result.Costs)
	for _, r := range result.Rejected {
		at := reject{reason: rulesText(r.Errors)}
		if r.Index >= 0 && r.Index < len(batch) {
			at.file, at.line = batch[r.Index].file, batch[r.Index].line
		}
		p.tally.reject(at)
	}
	for _, w := range result.Warnings {
		p.tally.warn(w)
	}
}

// reject notes a row that never became an event.
func (p *pump) reject(r reject) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tally.reject(r)
}

// add takes a row, waiting while the server is behind. The error is why sending
// ended; the row was not sent then.
func (p *pump) add(r row) error {
	if len(p.batch) > 0 && p.bytes+len(r.event) > batchBytes {
		if err := p.flush(); err != nil {
			return err
		}
	}
	p.batch = append(p.batch, r)
	p.bytes += len(r.event)
	if len(p.batch) == client.MaxBatchEvents {
		return p.flush()
	}
	return nil
}

func (p *pump) flush() error {
	if len(p.batch) == 0 {
		return nil
	}
	if p.open.Err() != nil {
		return context.Cause(p.open)
	}
	select {
	case p.work <- p.batch:
		p.batch, p.bytes = nil, 0
		return nil
	case <-p.open.Done():
		return context.Cause(p.open)
	}
}

// close waits for what is on its way and gives the count, and the error that
// ended sending.
func (p *pump) close() (tally, error) {
	close(p.work)
	p.wait.Wait()
	err := context.Cause(p.open)
	p.release()
	p.stop(context.Canceled) // frees the contexts
	p.cancel(context.Canceled)
	return p.tally, err
}

// seen is how many rows have come back so far.
func (p *pump) seen() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tally.rows()
}

// patient makes retries outlast a restart of the server and a rate limit, and
// says once in a while what it waits for.
func (s *session) patient(say func(string)) []client.Option {
	var mu sync.Mutex
	var last time.Time
	return []client.Option{
		client.WithCompression(client.Zstd),
		client.WithRetry(client.Retry{Attempts: 40, First: 250 * time.Millisecond, Max: 15 * time.Second, MaxWait: time.Hour}),
		client.WithRetryNotice(func(w client.Waiting) {
			mu.Lock()
			defer mu.Unlock()
			if time.Since(last) < 5*time.Second {
				return
			}
			last = time.Now()
			say(fmt.Sprintf("The server is busy or away (%s); trying again in %s.", printable(w.Err.Error()), w.Wait.Round(time.Millisecond)))
		}),
	}
}

// reach fails at once when no server is there, before anything patient begins.
func (s *session) reach() error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	_, err = c.Health(s.ctx)
	return err
}
