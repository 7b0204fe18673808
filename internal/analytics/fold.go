package analytics

import (
	"math"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/fault"
)

// Fold sums rows that a Query with Grain gave into the buckets that begin at the
// edges: one row for each edge, in their order, zeros where nothing was. Bucket
// is the edge; Names are left out, and so is the 95th percentile, which does not
// add up. No row is lost: one before the first edge, cut by the query's From,
// counts in the first bucket. fault.Invalid when a count does not fit 63 bits.
func Fold(rows []Row, edges []time.Time) ([]Row, error) {
	points := make([]Row, len(edges))
	for i, e := range edges {
		points[i].Bucket = e
	}
	if len(edges) == 0 {
		if len(rows) > 0 {
			return nil, fault.New(fault.Internal, "rows without a bucket to fold them into")
		}
		return points, nil
	}
	for i := range rows {
		at, found := slices.BinarySearchFunc(edges, rows[i].Bucket, time.Time.Compare)
		if !found {
			at = max(at-1, 0)
		}
		if err := points[at].Merge(&rows[i]); err != nil {
			return nil, err
		}
	}
	return points, nil
}

// Merge adds the sums of o to r; names, bucket and 95th percentile stay as they
// are. fault.Invalid when a count does not fit 63 bits, r being then unusable.
func (r *Row) Merge(o *Row) error {
	r.Cost = r.Cost.Plus(o.Cost)
	r.Saving = r.Saving.Plus(o.Saving)
	for c := range r.Classes {
		r.Classes[c] = r.Classes[c].Plus(o.Classes[c])
	}
	mine, theirs := r.counters(), o.counters()
	for i, sum := range mine {
		if !addTo(sum, *theirs[i]) {
			return errCounts()
		}
	}
	for c := range r.ClassTokens {
		if !addTo(&r.ClassTokens[c], o.ClassTokens[c]) {
			return errCounts()
		}
	}
	if r.First.IsZero() || !o.First.IsZero() && o.First.Before(r.First) {
		r.First = o.First
	}
	if o.Last.After(r.Last) {
		r.Last = o.Last
	}
	return r.Fits()
}

// addTo says whether the sum fits; else it is not made.
func addTo(sum *int64, n int64) bool {
	if n > 0 && *sum > math.MaxInt64-n || n < 0 && *sum < math.MinInt64-n {
		return false
	}
	*sum += n
	return true
}

func errCounts() error {
	return fault.New(fault.Invalid, "The counts of this range do not fit 63 bits; ask for a shorter one")
}

// Subtract takes the sums of o, which must be part of r, out of r. First, Last
// and the 95th percentile mean nothing afterwards and are cleared.
func (r *Row) Subtract(o *Row) {
	r.Cost = r.Cost.Sub(o.Cost)
	r.Saving = r.Saving.Sub(o.Saving)
	for c := range r.Classes {
		r.Classes[c] = r.Classes[c].Sub(o.Classes[c])
		r.ClassTokens[c] -= o.ClassTokens[c]
	}
	mine, theirs := r.counters(), o.counters()
	for i := range mine {
		*mine[i] -= *theirs[i]
	}
	r.First, r.Last, r.P95Micros = time.Time{}, time.Time{}, 0
}

func (r *Row) counters() [8]*int64 {
	return [...]*int64{&r.Input, &r.Output, &r.Cached, &r.Calls, &r.Errors, &r.Unpriced, &r.Fallback, &r.LatencyMicros}
}

// Tokens is input and output together.
func (r *Row) Tokens() int64 { return r.Input + r.Output }

// Fits is fault.Invalid when input and output together do not fit 63 bits. It
// takes millions of calls of the largest size that is accepted.
func (r *Row) Fits() error {
	if r.Input > math.MaxInt64-r.Output {
		return errCounts()
	}
	return nil
}
