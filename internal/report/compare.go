package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
)

// maxCells is the most combinations of values, model and tier that one page may
// have to look at.
const maxCells = 50_000

// CompareRequest asks what changed from a baseline to the filter's window.
type CompareRequest struct {
	analytics.Filter
	// Baseline is what to compare with. A zero To is the window's From, a zero From
	// is one window before To; see Before.
	Baseline Period
	// Location is the zone in which days are counted; nil is UTC.
	Location *time.Location
	GroupBy  []analytics.Dimension
	// Limit is the size of the page; 0 is DefaultLimit.
	Limit int
	// Cursor continues a ranking; its window then replaces the filter's.
	Cursor string
}

// Comparison is a page of what changed.
type Comparison struct {
	Period, Baseline Period
	// Rows come by how far their cost moved, either way, then by name in byte order.
	Rows []Change
	// Total is all calls as one row, with its own terms: what moves between rows is
	// mix or volume in it.
	Total Change
	// NextCursor is "" after the last page.
	NextCursor string
	// TruncatedBefore is up to when calls in the window were removed and the answer
	// lacks them; the zero time when it lacks none.
	TruncatedBefore time.Time
}

// Change is one row in two periods.
type Change struct {
	Names   []string
	Was, Is analytics.Row
	Delta   money.Total
	analytics.Terms
}

// Compare says what changed and why. fault.Gone when a cursor's ranking ended,
// fault.Invalid when there is too much to compare.
func (s *Service) Compare(ctx context.Context, r CompareRequest) (Comparison, error) {
	limit, err := pageSize(r.Limit)
	if err != nil {
		return Comparison{}, err
	}
	if err := distinct("groupBy", r.GroupBy, MaxGroupBy); err != nil {
		return Comparison{}, err
	}
	question := question{kindCompare, r.Filter, r.GroupBy, r.numbers()}
	at, err := question.rank(r.Cursor, s.Now())
	if err != nil {
		return Comparison{}, err
	}
	r.From, r.To = at.from, at.to
	c := comparer{CompareRequest: r, offset: int(at.offset), limit: limit, few: cmp.Or(s.fewCells, fewCells)}
	if c.Baseline, err = r.baseline(); err != nil {
		return Comparison{}, err
	}
	var out Comparison
	ask := func(m *moment) error {
		var err error
		if out, err = c.compare(ctx, m); err != nil {
			return err
		}
		out.TruncatedBefore = m.truncated
		out.NextCursor, err = question.next(at, r.Cursor, rankedPage{len(out.Rows), c.more, m.asOf, m.revision})
		return err
	}
	if r.Cursor == "" {
		err = s.atOneMoment(ctx, ask)
		return out, err
	}
	err = ask(&moment{ledger: s.Ledger, asked: true, asOf: at.asOf, revision: at.revision})
	if errors.Is(err, errMoved) {
		err = errStartAgain("Stored costs were corrected since the first page")
	}
	return out, err
}

// numbers are what a cursor is bound to beside filter and dimensions.
func (r *CompareRequest) numbers() []int64 {
	zone := fnv.New64a()
	fmt.Fprint(zone, r.Location)
	n := []int64{int64(zone.Sum64())}
	for _, t := range [...]time.Time{r.Baseline.From, r.Baseline.To} {
		if t.IsZero() {
			n = append(n, 0, 0)
		} else {
			n = append(n, 1, t.UnixMicro())
		}
	}
	return n
}

func (r *CompareRequest) baseline() (Period, error) {
	b := r.Baseline
	window := Period{r.From, r.To}
	if b.To.IsZero() {
		b.To = r.From
	}
	if b.From.IsZero() {
		b.From = Before(b.To, window, r.Location)
	} else if !b.From.Before(b.To) {
		return b, fault.Field("baselineFrom", "must be before the end of the baseline")
	}
	return b, nil
}
