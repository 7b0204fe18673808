package duckdb

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// pruneAtOnce is how many events one commit of Prune removes, about: at least
// those of a project's day.
const pruneAtOnce = 200_000

// Prune implements store.Ledger: project by project, the oldest days first, in
// commits of bounded size, so that ingest never waits long.
func (e *Engine) Prune(ctx context.Context, before map[string]time.Time) (int64, error) {
	var removed int64
	for _, project := range slices.Sorted(maps.Keys(before)) {
		n, err := e.prune(ctx, project, sqlquery.CeilMicro(before[project]))
		removed += n
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

func (e *Engine) prune(ctx context.Context, project string, cut time.Time) (removed int64, err error) {
	var due []dueDay
	// The mark comes first: from then on nothing as old is stored, and what is there
	// is all that has to go.
	err = e.do(ctx, func(ctx context.Context, w *writer) (err error) {
		if due, err = w.due(ctx, project, cut); err != nil || len(due) == 0 || !w.pruned[project].Before(cut) {
			return err
		}
		if err := w.exec(ctx, `BEGIN TRANSACTION`); err != nil {
			return err
		}
		if err := w.exec(ctx, `DELETE FROM pruned WHERE project = ?`, project); err != nil {
			return err
		}
		if err := w.exec(ctx, `INSERT INTO pruned VALUES (?, ?)`, project, cut); err != nil {
			return err
		}
		if err := w.seal(ctx, e.last.Load()+1, changed); err != nil {
			return err
		}
		w.pruned[project] = cut
		return nil
	})
	for err == nil && len(due) > 0 {
		days, events := 1, due[0].events
		for days < len(due) && events+due[days].events <= pruneAtOnce {
			events += due[days].events
			days++
		}
		from, to := dayStart(due[0].day), dayStart(due[days-1].day+1)
		if to.After(cut) {
			to = cut
		}
		due = due[days:]
		var n int64
		err = e.do(ctx, func(ctx context.Context, w *writer) (err error) {
			if n, err = w.pruneDays(ctx, project, from, to, false); isOutOfRange(err) {
				// The sums of a day do not fit: its events' costs are kept one by one.
				if err = w.exec(ctx, `ROLLBACK`); err == nil {
					n, err = w.pruneDays(ctx, project, from, to, true)
				}
			}
			return err
		})
		if err == nil {
			removed += n
		}
	}
	return removed, err
}

func dayStart(n int64) time.Time { return sqlquery.HourStart(n * 24) }

type dueDay struct{ day, events int64 }

// due lists the days on which the project has events before the time.
func (w *writer) due(ctx context.Context, project string, before time.Time) (out []dueDay, err error) {
	rows, err := w.conn.QueryContext(ctx, `SELECT `+dialect().Period(24*time.Hour)+` AS day, count(*) FROM events WHERE ts < ? AND `+ofProject+` GROUP BY day ORDER BY day`, before, project)
	if err != nil {
		return nil, fmt.Errorf("find old events: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var d dueDay
		if err := rows.Scan(&d.day, &d.events); err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

const ofProject = `cell IN (SELECT id FROM cells WHERE project = ?)`

// pruneDays removes a project's events from a range of time and keeps the sums
// of their days, in one transaction; with apart it keeps a row an event.
func (w *writer) pruneDays(ctx context.Context, project string, from, to time.Time, apart bool) (int64, error) {
	if err := w.exec(ctx, `BEGIN TRANSACTION`); err != nil {
		return 0, err
	}
	const which = ` FROM events WHERE ts >= ? AND ts < ? AND ` + ofProject
	d := dialect()
	names, values := []string{"day", "cell"}, []string{d.Period(24*time.Hour) + " AS day", "cell"}
	for _, sum := range d.KeptSums() {
		names, values = append(names, sum.Column), append(values, sum.Of)
	}
	by := ` GROUP BY day, cell`
	if apart {
		by += `, id`
	}
	if err := w.exec(ctx, `INSERT INTO `+sqlquery.PastTable+` (`+strings.Join(names, ", ")+`) SELECT `+strings.Join(values, ", ")+which+` AND NOT is_aggregate`+by, from, to, project); err != nil {
		return 0, fmt.Errorf("keep sums of old events: %w", err)
	}
	if err := w.exec(ctx, `DELETE FROM corrections WHERE ts >= ? AND ts < ? AND id IN (SELECT id`+which+`)`, from, to, from, to, project); err != nil {
		return 0, fmt.Errorf("remove past costs: %w", err)
	}
	res, err := w.conn.ExecContext(ctx, `DELETE`+which, from, to, project)
	if err != nil {
		return 0, fmt.Errorf("remove old events: %w", err)
	}
	removed, err := res.RowsAffected()
	if err != nil {
		return 0, err
	}
	hours := map[int64]bool{}
	for h := range w.sums.done {
		if start := sqlquery.HourStart(h); start.Before(to) && start.Add(time.Hour).After(from) {
			hours[h] = true
		}
	}
	if err := w.unsum(ctx, hours); err != nil {
		return 0, err
	}
	if err := w.seal(ctx, w.e.last.Load()+1, changed); err != nil {
		return 0, err
	}
	w.known.Forget()
	return removed, w.e.countSpans(ctx, w.conn)
}

// Pruned implements store.Ledger.
func (e *Engine) Pruned(ctx context.Context) (out map[string]time.Time, err error) {
	err = e.read(ctx, func(_ querier, at position) error {
		out = at.pruned
		return nil
	})
	return out, err
}

func readPruned(ctx context.Context, q querier) (analytics.Pruned, error) {
	rows, err := q.QueryContext(ctx, `SELECT project, before FROM pruned`)
	if err != nil {
		return nil, fmt.Errorf("read what was removed: %w", err)
	}
	defer rows.Close()
	out := analytics.Pruned{}
	for rows.Next() {
		var project string
		var before time.Time
		if err := rows.Scan(&project, timeScanner{&before}); err != nil {
			return nil, err
		}
		out[project] = before
	}
	return out, rows.Err()
}

// refuseOld answers the jobs that have records older than what was removed, and
// leaves the others.
func (w *writer) refuseOld(jobs []*appendJob) []*appendJob {
	if len(w.pruned) == 0 {
		return jobs
	}
	return slices.DeleteFunc(jobs, func(j *appendJob) bool {
		old := slices.ContainsFunc(j.records, func(r usage.Record) bool { return r.Timestamp.Before(w.pruned[r.Project]) })
		if old {
			j.done <- store.ErrTooOld
		}
		return old
	})
}
