package duckdb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/usage"
)

const microsPerHour = int64(time.Hour / time.Microsecond)

func hourOf(t time.Time) int64 { return t.UnixMicro() / microsPerHour }

func hourStart(h int64) time.Time { return time.UnixMicro(h * microsPerHour).UTC() }

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
func (s *summer) next(counts *spanCounts, now time.Time, settled time.Duration) (hours []int64) {
	events := 0
	for _, h := range counts.hours() {
		if s.done[h.hour] || s.skip[h.hour] || hourStart(h.hour+1).Add(settled).After(now) || now.Sub(s.touched[h.hour]) < settled {
			if len(hours) > 0 {
				break // what lies between is not ours to sum
			}
			continue
		}
		if len(hours) > 0 && (s.alone || events+h.events > sumAtOnce) {
			break
		}
		hours, events = append(hours, h.hour), events+h.events
	}
	return hours
}

// sumUp makes the sums of the next hours; more says that there are others.
func (w *writer) sumUp(ctx context.Context) (more bool, err error) {
	hours := w.sums.next(&w.e.counts, w.e.now(), w.e.opts.SumAfter)
	if len(hours) == 0 {
		return false, nil
	}
	from, to := hourStart(hours[0]), hourStart(hours[len(hours)-1]+1)
	const window = ` FROM events WHERE ts >= ? AND ts < ? `
	var events, sums int64
	if err := w.conn.QueryRowContext(ctx, `SELECT count(*), count(DISTINCT (epoch_us(ts) // ?, cell))`+window, microsPerHour, from, to).Scan(&events, &sums); err != nil {
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
	// Whatever a question may ask of sums, under the names by which it does.
	names, values := []string{"hour", "cell"}, []string{fmt.Sprintf("epoch_us(ts) // %d AS hour", microsPerHour), "cell"}
	for _, m := range measures(analytics.EveryMeasure) {
		if m.kept != "" && !slices.Contains(names, m.kept) {
			names, values = append(names, m.kept), append(values, m.sql)
		}
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
	if err := w.exec(ctx, fmt.Sprintf(`INSERT INTO hours_done SELECT epoch_us(ts) // %d AS hour, max(seq)`, microsPerHour)+window+`GROUP BY hour`, from, to); err != nil {
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
		hours[hourOf(r.Timestamp)] = true
	}
	return hours
}

// summed is the part of a question's window that sums can answer.
type summed struct {
	from, to int64 // hours, half-open
	// holes are hours in between that must be read from the events.
	holes []int64
}

// maxHoles is how many holes a window may have before events alone are faster.
const maxHoles = 200

// sumsServe says whether sums of hours can answer the question at all.
func sumsServe(q analytics.Query) bool {
	if q.Status != analytics.StatusAny || len(q.Sources) > 0 || q.Aggregates || q.Measures&analytics.MeasureP95 != 0 {
		return false
	}
	if q.Grain > 0 && q.Grain < time.Hour {
		return false
	}
	cell := func(d analytics.Dimension) bool { _, ok := cellDimensions[d]; return ok }
	for _, d := range q.GroupBy {
		if !cell(d) {
			return false
		}
	}
	for d := range q.Any {
		if !cell(d) {
			return false
		}
	}
	return true
}

// findSums looks, in the question's own transaction, for the hours that are
// summed up and hold nothing later than q.AsOf. nil means that events alone
// answer.
func findSums(ctx context.Context, q querier, ask analytics.Query) (*summed, error) {
	if !sumsServe(ask) {
		return nil, nil
	}
	cond := "true"
	var args []any
	if !ask.From.IsZero() {
		cond += " AND hour >= ?"
		args = append(args, hourOf(ask.From.Add(time.Hour-time.Microsecond)))
	}
	if !ask.To.IsZero() {
		cond += " AND hour < ?"
		args = append(args, hourOf(ask.To))
	}
	args = append(args, ask.AsOf)
	rows, err := q.QueryContext(ctx, `SELECT hour FROM hours_done WHERE `+cond+` AND seq <= ? ORDER BY hour`, args...)
	if err != nil {
		return nil, fmt.Errorf("find summed hours: %w", err)
	}
	defer rows.Close()
	var s *summed
	for rows.Next() {
		var h int64
		if err := rows.Scan(&h); err != nil {
			return nil, err
		}
		if s == nil {
			s = &summed{from: h, to: h}
		}
		if h-s.to+int64(len(s.holes)) > maxHoles {
			return nil, rows.Err()
		}
		for ; s.to < h; s.to++ {
			s.holes = append(s.holes, s.to)
		}
		s.to = h + 1
	}
	return s, rows.Err()
}
