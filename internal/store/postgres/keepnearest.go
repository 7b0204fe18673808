package postgres

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/costprof/costprof/internal/store"
)

const (
	// nearestPage is how many vectors are copied at a time.
	nearestPage = 500
	// sweepEvery is how often is looked for what other servers removed.
	sweepEvery = 10 * time.Minute
	// buildMemory is the most that one index of neighbours is given while it is made.
	// It takes several times as long where its graph does not fit.
	buildMemory = 1 << 30
)

// KeepNearest implements store.Nearest.
func (e *Engine) KeepNearest(ctx context.Context, embedder string) (store.NearestState, error) {
	st, due, err := e.nearestDue(ctx, embedder)
	if err != nil || !due {
		return st, err
	}
	err = e.keeping(ctx, func(k *keeper) error {
		if got, err := k.lock(ctx); err != nil || !got {
			return err
		}
		return k.keep(ctx, embedder)
	})
	if err != nil {
		return st, e.explain(ctx, err)
	}
	st, _, err = e.nearestDue(ctx, embedder)
	return st, err
}

// nearestDue says where the table of an embedder is, and whether there is anything
// to do.
func (e *Engine) nearestDue(ctx context.Context, embedder string) (st store.NearestState, due bool, err error) {
	if !e.vector.there() {
		return st, false, nil
	}
	err = e.catalog(ctx, func(db *pgxConn) error {
		var table, known *int64
		var last int64
		if err := db.QueryRow(ctx, `SELECT v.last, n.seq, n.vectors FROM (SELECT coalesce(max(seq), 0) AS last FROM vectors WHERE embedder = $1) v
			LEFT JOIN nearest n ON n.embedder = $1`, embedder).Scan(&last, &known, &table); err != nil {
			return err
		}
		st.Ready = known != nil || last == 0
		if table != nil {
			st.Vectors = *table
		}
		due = known == nil && last > 0 || known != nil && last > *known || e.now().Sub(time.UnixMicro(e.swept.Load())) >= sweepEvery
		return nil
	})
	return st, due, err
}

// keeper changes the tables in which vectors are searched, on a connection of its
// own: that may take minutes, and waits for nobody's commits.
type keeper struct {
	e    *Engine
	conn *pgx.Conn
}

func (e *Engine) keeping(ctx context.Context, fn func(*keeper) error) error {
	config := e.write.Config().ConnConfig.Copy()
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if strings.Contains(n.Message, "maintenance_work_mem") {
			e.log.Warn("the index of similar prompts takes long to make: it needs more memory than it is given", "message", n.Message,
				"hint", "ALTER ROLE … SET maintenance_work_mem for the user that costprof connects as")
		}
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	// Also ends what it does, and its locks, when this server is killed meanwhile.
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if !e.opts.Exclusive {
		if err := e.share(ctx, conn); err != nil {
			return err
		}
	}
	if _, err := conn.Exec(ctx, `SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0`); err != nil {
		return err
	}
	// Not on every system; there a dead server's work goes on to its end.
	if _, err := conn.Exec(ctx, `SET client_connection_check_interval = '2s'`); err != nil && pgCode(err) == "" {
		return err
	}
	return fn(&keeper{e, conn})
}

// lock makes this the only one of all servers that changes the tables.
func (k *keeper) lock(ctx context.Context) (got bool, err error) {
	return got, k.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtext('costprof nearest ' || current_schema()))`).Scan(&got)
}

// keep brings the table of an embedder up to date, or makes it.
func (k *keeper) keep(ctx context.Context, embedder string) error {
	now := k.e.now()
	if now.Sub(time.UnixMicro(k.e.swept.Load())) >= sweepEvery {
		k.e.swept.Store(now.UnixMicro())
		if err := k.sweep(ctx, embedder); err != nil {
			k.e.swept.Store(0)
			return err
		}
	}
	n, err := k.read(ctx, embedder)
	if err != nil {
		return err
	}
	var last, more int64
	if err := k.conn.QueryRow(ctx, `SELECT coalesce(max(seq), 0), count(*) FROM vectors WHERE embedder = $1 AND seq > $2`, embedder, n.seq).Scan(&last, &more); err != nil {
		return err
	}
	if n.number == 0 && more == 0 {
		return k.dropOthers(ctx)
	}
	anew, err := k.anew(ctx, n, more)
	if err != nil {
		return err
	}
	if anew {
		return k.build(ctx, embedder)
	}
	for more > 0 && err == nil {
		more, err = k.add(ctx, embedder, &n, last)
	}
	if err != nil {
		return err
	}
	return k.dropOthers(ctx)
}

func (k *keeper) read(ctx context.Context, embedder string) (n nearest, err error) {
	err = pgx.BeginFunc(ctx, k.conn, func(tx pgx.Tx) error {
		n, err = readNearest(ctx, tx, embedder)
		return err
	})
	return n, err
}

// anew says whether to make the table from nothing: there is none, it has lost its
// vectors with the extension or its index, it has become large enough for one, or more is
// missing than it has.
func (k *keeper) anew(ctx context.Context, n nearest, more int64) (bool, error) {
	few := int64(k.e.opts.NearestExact)
	if n.number == 0 || !n.indexed && n.dimension <= maxIndexed && n.vectors+more > few || more > max(n.vectors, few) {
		return true, nil
	}
	var whole bool
	err := k.conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'vector' AND NOT attisdropped)
		AND (NOT $2 OR EXISTS (SELECT 1 FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = c.relam
			WHERE indrelid = to_regclass($1) AND amname = 'hnsw' AND indisvalid))`, n.table(), n.indexed).Scan(&whole)
	return !whole, err
}

