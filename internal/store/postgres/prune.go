package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/sqlquery"
)

// pruneAtOnce is how many events one commit of Prune removes, about: at least
// those of a project's hour.
const pruneAtOnce = 20_000

// Prune implements store.Ledger: the oldest months first, project by project, in
// commits of bounded size, so that ingest never waits long. A month that nobody
// keeps is dropped with its partition.
func (e *Engine) Prune(ctx context.Context, before map[string]time.Time) (int64, error) {
	due := map[int]map[string][]dueHour{}
	for project, t := range before {
		found, err := e.pruneFrom(ctx, project, sqlquery.CeilMicro(t).UnixMicro())
		if err != nil {
			return 0, err
		}
		for m, hours := range found {
			if due[m] == nil {
				due[m] = map[string][]dueHour{}
			}
			due[m][project] = hours
		}
	}
	var removed int64
	for _, m := range slices.Sorted(maps.Keys(due)) {
		n, err := e.dropMonth(ctx, m)
		if removed += n; err != nil {
			return removed, err
		}
		if n > 0 {
			continue
		}
		for _, project := range slices.Sorted(maps.Keys(due[m])) {
			n, err := e.pruneHours(ctx, project, sqlquery.CeilMicro(before[project]).UnixMicro(), due[m][project])
			if removed += n; err != nil {
				return removed, err
			}
		}
	}
	return removed, nil
}

type dueHour struct{ hour, events int64 }

// pruneFrom marks that nothing of the project is kept from before the time, if
// it has something that old, and lists that by month. From the mark on nothing as
// old is stored, so what is found after it is all that has to go.
func (e *Engine) pruneFrom(ctx context.Context, project string, cut int64) (map[int][]dueHour, error) {
	found, err := e.findDue(ctx, project, cut)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	if err := e.inLedger(ctx, func(tx pgx.Tx, _ int64) (change, error) {
		tag, err := tx.Exec(ctx, `INSERT INTO pruned VALUES ($1, $2) ON CONFLICT (project) DO UPDATE SET before = excluded.before WHERE pruned.before < excluded.before`, project, cut)
		if err != nil || tag.RowsAffected() == 0 {
			return change{}, err
		}
		_, err = tx.Exec(ctx, `UPDATE ledger SET pruned = greatest(pruned, $1)`, cut)
		return change{revised: true}, err
	}); err != nil {
		return nil, err
	}
	return e.findDue(ctx, project, cut)
}

// findDue lists by month the hours in which the project has events before the
// time. It looks at a month at a time, so that no question takes long.
func (e *Engine) findDue(ctx context.Context, project string, cut int64) (map[int][]dueHour, error) {
	out := map[int][]dueHour{}
	err := e.catalog(ctx, func(db *pgxConn) error {
		var oldest *int64
		if err := db.QueryRow(ctx, `SELECT min(ts) FROM events`).Scan(&oldest); err != nil || oldest == nil {
			return err
		}
		for m := month(time.UnixMicro(*oldest)); monthStart(m).UnixMicro() < cut; m++ {
			rows, err := db.Query(ctx, `SELECT ts / 3600000000 AS hour, count(*) FROM events WHERE ts >= $1 AND ts < $2 AND `+ofProject("$3")+` GROUP BY hour ORDER BY hour`,
				monthStart(m).UnixMicro(), min(monthStart(m+1).UnixMicro(), cut), project)
			if err != nil {
				return err
			}
			hours, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h dueHour, err error) {
				return h, row.Scan(&h.hour, &h.events)
			})
			if err != nil {
				return err
			}
			if len(hours) > 0 {
				out[m] = hours
			}
		}
		return nil
	})
	return out, err
}

func ofProject(bound string) string {
	return `cell IN (SELECT id FROM cells WHERE project = ` + bound + `)`
}

// pruneHours removes a project's events of the hours before the time.
func (e *Engine) pruneHours(ctx context.Context, project string, cut int64, due []dueHour) (removed int64, err error) {
	for len(due) > 0 {
		hours, events := []int64{due[0].hour}, due[0].events
		for _, h := range due[1:] {
			if events += h.events; events > pruneAtOnce {
				break
			}
			hours = append(hours, h.hour)
		}
		due = due[len(hours):]
		var n int64
		if err := e.inLedger(ctx, func(tx pgx.Tx, _ int64) (change, error) {
			var err error
			n, err = removeHours(ctx, tx, project, cut, hours)
			return change{events: -n, revised: n > 0}, err
		}); err != nil {
			return removed, err
		}
		removed += n
	}
	return removed, nil
}

