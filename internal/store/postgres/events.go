package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// Events implements store.Ledger. It reads in parts, so that a slow reader of many
// keeps no transaction open.
func (e *Engine) Events(ctx context.Context, q store.EventQuery) iter.Seq2[usage.Record, error] {
	return func(yield func(usage.Record, error) bool) {
		after, left := q.After, q.Limit
		filter := q.Filter
		parts := store.LongRead{Queued: e.queued.Load}
		for {
			want := parts.Next()
			if q.Limit > 0 {
				want = min(want, left)
			}
			var page []*usage.Record
			err := e.ask(ctx, filter.AsOf, func(tx pgx.Tx, at position) (err error) {
				bounded := filter
				bounded.AsOf = at.bound(filter.AsOf)
				page, err = selectEvents(ctx, tx, bounded, after, want)
				filter.AsOf = bounded.AsOf
				return err
			})
			if err != nil {
				yield(usage.Record{}, err)
				return
			}
			for _, r := range page {
				if !yield(*r, nil) {
					return
				}
			}
			left -= len(page)
			if len(page) < want || q.Limit > 0 && left <= 0 {
				return
			}
			end := page[len(page)-1]
			after = &store.EventKey{Timestamp: end.Timestamp, ID: end.ID}
			if err := parts.Done(ctx, page); err != nil {
				yield(usage.Record{}, err)
				return
			}
		}
	}
}

func selectEvents(ctx context.Context, tx pgx.Tx, f analytics.Filter, after *store.EventKey, want int) ([]*usage.Record, error) {
	s := sqlquery.Statement{Dialect: dialect()}
	cond, err := s.Where(f, f.AsOf)
	if err != nil {
		return nil, err
	}
	if after != nil {
		ts := s.Bind(after.Timestamp.UnixMicro())
		// The first condition alone lets whole partitions be left out.
		cond += fmt.Sprintf(" AND ts <= %[1]s AND (ts, id) < (%[1]s, %[2]s)", ts, s.Bind([16]byte(after.ID)))
	}
	return readRecords(ctx, tx, want, fmt.Sprintf(`SELECT %s FROM events WHERE %s ORDER BY ts DESC, id DESC LIMIT %d`, strings.Join(eventColumns(), ", "), cond, want), s.Args...)
}

// Get implements store.Ledger.
func (e *Engine) Get(ctx context.Context, id usage.ID, f analytics.Filter) (usage.Record, error) {
	var r usage.Record
	err := e.ask(ctx, f.AsOf, func(tx pgx.Tx, at position) error {
		s := sqlquery.Statement{Dialect: dialect()}
		f := f
		f.From, f.To, f.Aggregates = time.Time{}, time.Time{}, true
		cond, err := s.Where(f, at.bound(f.AsOf))
		if err != nil {
			return err
		}
		recs, err := readRecords(ctx, tx, 1, fmt.Sprintf(`SELECT %s FROM events WHERE id = %s AND %s LIMIT 1`, strings.Join(eventColumns(), ", "), s.Bind([16]byte(id)), cond), s.Args...)
		if err != nil {
			return err
		}
		if len(recs) == 0 {
			return fault.New(fault.NotFound, "there is no event %s", id)
		}
		r = *recs[0]
		return nil
	})
	return r, err
}

