package client

import (
	"bytes"
	"context"
	stdjson "encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/gzip"
)

// The server's limits of one request.
const (
	MaxBatchEvents = 500
	// MaxBatchBytes is the most that a body may hold before compression.
	MaxBatchBytes = 5 << 20
)

const (
	batchHead = `{"events":[`
	batchTail = `]}`
)

// Result is what became of events that were sent. Indexes count in the caller's
// slice.
type Result struct {
	// Accepted events were new and are durable; Duplicates were there already.
	Accepted, Duplicates int
	// Marked are events that were there already, as calls, and became aggregates,
	// because they were sent again as such.
	Marked int
	// Conflicts are events whose EventID the ledger knows with other content; it
	// keeps the first.
	Conflicts []Conflict
	// Rejected events broke a rule; only with Partial.
	Rejected []Rejected
	Warnings []string
	// Costs are what the events cost by the server's present prices, also those that
	// were there already, but not rejected ones. Only with Costs.
	Costs []EventCost
}

// EventCost is what one event costs.
type EventCost struct {
	Index int `json:"index"`
	Cost  USD `json:"cost"`
	// CostSource is "billed", "catalog", "client" or "unpriced".
	CostSource string `json:"costSource"`
}

// Conflict is one event that the ledger did not take over another.
type Conflict struct {
	Index int    `json:"index"`
	ID    string `json:"id"`
}

// Rejected is one event with the rules that it breaks, by field.
type Rejected struct {
	Index  int                 `json:"index"`
	Errors map[string][]string `json:"errors"`
}

func (r *Result) add(o Result) {
	r.Accepted += o.Accepted
	r.Duplicates += o.Duplicates
	r.Marked += o.Marked
	r.Conflicts = append(r.Conflicts, o.Conflicts...)
	r.Rejected = append(r.Rejected, o.Rejected...)
	r.Costs = append(r.Costs, o.Costs...)
	for _, w := range o.Warnings {
		if len(r.Warnings) == 100 {
			break
		}
		r.Warnings = append(r.Warnings, w)
	}
}

// SendOption changes one Send.
type SendOption func(*sending)

type sending struct{ partial, costs bool }

// Costs asks for the cost of each event in Result.Costs.
func Costs() SendOption { return func(s *sending) { s.costs = true } }

// Partial stores the valid events of a batch and reports the others in
// Result.Rejected, instead of refusing a batch that holds one bad event.
func Partial() SendOption { return func(s *sending) { s.partial = true } }

// Send stores events and returns when they are durable. It splits what is more
// than one request may hold and tries again while the server is away or busy,
// which is safe: the server recognises an event that arrives twice.
//
// An event is recognised by its timestamp, among others. So Send fills in, in
// the caller's slice, the timestamps that are missing: sending the same slice
// again after an error adds nothing twice.
//
// After an error Result holds what was acknowledged; a refused batch ends the
// call, batches before it are stored.
func (c *Client) Send(ctx context.Context, events []Event, options ...SendOption) (Result, error) {
	now := c.now().UTC().Truncate(time.Microsecond)
	for i := range events {
		if events[i].Timestamp.IsZero() {
			// Each another microsecond: calls that are alike stay two calls.
			events[i].Timestamp = now.Add(time.Duration(i) * time.Microsecond)
		}
	}
	return c.sendAll(ctx, len(events), func(i int) ([]byte, error) {
		b, err := json.Marshal(&events[i])
		if err != nil {
			return nil, fmt.Errorf("client: events[%d]: %w", i, err)
		}
		return b, nil
	}, options)
}

// SendRaw is Send for events that are JSON objects already. Each must carry a
// timestamp or an eventId, or an attempt that is repeated stores it twice.
func (c *Client) SendRaw(ctx context.Context, events []stdjson.RawMessage, options ...SendOption) (Result, error) {
	return c.sendAll(ctx, len(events), func(i int) ([]byte, error) { return events[i], nil }, options)
}

func (c *Client) sendAll(ctx context.Context, n int, encode func(int) ([]byte, error), options []SendOption) (Result, error) {
	var s sending
	for _, o := range options {
		o(&s)
	}
	var total Result
	batch := batch{}
	flush := func() error {
		if len(batch.indexes) == 0 {
			return nil
		}
		result, err := c.sendBatch(ctx, &batch, s)
		total.add(result)
		batch.reset()
		return err
	}
	for i := range n {
		event, err := encode(i)
		if err != nil {
			return total, err
		}
		if len(batchHead)+len(event)+len(batchTail) > MaxBatchBytes {
			rule := fmt.Sprintf("is larger than the %d MiB that a request may hold", MaxBatchBytes>>20)
			if !s.partial {
				return total, &Error{
					Status:  http.StatusRequestEntityTooLarge,
					Message: "Validation failed",
					Details: map[string][]string{fmt.Sprintf("events[%d]", i): {rule}},
				}
			}
			total.Rejected = append(total.Rejected, Rejected{Index: i, Errors: map[string][]string{"event": {rule}}})
			continue
		}
		if !batch.fits(event) {
			if err := flush(); err != nil {
				return total, err
			}
		}
		batch.add(i, event)
	}
	return total, flush()
}

