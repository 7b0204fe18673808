package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// pgvector is the extension by which the database searches vectors; the zero value
// is none.
type pgvector struct {
	// schema is where its types and operators are, quoted. They are named with it, for it
	// is in nobody's search_path for sure.
	schema string
}

func (v pgvector) there() bool { return v.schema != "" }

// findVector finds pgvector in the database, and creates it there if it may. That
// it cannot be had is no error: vectors are searched in the server's memory then.
func (e *Engine) findVector(ctx context.Context) {
	if e.opts.NoVector {
		return
	}
	schema, err := e.askVector(ctx)
	if err == nil {
		e.vector.schema = schema
		return
	}
	e.log.Info("similar prompts are searched in the server's memory, not by the database",
		"reason", secretless(err), "hint", "as a superuser of this database: CREATE EXTENSION vector; then start costprof again")
}

// vectorLeast is the first version that goes on searching until enough are found
// that pass a filter.
const vectorLeast = "0.8"

var errNoVector = errors.New("pgvector is not installed on the database's server")

func (e *Engine) askVector(ctx context.Context) (schema string, err error) {
	err = pgx.BeginFunc(ctx, e.write, func(tx pgx.Tx) error {
		version, may := "", false
		look := func() error {
			err := tx.QueryRow(ctx, `SELECT quote_ident(nspname), extversion, has_schema_privilege(n.oid, 'USAGE')
				FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector'`).Scan(&schema, &version, &may)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		}
		// Of several servers that start at once one creates it.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('costprof pgvector'))`); err != nil {
			return err
		}
		if err := look(); err != nil {
			return err
		}
		if version == "" && !e.opts.Exclusive {
			if err := createVector(ctx, tx); err != nil {
				return err
			}
			if err := look(); err != nil {
				return err
			}
		}
		switch {
		case version == "":
			return errNoVector
		case older(version, vectorLeast):
			return fmt.Errorf("the database has pgvector %s; it takes %s or newer (ALTER EXTENSION vector UPDATE)", version, vectorLeast)
		case !may:
			return fmt.Errorf("the user may not use the schema %s, where pgvector is", schema)
		}
		return nil
	})
	return schema, err
}

// createVector puts it where every ledger of the database finds it, and none
// takes it away with its own schema.
func createVector(ctx context.Context, tx pgx.Tx) error {
	var version string
	err := tx.QueryRow(ctx, `SELECT default_version FROM pg_available_extensions WHERE name = 'vector'`).Scan(&version)
	if errors.Is(err, pgx.ErrNoRows) {
		return errNoVector
	}
	if err != nil {
		return err
	}
	if older(version, vectorLeast) {
		return fmt.Errorf("the database's server has pgvector %s; it takes %s or newer", version, vectorLeast)
	}
	_, err = tx.Exec(ctx, `SELECT set_config('search_path', 'public', true) WHERE to_regnamespace('public') IS NOT NULL`)
	if err == nil {
		_, err = tx.Exec(ctx, `CREATE EXTENSION vector`)
	}
	if pgCode(err) == "42501" {
		return errors.New("the user may not create the extension pgvector")
	}
	return err
}

// older compares versions such as 0.7.4 by their first two numbers.
func older(version, than string) bool {
	numbers := func(v string) (n [2]int) {
		for i, part := range strings.SplitN(v, ".", 3) {
			if i < len(n) {
				n[i], _ = strconv.Atoi(part)
			}
		}
		return n
	}
	a, b := numbers(version), numbers(than)
	return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
}