// readRecords runs a SELECT of eventColumns and completes the records from their
// cells and tag sets; there are about so many.
func readRecords(ctx context.Context, tx pgx.Tx, about int, text string, args ...any) ([]*usage.Record, error) {
	rows, err := tx.Query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make([]*usage.Record, 0, about)
	records := make([]usage.Record, about)
	var cellOf, setOf []int64
	cells := map[int64]*sqlquery.Cell{}
	tags := map[int64]map[string]string{}
	var s scanned
	targets := s.targets()
	for rows.Next() {
		s = scanned{}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		r := new(usage.Record)
		if len(out) < len(records) {
			r = &records[len(out)]
		}
		if *r, err = s.record(); err != nil {
			return nil, err
		}
		out, cellOf = append(out, r), append(cellOf, s.cell)
		cells[s.cell] = nil
		set := int64(0)
		if s.tagset != nil {
			set = *s.tagset
			tags[set] = nil
		}
		setOf = append(setOf, set)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if err := readCells(ctx, tx, cells); err != nil {
		return nil, err
	}
	if err := readTags(ctx, tx, tags); err != nil {
		return nil, err
	}
	for i := range out {
		c := cells[cellOf[i]]
		if c == nil {
			return nil, errors.New("an event's attribution is missing")
		}
		c.Fill(&out[i].Event)
		if n := setOf[i]; n != 0 {
			out[i].Tags = tags[n]
		}
	}
	return out, nil
}

// scanned holds what one row of eventColumns scans into.
type scanned struct {
	rec                                                usage.Record
	id                                                 [16]byte
	ts, seq, received, cell                            int64
	parent, name, eventID, user, session, errorCode    *string
	priceID, usage, metadata                           *string
	tagset, content, firstToken, billed, estimated     *int64
	tInput, tRead, tWrite, tWrite1h, tMediaIn, tOutput int64
	tReasoning, tMediaOut, latency, total, saving      int64
	classes                                            [usage.NumClasses]int64
	retries                                            int32
	promptBytes                                        *int32
	promptID                                           *[16]byte
	source                                             int16
}

func (s *scanned) targets() []any {
	r := &s.rec
	t := []any{
		&s.id, &s.ts, &s.seq, &s.received, &s.cell, &s.tagset,
		&r.TraceID, &r.SpanID, &s.parent, &s.name, &s.eventID, &s.content, &s.user, &s.session, &s.errorCode, &s.priceID, &s.usage, &s.metadata,
		&s.tInput, &s.tRead, &s.tWrite, &s.tWrite1h, &s.tMediaIn, &s.tOutput, &s.tReasoning, &s.tMediaOut,
		&s.latency, &s.firstToken, &s.billed, &s.estimated,
	}
	for i := range s.classes {
		t = append(t, &s.classes[i])
	}
	return append(t, &s.total, &s.saving, &s.retries, &s.promptBytes, &s.source, &r.Fallback, &r.Streaming, &r.Error, &r.Aggregate, &s.promptID)
}

// record completes the record but for what stands in its cell and its tag set;
// the caller resolves those.
func (s *scanned) record() (usage.Record, error) {
	text := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	r := s.rec
	r.ID = s.id
	r.Timestamp, r.ReceivedAt = time.UnixMicro(s.ts).UTC(), time.UnixMicro(s.received).UTC()
	r.ParentSpanID, r.Name, r.EventID = text(s.parent), text(s.name), text(s.eventID)
	r.UserID, r.SessionID, r.ErrorCode, r.PriceID = text(s.user), text(s.session), text(s.errorCode), text(s.priceID)
	r.RetryCount = int64(s.retries)
	if s.promptBytes != nil {
		r.PromptBytes = int64(*s.promptBytes)
	}
	if s.promptID != nil {
		r.PromptID = *s.promptID
	}
	r.Latency, r.TimeToFirstToken = time.Duration(s.latency)*time.Microsecond, -1
	if s.firstToken != nil {
		r.TimeToFirstToken = time.Duration(*s.firstToken) * time.Microsecond
	}
	if s.metadata != nil {
		r.Metadata = json.RawMessage(*s.metadata)
	}
	r.Billed, r.Estimated = (*money.USD)(s.billed), (*money.USD)(s.estimated)
	for i, c := range s.classes {
		r.Classes[i] = money.USD(c)
	}
	r.CacheSaving, r.Source = money.USD(s.saving), usage.Source(s.source)
	if s.usage != nil {
		var m map[string]int64
		if err := json.Unmarshal([]byte(*s.usage), &m); err != nil {
			return r, fmt.Errorf("event %s: stored usage: %w", r.ID, err)
		}
		for name, n := range m {
			u, ok := usage.UnitByCount(name)
			if !ok {
				return r, fmt.Errorf("event %s: stored usage has the unknown count %q", r.ID, name)
			}
			r.Counts[u] = n
		}
	}
	c := &r.Counts
	c[usage.Input] = s.tInput + s.tRead + s.tWrite + s.tWrite1h + s.tMediaIn
	c[usage.CacheRead], c[usage.CacheWrite], c[usage.CacheWrite1h] = s.tRead, s.tWrite, s.tWrite1h
	c[usage.Output] = s.tOutput + s.tReasoning + s.tMediaOut
	c[usage.Reasoning] = s.tReasoning
	return r, nil
}
