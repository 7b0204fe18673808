package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/sqlquery"
)

// Erase implements store.Ledger.
func (e *Engine) Erase(ctx context.Context, who store.Erasure) (int64, error) {
	if !holds(who.UserID) || !holds(who.Project) {
		return 0, nil // no event has it
	}
	var erased int64
	err := e.inLedger(ctx, func(tx pgx.Tx, n int64) (change, error) {
		var err error
		var touched bool
		if erased, touched, err = erase(ctx, tx, who); err != nil || !touched {
			return change{}, err
		}
		_, err = tx.Exec(ctx, `UPDATE ledger SET erased = $1`, n)
		return change{revised: true}, err
	})
	e.swept.Store(0)
	return erased, err
}

// erase says of how many events it removed something, and whether it removed
// anything at all.
func erase(ctx context.Context, tx pgx.Tx, who store.Erasure) (erased int64, touched bool, err error) {
	if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(`+tagsKey+`)`); err != nil {
		return 0, false, err
	}
	was, now, err := reduceSets(ctx, tx, who.UserID)
	if err != nil {
		return 0, false, fmt.Errorf("erase from tags: %w", err)
	}
	const scope = ` AND ($2 = '' OR cell IN (SELECT id FROM cells WHERE project = $2))`
	const person = `(user_id = $1 OR tagset = ANY($3))`
	rows, err := tx.Query(ctx, `SELECT DISTINCT session_id FROM events WHERE session_id IS NOT NULL AND `+person+scope, who.UserID, who.Project, was)
	if err != nil {
		return 0, false, fmt.Errorf("erase: %w", err)
	}
	sessions, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, false, fmt.Errorf("erase: %w", err)
	}
	// What is in a session of theirs and names nobody else is theirs too.
	const theirs = `(` + person + ` OR user_id IS NULL AND session_id = ANY($4))`
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM events WHERE `+theirs+scope, who.UserID, who.Project, was, sessions).Scan(&erased); err != nil || erased == 0 && len(was) == 0 {
		return 0, false, err
	}
	rows, err = tx.Query(ctx, `SELECT DISTINCT prompt_id FROM events WHERE prompt_id IS NOT NULL AND `+theirs+scope, who.UserID, who.Project, was, sessions)
	if err != nil {
		return 0, false, fmt.Errorf("erase: %w", err)
	}
	prompts, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return 0, false, fmt.Errorf("erase: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE events SET
			metadata = CASE WHEN `+theirs+` THEN NULL ELSE metadata END,
			prompt_id = CASE WHEN `+theirs+` THEN NULL ELSE prompt_id END,
			session_id = CASE WHEN session_id = ANY($4) THEN NULL ELSE session_id END,
			user_id = nullif(user_id, $1),
			tagset = CASE WHEN tagset = ANY($3) THEN (SELECT nullif(s.now, 0) FROM unnest($3, $5::BIGINT[]) AS s (was, now) WHERE s.was = tagset) ELSE tagset END
		WHERE (`+person+` OR session_id = ANY($4))`+scope, who.UserID, who.Project, was, sessions, now); err != nil {
		return 0, false, fmt.Errorf("erase: %w", err)
	}
	touched = erased > 0
	if _, err := tx.Exec(ctx, `DELETE FROM prompts WHERE id = ANY($1) AND NOT EXISTS (SELECT 1 FROM events WHERE events.prompt_id = prompts.id)`, prompts); err != nil {
		return 0, false, fmt.Errorf("erase prompts: %w", err)
	}
	// Sets that another project still uses stay; those of removed events go.
	for _, text := range []string{
		`DELETE FROM tags WHERE tagset = ANY($1) AND NOT EXISTS (SELECT 1 FROM events WHERE events.tagset = tags.tagset)`,
		`DELETE FROM tagsets WHERE id = ANY($1) AND NOT EXISTS (SELECT 1 FROM events WHERE events.tagset = tagsets.id)`,
	} {
		tag, err := tx.Exec(ctx, text, was)
		if err != nil {
			return 0, false, fmt.Errorf("erase from tags: %w", err)
		}
		touched = touched || tag.RowsAffected() > 0
	}
	return erased, touched, nil
}

// reduceSets makes, for each set of tags with the value, the one without it; 0 is
// none.
func reduceSets(ctx context.Context, tx pgx.Tx, value string) (was, now []int64, err error) {
	rows, err := tx.Query(ctx, `SELECT tagset, name, value FROM tags WHERE tagset IN (SELECT tagset FROM tags WHERE value = $1)`, value)
	if err != nil {
		return nil, nil, err
	}
	rest := map[int64]map[string]string{}
	var set int64
	var name, v string
	if _, err = pgx.ForEachRow(rows, []any{&set, &name, &v}, func() error {
		if rest[set] == nil {
			rest[set] = map[string]string{}
		}
		if v != value {
			rest[set][name] = v
		}
		return nil
	}); err != nil {
		return nil, nil, err
	}
	was, now = []int64{}, []int64{}
	for _, set := range slices.Sorted(maps.Keys(rest)) {
		var id int64
		if tags := rest[set]; len(tags) > 0 {
			if id, err = storeTagSet(ctx, tx, tags); err != nil {
				return nil, nil, err
			}
		}
		was, now = append(was, set), append(now, id)
	}
	return was, now, nil
}

func storeTagSet(ctx context.Context, tx pgx.Tx, tags map[string]string) (id int64, err error) {
	hash := [16]byte(sqlquery.HashTags(tags))
	tag, err := tx.Exec(ctx, `INSERT INTO tagsets (hash) VALUES ($1) ON CONFLICT DO NOTHING`, hash)
	if err != nil {
		return 0, err
	}
	if err := tx.QueryRow(ctx, `SELECT id FROM tagsets WHERE hash = $1`, hash).Scan(&id); err != nil || tag.RowsAffected() == 0 {
		return id, err
	}
	for name, value := range tags {
		if _, err := tx.Exec(ctx, `INSERT INTO tags VALUES ($1, $2, $3)`, id, name, value); err != nil {
			return 0, err
		}
	}
	return id, nil
}

const (
	// compactWait is how long Compact waits for transactions that may still see what
	// was erased, or that use a table.
	compactWait = 5 * time.Minute
	// compactLock is how long everybody else queues behind it for a table that a
	// long question or a backup reads; then they go first, and it asks again.
	compactLock  = "2s"
	compactPause = 100 * time.Millisecond
)

// Compact implements store.Ledger: the tables that Erase changes are written anew,
// each in a moment in which nobody else uses it, once no transaction sees what
// they were. Their statistics, which hold frequent values, are too.
func (e *Engine) Compact(ctx context.Context) error {
	if e.closed.Load() {
		return errStopping()
	}
	return e.explain(ctx, e.compact(ctx))
}

func (e *Engine) compact(ctx context.Context) error {
	config := e.write.Config().ConnConfig.Copy()
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			e.log.Warn("the database says so of what was erased", "message", n.Message, "hint", "let the user that costprof connects as own the database, or run VACUUM FULL pg_catalog.pg_statistic as one that may")
		}
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `SET statement_timeout = 0; SET lock_timeout = '`+compactLock+`'`); err != nil {
		return err
	}
	var now string
	if err := conn.QueryRow(ctx, `SELECT pg_snapshot_xmax(pg_current_snapshot())::xid::text`).Scan(&now); err != nil {
		return err
	}
	end := time.Now().Add(compactWait)
	for {
		var seen bool
		if err := conn.QueryRow(ctx, seenSince, now).Scan(&seen); err != nil {
			return err
		}
		if !seen {
			break
		}
		if err := pauseUntil(ctx, end, "a transaction of the database still sees what was erased"); err != nil {
			return err
		}
	}
	rows, err := conn.Query(ctx, `SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass ORDER BY 1`)
	if err != nil {
		return err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if err := e.compactNearest(ctx, end); err != nil {
		return err
	}
	steps := []string{`VACUUM (FULL, ANALYZE) prompts`, `VACUUM (FULL, ANALYZE) embed_queue`, `VACUUM (FULL, ANALYZE) vectors`, `VACUUM (FULL, ANALYZE) tags`, `VACUUM (FULL, ANALYZE) tagsets`, `ANALYZE events`, `VACUUM FULL pg_catalog.pg_statistic`}
	for _, table := range slices.Backward(tables) {
		steps = slices.Insert(steps, 0, `VACUUM (FULL, ANALYZE) `+table)
	}
	for _, step := range steps {
		for {
			_, err := conn.Exec(ctx, step)
			if err == nil || pgCode(err) == "42P01" { // a month that retention dropped meanwhile
				break
			}
			if pgCode(err) != "55P03" {
				return fmt.Errorf("write tables anew: %s: %w", step, err)
			}
			if err := pauseUntil(ctx, end, "a table is in use all the time"); err != nil {
				return err
			}
		}
	}
	return nil
}

// seenSince says whether anything keeps rows that were there before a transaction
// alive: another one, one that is prepared, a replica.
const seenSince = `SELECT EXISTS (SELECT 1 FROM (
		SELECT backend_xmin FROM pg_stat_activity WHERE (datname = current_database() OR backend_type = 'walsender') AND pid <> pg_backend_pid()
		UNION ALL SELECT transaction FROM pg_prepared_xacts WHERE database = current_database()
		UNION ALL SELECT xmin FROM pg_replication_slots
	) AS held (xmin) WHERE age(xmin) > age($1::text::xid))`

func pauseUntil(ctx context.Context, end time.Time, why string) error {
	if time.Now().After(end) {
		return &fault.Error{Code: fault.Unavailable, Message: why + "; its tables are written anew later", RetryAfter: compactWait}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(compactPause):
		return nil
	}
}