// removeHours removes a project's events of some hours and keeps the sums of
// their days.
func removeHours(ctx context.Context, tx pgx.Tx, project string, cut int64, hours []int64) (int64, error) {
	which := `ts >= $1 AND ts < $2 AND ` + ofProject("$3")
	args := []any{sqlquery.HourStart(hours[0]).UnixMicro(), min(cut, sqlquery.HourStart(hours[len(hours)-1]+1).UnixMicro()), project}
	if err := keepSums(ctx, tx, which, args...); err != nil {
		return 0, err
	}
	var removed int64
	for _, text := range []string{
		`DELETE FROM corrections c USING events e WHERE c.ts >= $1 AND c.ts < $2 AND e.ts = c.ts AND e.id = c.id AND e.` + ofProject("$3"),
		`DELETE FROM explicit_ids x USING events e WHERE e.content IS NOT NULL AND x.ts >= $1 AND x.ts < $2 AND e.ts = x.ts AND e.id = x.id AND e.` + ofProject("$3"),
		`DELETE FROM events WHERE ` + which,
	} {
		tag, err := tx.Exec(ctx, text, args...)
		if err != nil {
			return 0, fmt.Errorf("remove old events: %w", err)
		}
		removed = tag.RowsAffected()
	}
	if removed == 0 {
		return 0, nil
	}
	return removed, sumAnew(ctx, tx, hours)
}

// keepSums adds to the sums of past days those of the events that are about to
// be removed. What does not fit beside the others is kept beside them, an event a
// row if need be.
func keepSums(ctx context.Context, tx pgx.Tx, which string, args ...any) error {
	names, values, folds := []string{"day", "cell"}, []string{dialect().Period(24*time.Hour) + " AS day", "cell"}, []string{"day", "cell"}
	for _, s := range dialect().KeptSums() {
		names, values = append(names, s.Column), append(values, "("+s.Of+")::BIGINT AS "+s.Column)
		fold := "sum"
		switch s.Column {
		case "first":
			fold = "min"
		case "last":
			fold = "max"
		}
		folds = append(folds, fold+"("+s.Column+")::BIGINT")
	}
	list := strings.Join(names, ", ")
	fresh := `SELECT ` + strings.Join(values, ", ") + ` FROM events WHERE ` + which + ` AND NOT is_aggregate GROUP BY day, cell`
	insert := `INSERT INTO ` + sqlquery.PastTable + ` (` + list + `) `
	err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
		_, err := inner.Exec(ctx, `WITH fresh AS MATERIALIZED (`+fresh+`), before AS (
				DELETE FROM `+sqlquery.PastTable+` p USING fresh WHERE p.day = fresh.day AND p.cell = fresh.cell RETURNING p.*
			) `+insert+`SELECT `+strings.Join(folds, ", ")+` FROM (SELECT `+list+` FROM fresh UNION ALL SELECT `+list+` FROM before) united GROUP BY day, cell`, args...)
		return err
	})
	if tooWide(err) {
		_, err = tx.Exec(ctx, insert+fresh+`, id`, args...)
	}
	if err != nil {
		return fmt.Errorf("keep sums of old events: %w", err)
	}
	return nil
}

// dropLockTime is how long the drop of a partition waits for questions to end;
// those that come meanwhile wait behind it.
const dropLockTime = "2s"

// dropMonth drops the partition of a month if no project keeps any of it, and
// says how many events that were. 0: it is kept, or questions were in the way.
func (e *Engine) dropMonth(ctx context.Context, m int) (int64, error) {
	from, to := monthStart(m).UnixMicro(), monthStart(m+1).UnixMicro()
	const kept = `EXISTS (SELECT 1 FROM events WHERE ts >= $1 AND ts < $2 AND cell NOT IN (
		SELECT cells.id FROM cells JOIN pruned ON pruned.project = cells.project WHERE pruned.before >= $2))`
	var keep bool
	if err := e.catalog(ctx, func(db *pgxConn) error {
		return db.QueryRow(ctx, `SELECT `+kept, from, to).Scan(&keep)
	}); err != nil || keep {
		return 0, err
	}
	var removed int64
	err := e.inLedger(ctx, func(tx pgx.Tx, _ int64) (change, error) {
		removed = 0
		// Someone may have stored in it since, or removed from it.
		if err := tx.QueryRow(ctx, `SELECT count(*), `+kept+` FROM events WHERE ts >= $1 AND ts < $2`, from, to).Scan(&removed, &keep); err != nil {
			return change{}, err
		}
		if keep || removed == 0 {
			removed = 0
			return change{}, nil
		}
		return change{events: -removed, revised: true}, dropPartition(ctx, tx, m)
	})
	if pgCode(err) == "55P03" {
		e.log.Info("a month that nobody keeps is being read; its events are removed one by one", "month", monthStart(m).Format("2006-01"))
		return 0, nil
	}
	if err == nil && removed > 0 {
		e.partitions.forget(m)
	}
	return removed, err
}

