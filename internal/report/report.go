// Package report asks the ledger what charts, lists and tools want to know:
// breakdowns, series, flame trees, bloated prompts, events. It owns pages,
// cursors and limits on size; it knows no wire format and no engine.
package report

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Service answers reports. All methods may be called from many goroutines.
type Service struct {
	Ledger store.Ledger
	Now    func() time.Time
	// Texts says where long prompts are long; nil says nothing of that.
	Texts Texts
	// fewCells and exportRows are for tests; 0 is the constant.
	fewCells, exportRows int
}

// Texts knows the texts of prompts, as far as they are kept.
type Texts interface {
	// LongParts says of calls, of which f selects the like, by their ids which part of
	// their prompt is longer than usual.
	LongParts(ctx context.Context, f analytics.Filter, calls []analytics.Bloat) (map[usage.ID]analytics.LongPart, error)
}

// The sizes of a page.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

func pageSize(limit int) (int, error) {
	switch {
	case limit == 0:
		return DefaultLimit, nil
	case limit < 0 || limit > MaxLimit:
		return 0, fault.Field("limit", fmt.Sprintf("must be between 1 and %d", MaxLimit))
	}
	return limit, nil
}

// distinct refuses a list of dimensions that is too long, empty or has one twice.
func distinct(field string, ds []analytics.Dimension, most int) error {
	if len(ds) == 0 || len(ds) > most {
		return fault.Field(field, fmt.Sprintf("must name 1 to %d dimensions", most))
	}
	for i, d := range ds {
		if _, err := analytics.ParseDimension(field, string(d)); err != nil {
			return err
		}
		for _, before := range ds[:i] {
			if d == before {
				return fault.Field(field, "must not name a dimension twice")
			}
		}
	}
	return nil
}

// errMoved says that events were corrected or removed between two questions
// that must see the same moment.
var errMoved = errors.New("the ledger was corrected between two questions")

// moment asks several questions of one moment of the ledger: the one that the
// first question saw.
type moment struct {
	ledger         store.Ledger
	asked          bool
	asOf, revision int64
	// truncated is up to when one of the answers lacks what was removed.
	truncated time.Time
}

func (m *moment) query(ctx context.Context, q analytics.Query) (analytics.Table, error) {
	return m.ask(q.AsOf, func(asOf int64) (analytics.Table, error) {
		q.AsOf = asOf
		return m.ledger.Query(ctx, q)
	})
}

func (m *moment) callTree(ctx context.Context, q analytics.CallTreeQuery) (analytics.Table, error) {
	return m.ask(q.AsOf, func(asOf int64) (analytics.Table, error) {
		q.AsOf = asOf
		return m.ledger.CallTree(ctx, q)
	})
}

func (m *moment) ask(asOf int64, question func(asOf int64) (analytics.Table, error)) (analytics.Table, error) {
	if m.asked {
		if m.asOf == 0 { // the ledger was empty then, and 0 would be no bound
			return analytics.Table{Revision: m.revision}, nil
		}
		asOf = m.asOf
	}
	t, err := question(asOf)
	switch {
	case err != nil:
		return t, err
	case !m.asked:
		m.asked, m.asOf, m.revision = true, t.AsOf, t.Revision
	case t.Revision != m.revision:
		return t, errMoved
	}
	if t.TruncatedBefore.After(m.truncated) {
		m.truncated = t.TruncatedBefore
	}
	return t, nil
}

// atOneMoment runs ask again when corrections came between its questions. A
// running back-fill can win some of these races, hardly all.
func (s *Service) atOneMoment(ctx context.Context, ask func(*moment) error) error {
	for range 8 {
		err := ask(&moment{ledger: s.Ledger})
		if !errors.Is(err, errMoved) {
			return err
		}
	}
	return &fault.Error{
		Code: fault.Unavailable, Message: "Stored costs are being corrected right now; try again", RetryAfter: time.Second, Err: errMoved,
	}
}

// ratio is num × scale ÷ den rounded half-even, for num ≥ 0 and den > 0.
func ratio(num, den *big.Int, scale int64) int64 {
	return divideHalfEven(new(big.Int).Mul(num, big.NewInt(scale)), den).Int64()
}

// divideHalfEven is num ÷ den, for num ≥ 0 and den > 0.
func divideHalfEven(num, den *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(num, den, new(big.Int))
	if c := r.Lsh(r, 1).Cmp(den); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(1))
	}
	return q
}

// share is part ÷ whole in millionths, 0 of a whole that is 0.
func share(part, whole money.Total) int64 {
	if whole.Sign() <= 0 {
		return 0
	}
	return ratio(part.Big(), whole.Big(), 1_000_000)
}

func ratioOf(num, den, scale int64) int64 {
	return ratio(big.NewInt(num), big.NewInt(den), scale)
}
