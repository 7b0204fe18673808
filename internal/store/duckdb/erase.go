package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Erase implements store.Ledger. What the events lose is gone from every answer
// with one commit; the file is then written anew, because the engine leaves what
// was replaced in pages that it does not use any more.
func (e *Engine) Erase(ctx context.Context, who store.Erasure) (erased int64, err error) {
	err = e.do(ctx, func(ctx context.Context, w *writer) error {
		if err := w.exec(ctx, `BEGIN TRANSACTION`); err != nil {
			return err
		}
		var touched bool
		if erased, touched, err = w.erase(ctx, who); err != nil {
			return fmt.Errorf("erase: %w", err)
		}
		if !touched {
			w.e.tags.forget() // numbers of sets that are taken back
			return w.exec(ctx, `ROLLBACK`)
		}
		err := w.seal(ctx, w.e.last.Load()+1, changed)
		w.e.tags.forget() // numbers of sets that are gone
		w.e.prompts.forget()
		w.e.uses.drop()
		return err
	})
	return erased, err
}

// Compact implements store.Ledger.
func (e *Engine) Compact(ctx context.Context) error {
	return e.do(ctx, func(ctx context.Context, w *writer) error { return w.compact(ctx) })
}

// erase says of how many events it removed something, and whether it removed
// anything at all.
func (w *writer) erase(ctx context.Context, who store.Erasure) (n int64, touched bool, err error) {
	scope, args := ` AND true`, []any{}
	if who.Project != "" {
		scope, args = ` AND `+ofProject, []any{who.Project}
	}
	with := func(first ...any) []any { return append(first, args...) }
	for _, text := range []string{
		`CREATE OR REPLACE TEMP TABLE erased_sets (was BIGINT, now BIGINT)`,
		`CREATE OR REPLACE TEMP TABLE erased_sessions (session_id VARCHAR)`,
		`CREATE OR REPLACE TEMP TABLE erased_events (ts TIMESTAMP, id UUID, prompt_id UUID)`,
	} {
		if err := w.exec(ctx, text); err != nil {
			return 0, false, err
		}
	}
	if err := w.reduceSets(ctx, who.UserID); err != nil {
		return 0, false, err
	}
	person := `(user_id = ? OR tagset IN (SELECT was FROM erased_sets))`
	for _, step := range []struct {
		text string
		args []any
	}{
		{`INSERT INTO erased_sessions SELECT DISTINCT session_id FROM events WHERE session_id IS NOT NULL AND ` + person + scope, with(who.UserID)},
		// What is in a session of theirs and names nobody else is theirs too.
		{`INSERT INTO erased_events SELECT ts, id, prompt_id FROM events WHERE (` + person + ` OR user_id IS NULL AND session_id IN (SELECT session_id FROM erased_sessions))` + scope, with(who.UserID)},
	} {
		if err := w.exec(ctx, step.text, step.args...); err != nil {
			return 0, false, err
		}
	}
	var sets int64
	if err := w.conn.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM erased_events), (SELECT count(*) FROM erased_sets)`).Scan(&n, &sets); err != nil || n == 0 && sets == 0 {
		return 0, false, err
	}
	for _, step := range []struct {
		text string
		args []any
	}{
		{`UPDATE events SET tagset = nullif(s.now, 0) FROM erased_sets s WHERE events.tagset = s.was` + scope, args},
		{`UPDATE events SET metadata = NULL, prompt_id = NULL FROM erased_events e WHERE events.ts = e.ts AND events.id = e.id AND (metadata IS NOT NULL OR events.prompt_id IS NOT NULL)`, nil},
		{`DELETE FROM prompts WHERE id IN (SELECT prompt_id FROM erased_events WHERE prompt_id IS NOT NULL) AND id NOT IN (SELECT prompt_id FROM events WHERE prompt_id IS NOT NULL)`, nil},
		{`DELETE FROM embed_queue WHERE id NOT IN (SELECT id FROM prompts)`, nil},
		{`DELETE FROM vectors WHERE id NOT IN (SELECT id FROM prompts)`, nil},
		{`UPDATE events SET session_id = NULL WHERE session_id IN (SELECT session_id FROM erased_sessions)` + scope, args},
		{`UPDATE events SET user_id = NULL WHERE user_id = ?` + scope, with(who.UserID)},
		// Sets that another project still uses stay; those of removed events go.
		{`DELETE FROM tags WHERE tagset IN (SELECT was FROM erased_sets) AND tagset NOT IN (SELECT tagset FROM events WHERE tagset IS NOT NULL)`, nil},
		{`DELETE FROM tagsets WHERE id IN (SELECT was FROM erased_sets) AND id NOT IN (SELECT tagset FROM events WHERE tagset IS NOT NULL)`, nil},
		{`DROP TABLE erased_sets`, nil}, {`DROP TABLE erased_sessions`, nil}, {`DROP TABLE erased_events`, nil},
	} {
		res, err := w.conn.ExecContext(ctx, step.text, step.args...)
		if err != nil {
			return 0, false, err
		}
		rows, err := res.RowsAffected()
		if err != nil {
			return 0, false, err
		}
		touched = touched || rows > 0
	}
	return n, touched, nil
}

// reduceSets makes, for each set of tags with the value, the one without it.
func (w *writer) reduceSets(ctx context.Context, value string) error {
	rows, err := w.conn.QueryContext(ctx, `SELECT tagset, name, value FROM tags WHERE tagset IN (SELECT tagset FROM tags WHERE value = ?)`, value)
	if err != nil {
		return err
	}
	defer rows.Close()
	rest := map[int64]map[string]string{}
	for rows.Next() {
		var set int64
		var name, v string
		if err := rows.Scan(&set, &name, &v); err != nil {
			return err
		}
		if rest[set] == nil {
			rest[set] = map[string]string{}
		}
		if v != value {
			rest[set][name] = v
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(rest) == 0 {
		return err
	}
	sets := make([]int64, 0, len(rest))
	recs := make([]*usage.Record, 0, len(rest))
	for set, tags := range rest {
		sets, recs = append(sets, set), append(recs, &usage.Record{Event: usage.Event{Tags: tags}})
	}
	now, err := w.e.tags.intern(ctx, w, recs)
	if err != nil {
		return err
	}
	pairs := make([]string, len(sets))
	for i := range sets {
		pairs[i] = fmt.Sprintf("(%d, %d)", sets[i], now[i])
	}
	return w.exec(ctx, `INSERT INTO erased_sets VALUES `+strings.Join(pairs, ", "))
}

const compactFile = "compact-" + ledgerFile

// readersWait is how long new questions are held back for those at work to end.
const readersWait = 5 * time.Second

// holdReaders takes the places of all readers, so that questions wait instead of
// finding no ledger. It does not wait for one that takes long, such as a backup.
func (e *Engine) holdReaders(ctx context.Context) (resume func(), err error) {
	held := 0
	resume = func() {
		for range held {
			<-e.readers
		}
	}
	patience := time.NewTimer(readersWait)
	defer patience.Stop()
	for held < cap(e.readers) {
		select {
		case e.readers <- struct{}{}:
			held++
			continue
		case <-patience.C:
			err = &fault.Error{Code: fault.Unavailable, Message: "a backup or a long question reads the ledger; its file is written anew later", RetryAfter: time.Minute}
		case <-ctx.Done():
			err = ctx.Err()
		}
		resume()
		return nil, err
	}
	return resume, nil
}

// compact writes the ledger into another file and puts that in its place, so
// that nothing of what was replaced or removed is left in it, or in the log.
// Questions go on meanwhile, appends wait. Whatever ends it leaves one whole
// ledger.
func (w *writer) compact(ctx context.Context) error {
	dir := w.e.opts.Dir
	fresh := filepath.Join(dir, compactFile)
	remove := func() error {
		for _, name := range []string{compactFile, compactFile + ".wal"} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	}
	if err := remove(); err != nil {
		return fmt.Errorf("compact the ledger: %w", err)
	}
	if err := w.e.checkpoint(ctx, w.conn); err != nil {
		return errors.Join(errReopen, err)
	}
	var name string
	if err := w.conn.QueryRowContext(ctx, `SELECT current_database()`).Scan(&name); err != nil {
		return err
	}
	copying, done := context.WithCancel(ctx)
	defer done()
	go func() {
		select {
		case <-w.e.stop: // a stop does not wait for it: the next start begins anew
			done()
		case <-copying.Done():
		}
	}()
	for _, text := range []string{
		`ATTACH '` + strings.ReplaceAll(fresh, "'", "''") + `' AS compacted`,
		`COPY FROM DATABASE "` + name + `" TO compacted`,
		`CHECKPOINT compacted`,
		`DETACH compacted`,
	} {
		if err := w.exec(copying, text); err != nil {
			_ = w.exec(ctx, `DETACH compacted`) // it may not be attached
			return errors.Join(fmt.Errorf("compact the ledger: %w", err), remove())
		}
	}
	if err := syncDir(fresh); err != nil { // any file can be synced so
		return errors.Join(fmt.Errorf("compact the ledger: %w", err), remove())
	}
	resume, err := w.e.holdReaders(ctx)
	if err != nil {
		return errors.Join(err, remove())
	}
	defer resume()
	// The old file is whole and its log empty: a crash from here on leaves the one
	// or the other.
	w.disconnect()
	w.e.use(nil)
	if w.e.file != nil {
		w.e.file.Close()
		w.e.file = nil
	}
	err = os.Remove(filepath.Join(dir, walFile))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.Rename(fresh, filepath.Join(dir, ledgerFile))
	}
	if err == nil {
		err = syncDir(dir)
	}
	w.known.Forget()
	w.e.cells.forget()
	w.e.tags.forget()
	if opening := w.ready(ctx); err == nil {
		err = opening
	}
	if err != nil {
		return fmt.Errorf("compact the ledger: %w", err)
	}
	return nil
}
