package postgres

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

// loadPiece is how many bytes of rows are sent at a time.
const loadPiece = 4 << 20

// Load fills the ledger in the database, in one transaction: whatever ends it
// leaves what was there. It fails with fault.Conflict while a server uses the
// ledger, and when it is not empty and l does not force.
func Load(ctx context.Context, opts Options, l store.Load) error {
	opts = opts.withDefaults()
	opts.Exclusive = true
	e := &Engine{opts: opts, log: opts.Log}
	defer e.disconnect()
	if err := e.connect(ctx); err != nil {
		return err
	}
	tx, err := e.owner.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	err = load(ctx, tx, l)
	if err == nil {
		err = tx.Commit(ctx)
	}
	return e.explain(ctx, err)
}

func load(ctx context.Context, tx pgx.Tx, l store.Load) error {
	if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
		return err
	}
	if !l.Force {
		if err := refuseFull(ctx, tx); err != nil {
			return err
		}
	}
	names := []string{"explicit_ids", "coarse_cells", "nearest"}
	for _, l := range levels() {
		tables := l.tables()
		names = append(names, tables[:]...)
	}
	for _, t := range store.Tables() {
		if t.Name != store.PositionTable {
			names = append(names, t.Name)
		}
	}
	// What is searched is made anew by the next server.
	rows, err := tx.Query(ctx, nearestTables)
	if err != nil {
		return err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, table := range tables {
		if _, err := tx.Exec(ctx, `DROP TABLE `+table); err != nil {
			return fmt.Errorf("drop indexed vectors: %w", err)
		}
	}
	if _, err := tx.Exec(ctx, `TRUNCATE `+strings.Join(names, ", ")); err != nil {
		return fmt.Errorf("empty the ledger: %w", err)
	}
	in := &loader{ctx: ctx, tx: tx, months: map[int]bool{}}
	if err := l.Source(ctx, in); err != nil {
		return err
	}
	return in.end()
}

func refuseFull(ctx context.Context, tx pgx.Tx) error {
	for _, t := range store.Tables() {
		if t.Incidental {
			continue
		}
		var some bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM `+t.Name+`)`).Scan(&some); err != nil {
			return err
		}
		if some {
			return fault.New(fault.Conflict, "the ledger in the database %s is not empty; --force replaces it", tx.Conn().Config().Database)
		}
	}
	return nil
}

// loader is the sink that fills the tables, with COPY in its form of text, which
// fits integers of every width.
type loader struct {
	ctx    context.Context
	tx     pgx.Tx
	table  *store.Table
	time   int // the column of an event's time
	buf    bytes.Buffer
	months map[int]bool // of the rows in buf
	made   partitions
	last   int64
	events int64
}

// Table implements store.Sink.
func (l *loader) Table(t *store.Table) error {
	if err := l.send(); err != nil {
		return err
	}
	l.table = t
	for i, c := range t.Columns {
		if c.Name == "ts" {
			l.time = i
		}
	}
	return nil
}

// Row implements store.Sink.
func (l *loader) Row(values []any) error {
	switch l.table.Name {
	case store.PositionTable:
		l.last, _ = values[0].(int64)
		return nil
	case store.EventsTable:
		at, _ := values[l.time].(int64)
		l.months[month(time.UnixMicro(at))] = true
		l.events++
	}
	for i, v := range values {
		if i > 0 {
			l.buf.WriteByte('\t')
		}
		if err := writeText(&l.buf, v); err != nil {
			return fmt.Errorf("load %s.%s: %w", l.table.Name, l.table.Columns[i].Name, err)
		}
	}
	l.buf.WriteByte('\n')
	if l.buf.Len() < loadPiece {
		return nil
	}
	return l.send()
}

func writeText(b *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case nil:
		b.WriteString(`\N`)
	case int64:
		b.Write(strconv.AppendInt(b.AvailableBuffer(), v, 10))
	case bool:
		b.Write(strconv.AppendBool(b.AvailableBuffer(), v))
	case string:
		if !holds(v) {
			return fault.New(fault.Invalid, "a text has a U+0000 or is not UTF-8, which PostgreSQL cannot hold")
		}
		for i := range len(v) {
			switch c := v[i]; c {
			case '\\':
				b.WriteString(`\\`)
			case '\n':
				b.WriteString(`\n`)
			case '\r':
				b.WriteString(`\r`)
			case '\t':
				b.WriteString(`\t`)
			default:
				b.WriteByte(c)
			}
		}
	case []byte:
		b.WriteString(`\\x`)
		b.Write(hex.AppendEncode(b.AvailableBuffer(), v))
	case [16]byte:
		b.Write(hex.AppendEncode(b.AvailableBuffer(), v[:]))
	case []int64:
		b.WriteByte('{')
		for i, n := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(strconv.AppendInt(b.AvailableBuffer(), n, 10))
		}
		b.WriteByte('}')
	default:
		return fmt.Errorf("a value of %T", v)
	}
	return nil
}

// send copies the rows at hand.
func (l *loader) send() error {
	if l.buf.Len() == 0 {
		return nil
	}
	if missing := l.made.missing(l.months); len(missing) > 0 {
		if err := attachPartitions(l.ctx, l.tx, missing); err != nil {
			return fmt.Errorf("make partitions: %w", err)
		}
		l.made.add(missing)
	}
	clear(l.months)
	_, err := l.tx.Conn().PgConn().CopyFrom(l.ctx, &l.buf, `COPY `+l.table.Name+` (`+strings.Join(l.table.Names(), ", ")+`) FROM STDIN`)
	l.buf.Reset()
	if err != nil {
		return fmt.Errorf("load %s: %w", l.table.Name, err)
	}
	return nil
}

// end makes what the engine keeps beside what it was given, and the commit that
// makes this another ledger than the one that was dumped.
func (l *loader) end() error {
	if err := l.send(); err != nil {
		return err
	}
	for _, text := range []string{
		`INSERT INTO explicit_ids SELECT id, content, ts FROM events WHERE content IS NOT NULL`,
		// Numbers of sequences are not taken back with a transaction: they only grow.
		`SELECT setval(pg_get_serial_sequence('cells', 'id'), greatest(nextval(pg_get_serial_sequence('cells', 'id')), (SELECT max(id) FROM cells)))`,
		`SELECT setval(pg_get_serial_sequence('tagsets', 'id'), greatest(nextval(pg_get_serial_sequence('tagsets', 'id')), (SELECT max(id) FROM tagsets)))`,
		`SELECT setval('vector_numbers', greatest(nextval('vector_numbers'), (SELECT max(seq) FROM vectors)))`,
	} {
		if _, err := l.tx.Exec(l.ctx, text); err != nil {
			return fmt.Errorf("complete the ledger: %w", err)
		}
	}
	if err := coarsenAll(l.ctx, l.tx); err != nil {
		return err
	}
	if err := sumAll(l.ctx, l.tx); err != nil {
		return err
	}
	_, err := l.tx.Exec(l.ctx, `UPDATE ledger SET last = $1, revision = $1, events = $2, pruned = coalesce((SELECT max(before) FROM pruned), 0), erased = $1`, l.last+1, l.events)
	return err
}
