package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/fault"
)

// Every connection that a server commits on says that the ledger is in use, for
// as long as it lasts; whoever replaces the ledger whole says that it is theirs.
// The database forgets both with the connection, however it ends.
const useKey = `hashtext('costprof in use ' || current_schema())`

var errReplaced = errors.New("a restore or a migration has this ledger for itself at the moment")

// share notes that a server uses the ledger. One that lost all connections may
// find another ledger when it comes back: what it remembers of the old one is
// forgotten then. (A table that was emptied has another file.)
func (e *Engine) share(ctx context.Context, conn *pgx.Conn) error {
	var got bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock_shared(`+useKey+`)`).Scan(&got); err != nil {
		return err
	}
	if !got {
		return errReplaced
	}
	var file *uint32
	if err := conn.QueryRow(ctx, `SELECT pg_relation_filenode(to_regclass('cells'))`).Scan(&file); err != nil {
		return err
	}
	if file != nil && e.file.Swap(*file) != *file {
		e.cells.forget()
		e.tagsets.forget()
	}
	return nil
}

// own takes the ledger for one connection alone, or fails with fault.Conflict.
func own(ctx context.Context, conn *pgx.Conn) error {
	var got bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(`+useKey+`)`).Scan(&got); err != nil {
		return err
	}
	if !got {
		return fault.New(fault.Conflict, "a costprof server uses the database %s; stop it first", conn.Config().Database)
	}
	return nil
}