// build makes the table from nothing, beside the one in use, in one transaction:
// whoever is killed leaves nothing behind, not half an index either. An index of
// neighbours is made in one go, in memory, which is faster than one by one.
func (k *keeper) build(ctx context.Context, embedder string) error {
	began := time.Now()
	n, odd := nearest{}, int64(0)
	err := pgx.BeginFunc(ctx, k.conn, func(tx pgx.Tx) error {
		var bytes int
		if err := tx.QueryRow(ctx, `SELECT nextval('nearest_numbers'), (SELECT max(seq) FROM vectors WHERE embedder = $1), octet_length(vector)
			FROM vectors WHERE embedder = $1 ORDER BY seq LIMIT 1`, embedder).Scan(&n.number, &n.seq, &bytes); err != nil {
			return err
		}
		n.dimension = bytes / 2
		// Vectors stay in their rows as long as one fits a page, and out of the statistics.
		if _, err := tx.Exec(ctx, fmt.Sprintf(`CREATE TABLE %[1]s (id UUID NOT NULL, project TEXT COLLATE "C" NOT NULL, vector %[2]s.halfvec(%[3]d) NOT NULL) WITH (toast_tuple_target = 8160);
			ALTER TABLE %[1]s ALTER COLUMN vector SET STATISTICS 0`, n.table(), k.e.vector.schema, n.dimension)); err != nil {
			return err
		}
		source := &nearestSource{upTo: n.seq, page: func(after int64) (list []codedVector, err error) {
			err = k.e.catalog(ctx, func(db *pgxConn) error {
				list, err = listCoded(ctx, db, embedder, after, n.seq, nearestPage)
				return err
			})
			return list, err
		}}
		source.rows.dimension = n.dimension
		source.rows.begin()
		if err := k.copyInto(ctx, n, source); err != nil {
			return err
		}
		n.vectors, odd = source.rows.rows, source.rows.odd
		n.indexed = n.dimension <= maxIndexed && n.vectors > int64(k.e.opts.NearestExact)
		if err := k.index(ctx, tx, n); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO nearest VALUES ($1, $2, $3, $4, $5, $6, false) ON CONFLICT (embedder) DO UPDATE
			SET number = excluded.number, dimension = excluded.dimension, indexed = excluded.indexed, seq = excluded.seq, vectors = excluded.vectors, remains = false`,
			embedder, n.number, n.dimension, n.indexed, n.seq, n.vectors)
		return err
	})
	if err != nil {
		return fmt.Errorf("index vectors: %w", err)
	}
	k.e.log.Info("similar prompts are indexed", "embedder", embedder, "prompts", n.vectors, "neighbours", n.indexed, "seconds", math.Round(time.Since(began).Seconds()*10)/10)
	k.sayOdd(embedder, odd)
	if err := k.dropOthers(ctx); err != nil {
		return err
	}
	_, err = k.conn.Exec(ctx, `VACUUM (ANALYZE) `+n.table())
	return err
}

// index gives a new table its indexes.
func (k *keeper) index(ctx context.Context, tx pgx.Tx, n nearest) error {
	if _, err := tx.Exec(ctx, fmt.Sprintf(`ALTER TABLE %[1]s ADD PRIMARY KEY (id); CREATE INDEX %[1]s_project ON %[1]s (project)`, n.table())); err != nil || !n.indexed {
		return err
	}
	// Of each vector the graph has its half floats and its neighbours. One process
	// makes it: the others of the machine are for those who store and ask.
	need := min(n.vectors*int64(2*n.dimension+1_200), buildMemory)
	_, err := tx.Exec(ctx, fmt.Sprintf(`SELECT set_config('maintenance_work_mem', greatest(pg_size_bytes(current_setting('maintenance_work_mem')), %[3]d) / 1024 || 'kB', true);
		SET LOCAL max_parallel_maintenance_workers = 0;
		CREATE INDEX %[1]s_vector ON %[1]s USING hnsw (vector %[2]s.halfvec_cosine_ops)`, n.table(), k.e.vector.schema, need))
	return err
}

// add copies the next page of vectors that are missing, up to the last one, and
// says how many of them it saw. What another one of the same prompt replaces, and
// what a killed server left half done, remains in the files.
func (k *keeper) add(ctx context.Context, embedder string, n *nearest, last int64) (int64, error) {
	list, err := listCoded(ctx, k.conn, embedder, n.seq, last, nearestPage)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	if _, err := k.conn.Exec(ctx, `UPDATE nearest SET remains = true WHERE embedder = $1 AND NOT remains`, embedder); err != nil {
		return 0, err
	}
	ids := make([][16]byte, len(list))
	var rows nearestRows
	rows.dimension = n.dimension
	rows.begin()
	for i, v := range list {
		ids[i] = v.id
		rows.add(v)
	}
	rows.end()
	err = pgx.BeginFunc(ctx, k.conn, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM `+n.table()+` WHERE id = ANY($1)`, ids)
		if err != nil {
			return err
		}
		if err := k.copyInto(ctx, *n, &rows); err != nil {
			return err
		}
		n.seq, n.vectors, n.remains = list[len(list)-1].seq, n.vectors+rows.rows-tag.RowsAffected(), n.remains || tag.RowsAffected() > 0
		_, err = tx.Exec(ctx, `UPDATE nearest SET seq = $2, vectors = $3, remains = $4 WHERE embedder = $1`, embedder, n.seq, n.vectors, n.remains)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("add vectors to their index: %w", err)
	}
	k.sayOdd(embedder, rows.odd)
	return int64(len(list)), nil
}

