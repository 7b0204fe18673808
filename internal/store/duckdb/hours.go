package duckdb

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store/dedupe"
	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// summer keeps the sums of whole hours. It belongs to the writer: sums are made
// between commits and taken back in the commit that changes an event of theirs,
// so that a question, which reads events and sums in one transaction, never sees
// them disagree.
type summer struct {
	done map[int64]bool
	// touched says when an hour last changed: one that still does is left alone.
	touched map[int64]time.Time
	// skip holds hours whose sums would be nearly as many as their events.
	skip map[int64]bool
	// alone makes the next round take one hour only: one of several did not fit.
	alone bool
}

const (
	// settled is how long after its end, and after its last change, an hour is
	// summed up.
	settled = time.Minute
	// sumAtOnce bounds the events of one round, so that a commit never waits long
	// for it: about 30 ms.
	sumAtOnce = 200_000
)

func (s *summer) load(ctx context.Context, q querier) error {
	s.done, s.touched, s.skip = map[int64]bool{}, map[int64]time.Time{}, map[int64]bool{}
	rows, err := q.QueryContext(ctx, `SELECT hour FROM hours_done`)
	if err != nil {
		return fmt.Errorf("read summed hours: %w", err)
	}
	defer rows.Close()
	var h int64
	for rows.Next() {
		if err := rows.Scan(&h); err != nil {
			return err
		}
		s.done[h] = true
	}
	return rows.Err()
}

// next lists consecutive hours that are settled and not summed up yet, oldest
// first, as many as one round takes.
func (s *summer) next(counts *dedupe.Spans, now time.Time, settled time.Duration) (hours []int64) {
	events := 0
	for _, h := range counts.Hours() {
		if s.done[h.Hour] || s.skip[h.Hour] || sqlquery.HourStart(h.Hour+1).Add(settled).After(now) || now.Sub(s.touched[h.Hour]) < settled {
			if len(hours) > 0 {
				break // what lies between is not ours to sum
			}
			continue
		}
		if len(hours) > 0 && (s.alone || events+h.Events > sumAtOnce) {
			break
		}
		hours, events = append(hours, h.Hour), events+h.Events
	}
	return hours
}

// sumUp makes the sums of the next hours; more says that there are others.
func (w *writer) sumUp(ctx context.Context) (more bool, err error) {
	hours := w.sums.next(&w.e.counts, w.e.now(), w.e.opts.SumAfter)
	if len(hours) == 0 {
		return false, nil
	}
	from, to := sqlquery.HourStart(hours[0]), sqlquery.HourStart(hours[len(hours)-1]+1)
	const window = ` FROM events WHERE ts >= ? AND ts < ? `
	var events, sums int64
	if err := w.conn.QueryRowContext(ctx, `SELECT count(*), count(DISTINCT (epoch_us(ts) // ?, cell))`+window, time.Hour.Microseconds(), from, to).Scan(&events, &sums); err != nil {
		return false, fmt.Errorf("size up hours: %w", err)
	}
	if sums*w.e.opts.SumFactor > events {
		for _, h := range hours {
			w.sums.skip[h] = true
		}
		return true, nil
	}
	if err := w.exec(ctx, `BEGIN TRANSACTION`); err != nil {
		return false, err
	}
	d := dialect()
	names, values := []string{"hour", "cell"}, []string{d.Period(time.Hour) + " AS hour", "cell"}
	for _, sum := range d.KeptSums() {
		names, values = append(names, sum.Column), append(values, sum.Of)
	}
	insert := `INSERT INTO hours (` + strings.Join(names, ", ") + `) SELECT ` + strings.Join(values, ", ")
	if err := w.exec(ctx, insert+window+`AND NOT is_aggregate GROUP BY hour, cell`, from, to); err != nil {
		if isOutOfRange(err) {
			// More than 9 million USD in an hour's cell: its sums are read from the
			// events, which are summed in 128 bits.
			if w.sums.alone = len(hours) > 1; !w.sums.alone {
				w.sums.skip[hours[0]] = true
			}
			return true, w.exec(ctx, `ROLLBACK`)
		}
		return false, fmt.Errorf("sum up hours: %w", err)
	}
	if err := w.exec(ctx, `INSERT INTO hours_done SELECT `+d.Period(time.Hour)+` AS hour, max(seq)`+window+`GROUP BY hour`, from, to); err != nil {
		return false, fmt.Errorf("note summed hours: %w", err)
	}
	if err := w.exec(ctx, `COMMIT`); err != nil {
		return false, fmt.Errorf("commit sums: %w", err)
	}
	for _, h := range hours {
		w.sums.done[h] = true
	}
	return true, nil
}

// unsum takes back, in the transaction at hand, the sums of hours in which
// events change.
func (w *writer) unsum(ctx context.Context, hours map[int64]bool) error {
	var list []string
	now := w.e.now()
	for h := range hours {
		w.sums.touched[h] = now
		delete(w.sums.skip, h)
		if w.sums.done[h] {
			list = append(list, fmt.Sprint(h))
			delete(w.sums.done, h)
		}
	}
	if len(list) == 0 {
		return nil
	}
	slices.Sort(list)
	for _, table := range [...]string{"hours", "hours_done"} {
		if err := w.exec(ctx, `DELETE FROM `+table+` WHERE hour IN (`+strings.Join(list, ", ")+`)`); err != nil {
			return fmt.Errorf("take back sums: %w", err)
		}
	}
	return nil
}

func hoursOf(recs []*usage.Record) map[int64]bool {
	hours := make(map[int64]bool, 4)
	for _, r := range recs {
		hours[sqlquery.HourOf(r.Timestamp)] = true
	}
	return hours
}

// maxHoles is how many holes a window may have before events alone are faster.
const maxHoles = 200

// findSums looks, in the question's own transaction, for the hours that are
// summed up and hold nothing later than q.AsOf. nil means that events alone
// answer.
func findSums(ctx context.Context, q querier, ask analytics.Query) (*sqlquery.Sums, error) {
	from, to := sqlquery.WholeHours(ask.Filter, math.MinInt64, math.MaxInt64)
	rows, err := q.QueryContext(ctx, `SELECT hour FROM hours_done WHERE hour >= ? AND hour < ? AND seq <= ? ORDER BY hour`, from, to, ask.AsOf)
	if err != nil {
		return nil, fmt.Errorf("find summed hours: %w", err)
	}
	defer rows.Close()
	var s *sqlquery.Sums
	for rows.Next() {
		var h int64
		if err := rows.Scan(&h); err != nil {
			return nil, err
		}
		if s == nil {
			s = &sqlquery.Sums{From: h, To: h}
		}
		if h-s.To+int64(len(s.Holes)) > maxHoles {
			return nil, rows.Err()
		}
		for ; s.To < h; s.To++ {
			s.Holes = append(s.Holes, s.To)
		}
		s.To = h + 1
	}
	return s, rows.Err()
}