func dropPartition(ctx context.Context, tx pgx.Tx, m int) error {
	from, to := monthStart(m).UnixMicro(), monthStart(m+1).UnixMicro()
	hour, day := levels()[0], levels()[1]
	firstHour, endHour := sqlquery.HourOf(monthStart(m)), sqlquery.HourOf(monthStart(m+1))
	list := "day, cell, " + strings.Join(sumColumns(), ", ")
	// The sums of days are there already, but for those that do not fit.
	if _, err := tx.Exec(ctx, `INSERT INTO `+sqlquery.PastTable+` (`+list+`) SELECT `+list+` FROM days WHERE day >= $1 AND day < $2`, day.period(firstHour), day.period(endHour)); err != nil {
		return fmt.Errorf("keep sums of a month: %w", err)
	}
	rows, err := tx.Query(ctx, `SELECT day FROM wide_days WHERE day >= $1 AND day < $2`, day.period(firstHour), day.period(endHour))
	if err != nil {
		return err
	}
	wide, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	for _, d := range wide {
		if err := keepSums(ctx, tx, `ts >= $1 AND ts < $2`, sqlquery.HourStart(d*24).UnixMicro(), sqlquery.HourStart((d+1)*24).UnixMicro()); err != nil {
			return err
		}
	}
	for _, table := range [...]string{"corrections", "explicit_ids"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE ts >= $1 AND ts < $2`, from, to); err != nil {
			return fmt.Errorf("drop a month: %w", err)
		}
	}
	for _, l := range [...]level{hour, day} {
		for _, table := range l.tables() {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE `+l.key+` >= $1 AND `+l.key+` < $2`, l.period(firstHour), l.period(endHour)); err != nil {
				return fmt.Errorf("drop a month: %w", err)
			}
		}
	}
	_, err = tx.Exec(ctx, `SET LOCAL lock_timeout = '`+dropLockTime+`'; DROP TABLE `+partitionName(m))
	if err != nil {
		return fmt.Errorf("drop a month: %w", err)
	}
	return nil
}

func pgCode(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// Pruned implements store.Ledger.
func (e *Engine) Pruned(ctx context.Context) (out map[string]time.Time, err error) {
	err = e.catalog(ctx, func(db *pgxConn) error {
		out, err = readPruned(ctx, db)
		return err
	})
	return out, err
}

// querier is what a connection and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readPruned(ctx context.Context, db querier) (analytics.Pruned, error) {
	rows, err := db.Query(ctx, `SELECT project, before FROM pruned`)
	if err != nil {
		return nil, fmt.Errorf("read what was removed: %w", err)
	}
	out := analytics.Pruned{}
	var project string
	var before int64
	_, err = pgx.ForEachRow(rows, []any{&project, &before}, func() error {
		out[project] = time.UnixMicro(before).UTC()
		return nil
	})
	return out, err
}

// tooOld lists the jobs that have records older than what was removed; latest is
// the ledger's time before which something was.
func (b *batch) tooOld(ctx context.Context, tx pgx.Tx, latest int64) (old []*appendJob, err error) {
	if latest == 0 || !slices.ContainsFunc(b.rows, func(r row) bool { return r.rec.Timestamp.UnixMicro() < latest }) {
		return nil, nil
	}
	pruned, err := readPruned(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, j := range b.jobs {
		if slices.ContainsFunc(j.rows, func(r row) bool { return r.rec.Timestamp.Before(pruned[r.rec.Project]) }) {
			old = append(old, j)
		}
	}
	return old, nil
}

// oldError is that of an attempt that found jobs older than what was removed.
type oldError struct{ jobs []*appendJob }

func (oldError) Error() string { return store.ErrTooOld.Error() }

// refuse answers the jobs of the error, which are then no longer in the batch.
func (b *batch) refuse(old oldError) {
	for _, j := range old.jobs {
		j.done <- store.ErrTooOld
	}
	// What was found out about the rows of the others stays.
	var rows []row
	at := 0
	for _, j := range b.jobs {
		if !slices.Contains(old.jobs, j) {
			rows = append(rows, b.rows[at:at+len(j.rows)]...)
		}
		at += len(j.rows)
	}
	erased := b.erased
	*b = *batchOf(slices.DeleteFunc(slices.Clone(b.jobs), func(j *appendJob) bool { return slices.Contains(old.jobs, j) }), rows)
	b.erased = erased
}