// batch is one request in the making.
type batch struct {
	buf bytes.Buffer
	// indexes are the events' places in the caller's slice.
	indexes []int
}

func (b *batch) reset() {
	b.buf.Reset()
	b.indexes = b.indexes[:0]
}

func (b *batch) fits(event []byte) bool {
	return len(b.indexes) == 0 ||
		len(b.indexes) < MaxBatchEvents && b.buf.Len()+1+len(event)+len(batchTail) <= MaxBatchBytes
}

func (b *batch) add(index int, event []byte) {
	if len(b.indexes) == 0 {
		b.buf.WriteString(batchHead)
	} else {
		b.buf.WriteByte(',')
	}
	b.buf.Write(event)
	b.indexes = append(b.indexes, index)
}

func (c *Client) sendBatch(ctx context.Context, b *batch, s sending) (Result, error) {
	b.buf.WriteString(batchTail)
	in := call{method: http.MethodPost, path: apiPrefix + "events", contentType: "application/json", idempotent: true}
	if s.partial {
		in.query = url.Values{"partial": {"true"}}
	}
	if s.costs {
		if in.query == nil {
			in.query = url.Values{}
		}
		in.query.Set("costs", "true")
	}
	var err error
	if in.body, in.contentEncoding, err = c.pack(b.buf.Bytes()); err != nil {
		return Result{}, fmt.Errorf("client: %w", err)
	}
	answer, err := c.send(ctx, in)
	if err != nil {
		if e, ok := err.(*Error); ok { //nolint:errorlint // send returns it bare
			e.Details = b.rebase(e.Details)
		}
		return Result{}, err
	}
	var wire struct {
		Accepted   int         `json:"accepted"`
		Duplicates int         `json:"duplicates"`
		Marked     int         `json:"marked"`
		Conflicts  []Conflict  `json:"conflicts"`
		Rejected   []Rejected  `json:"rejected"`
		Warnings   []string    `json:"warnings"`
		Costs      []EventCost `json:"costs"`
	}
	if err := stdjson.Unmarshal(answer, &wire); err != nil {
		return Result{}, c.foreign("events")
	}
	r := Result(wire)
	// Every event is one of the four. An answer that counts others is of something
	// that did not store them.
	if n := r.Accepted + r.Duplicates + len(r.Conflicts) + len(r.Rejected); n != len(b.indexes) {
		return Result{}, fmt.Errorf("client: the server answered for %d of %d events; is %s a costprof server?", n, len(b.indexes), c.BaseURL())
	}
	for i := range r.Conflicts {
		r.Conflicts[i].Index = b.at(r.Conflicts[i].Index)
	}
	for i := range r.Costs {
		r.Costs[i].Index = b.at(r.Costs[i].Index)
	}
	for i := range r.Rejected {
		r.Rejected[i].Index = b.at(r.Rejected[i].Index)
	}
	return r, nil
}

func (b *batch) at(i int) int {
	if i < 0 || i >= len(b.indexes) {
		return i
	}
	return b.indexes[i]
}

var eventIndex = regexp.MustCompile(`^events\[(\d+)\]`)

// rebase turns "events[3].x" of this batch into the caller's index.
func (b *batch) rebase(details map[string][]string) map[string][]string {
	if details == nil {
		return nil
	}
	out := make(map[string][]string, len(details))
	for field, rules := range details {
		if m := eventIndex.FindStringSubmatch(field); m != nil {
			if i, err := strconv.Atoi(m[1]); err == nil {
				field = fmt.Sprintf("events[%d]%s", b.at(i), field[len(m[0]):])
			}
		}
		out[field] = rules
	}
	return out
}

// pack compresses a body.
func (c *Client) pack(body []byte) (packed []byte, encoding string, err error) {
	if len(body) < 1024 {
		return bytes.Clone(body), "", nil
	}
	switch c.compression {
	case Gzip:
		var out bytes.Buffer
		w := c.gzips.Get().(*gzip.Writer)
		defer c.gzips.Put(w)
		w.Reset(&out)
		if _, err := w.Write(body); err != nil {
			return nil, "", err
		}
		if err := w.Close(); err != nil {
			return nil, "", err
		}
		return out.Bytes(), "gzip", nil
	case Zstd:
		return c.zstd.EncodeAll(body, nil), "zstd", nil
	case Uncompressed:
	}
	return bytes.Clone(body), "", nil
}