func (k *keeper) copyInto(ctx context.Context, n nearest, from io.Reader) error {
	_, err := k.conn.PgConn().CopyFrom(ctx, from, `COPY `+n.table()+` (id, project, vector) FROM STDIN (FORMAT binary)`)
	return err
}

func (k *keeper) sayOdd(embedder string, n int64) {
	if n > 0 {
		k.e.log.Warn("vectors of prompts have another dimension than the others and are left out of searches", "embedder", embedder, "prompts", n)
	}
}

// nearestSource reads all vectors of an embedder up to one, page by page.
type nearestSource struct {
	page        func(after int64) ([]codedVector, error)
	after, upTo int64
	rows        nearestRows
}

// Read implements io.Reader.
func (s *nearestSource) Read(p []byte) (int, error) {
	for s.rows.Len() == 0 {
		if s.after == math.MaxInt64 {
			return 0, io.EOF
		}
		list, err := s.page(s.after)
		if err != nil {
			return 0, err
		}
		for _, v := range list {
			s.rows.add(v)
			s.after = v.seq
		}
		if len(list) == 0 || s.after == s.upTo {
			s.rows.end()
			s.after = math.MaxInt64
		}
	}
	return s.rows.Read(p)
}

// sweep removes what the ledger has no more, and embedders of which it has
// nothing.
func (k *keeper) sweep(ctx context.Context, embedder string) error {
	err := pgx.BeginFunc(ctx, k.conn, func(tx pgx.Tx) error {
		n, err := readNearest(ctx, tx, embedder)
		if err != nil {
			return err
		}
		var there bool
		if err := tx.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, n.table()).Scan(&there); err != nil {
			return err
		}
		if there {
			tag, err := tx.Exec(ctx, `DELETE FROM `+n.table()+` n WHERE NOT EXISTS (SELECT 1 FROM vectors v WHERE v.id = n.id AND v.embedder = $1)`, embedder)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `UPDATE nearest SET vectors = vectors - $2, remains = remains OR $2 > 0 WHERE embedder = $1`, embedder, tag.RowsAffected()); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `DELETE FROM nearest WHERE NOT EXISTS (SELECT 1 FROM vectors v WHERE v.embedder = nearest.embedder)`)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove vectors from their index: %w", err)
	}
	return nil
}

// nearestTables are all tables in which vectors are or were searched.
const nearestTables = `SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname ~ '^nearest_[0-9]+$'`

// dropOthers drops the tables that are not in use.
func (k *keeper) dropOthers(ctx context.Context) error {
	rows, err := k.conn.Query(ctx, nearestTables+` AND NOT EXISTS (SELECT 1 FROM nearest WHERE 'nearest_' || number = relname)`)
	if err != nil {
		return err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, table := range tables {
		if _, err := k.conn.Exec(ctx, `DROP TABLE `+table); err != nil {
			return fmt.Errorf("drop vectors that are not searched: %w", err)
		}
	}
	return nil
}

// compactNearest makes anew the tables whose files may have vectors that are
// gone. It waits until end for another server that changes them.
func (e *Engine) compactNearest(ctx context.Context, end time.Time) error {
	return e.keeping(ctx, func(k *keeper) error {
		for {
			got, err := k.lock(ctx)
			if err != nil {
				return err
			}
			if got {
				break
			}
			if err := pauseUntil(ctx, end, "another server indexes vectors"); err != nil {
				return err
			}
		}
		rows, err := k.conn.Query(ctx, `SELECT embedder FROM nearest ORDER BY 1`)
		if err != nil {
			return err
		}
		embedders, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, embedder := range embedders {
			if err := k.compact(ctx, embedder); err != nil {
				return err
			}
		}
		return k.dropOthers(ctx)
	})
}

func (k *keeper) compact(ctx context.Context, embedder string) error {
	if err := k.sweep(ctx, embedder); err != nil {
		return err
	}
	n, err := k.read(ctx, embedder)
	if err != nil || !n.remains {
		return err
	}
	if k.e.vector.there() {
		return k.build(ctx, embedder)
	}
	_, err = k.conn.Exec(ctx, `DELETE FROM nearest WHERE embedder = $1`, embedder)
	return err
}
