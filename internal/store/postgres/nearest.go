package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

var _ store.Nearest = (*Engine)(nil)

// Searcher implements store.Nearest.
func (e *Engine) Searcher() string {
	if e.vector.there() {
		return "pgvector"
	}
	return ""
}

const (
	// maxIndexed is the most coordinates that an index of half floats takes. Vectors with
	// more are compared one by one.
	maxIndexed = 4_000
	// nearestEffort is how many neighbours a search of the index keeps at least, of
	// twice as many as are wanted, mostEffort what pgvector allows.
	nearestEffort, mostEffort = 200, 1_000
)

// nearest is what is known of the table in which vectors of an embedder are
// searched.
type nearest struct {
	number    int64
	dimension int
	indexed   bool
	seq       int64
	vectors   int64
	remains   bool
}

func (n nearest) table() string { return fmt.Sprintf("nearest_%d", n.number) }

// readNearest reads that of an embedder; there is none where number is 0.
func readNearest(ctx context.Context, tx pgx.Tx, embedder string) (n nearest, err error) {
	err = tx.QueryRow(ctx, `SELECT number, dimension, indexed, seq, vectors, remains FROM nearest WHERE embedder = $1`, embedder).
		Scan(&n.number, &n.dimension, &n.indexed, &n.seq, &n.vectors, &n.remains)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return n, err
}

// NearestVectors implements store.Nearest.
func (e *Engine) NearestVectors(ctx context.Context, q store.NearestQuery) ([]store.NearVector, error) {
	var out []store.NearVector
	for again := range 3 {
		err := e.ask(ctx, 0, func(tx pgx.Tx, _ position) (err error) {
			out, err = e.findNearest(ctx, tx, q)
			return err
		})
		// A table that was made anew meanwhile: the next look finds the new one.
		if pgCode(err) == "42P01" && again < 2 {
			continue
		}
		return out, err
	}
	return out, nil
}

func (e *Engine) findNearest(ctx context.Context, tx pgx.Tx, q store.NearestQuery) ([]store.NearVector, error) {
	n, err := readNearest(ctx, tx, q.Embedder)
	if err != nil {
		return nil, err
	}
	if n.number == 0 {
		var some bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM vectors WHERE embedder = $1)`, q.Embedder).Scan(&some); err != nil || !some {
			return nil, err
		}
		return nil, &fault.Error{Code: fault.Unavailable, Message: "the vectors of prompts are being indexed; try again", RetryAfter: retryAfter}
	}
	if len(q.Vector) != n.dimension {
		return nil, nil
	}
	few := int64(e.opts.NearestExact)
	if n.indexed {
		// In a project with few of many vectors a walk through the index of all meets
		// hardly any, and comparing them takes as long.
		var have int64
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM (SELECT 1 FROM `+n.table()+` WHERE project = $1 LIMIT $2) p`, q.Project, few+1).Scan(&have); err != nil {
			return nil, err
		}
		if have > few {
			out, err := e.walk(ctx, tx, n, q)
			// It gives up where too few of those that it meets are of the project.
			if err != nil || len(out) == q.Limit {
				return atLeast(out, q.Least), err
			}
		}
	}
	out, err := e.compareAll(ctx, tx, n, q)
	return atLeast(out, q.Least), err
}

// walk goes from neighbour to neighbour in the index, until the nearest of the
// project are found.
func (e *Engine) walk(ctx context.Context, tx pgx.Tx, n nearest, q store.NearestQuery) ([]store.NearVector, error) {
	// Sorting all of them is the only other way to their order, and not what is wanted.
	if _, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL hnsw.iterative_scan = strict_order; SET LOCAL hnsw.ef_search = %d; SET LOCAL enable_sort = off`,
		min(max(nearestEffort, 2*q.Limit), mostEffort))); err != nil {
		return nil, err
	}
	out, err := e.selectNear(ctx, tx, n, q, `SELECT id, %[1]s FROM %[2]s WHERE project = $2 AND id <> $3 ORDER BY %[1]s LIMIT $4`)
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, `SET LOCAL enable_sort = on`)
	return out, err
}

// compareAll compares all vectors of the project. Behind OFFSET no index of
// neighbours is used.
func (e *Engine) compareAll(ctx context.Context, tx pgx.Tx, n nearest, q store.NearestQuery) ([]store.NearVector, error) {
	return e.selectNear(ctx, tx, n, q, `SELECT id, distance FROM (SELECT id, %[1]s AS distance FROM %[2]s WHERE project = $2 AND id <> $3 OFFSET 0) a ORDER BY distance, id LIMIT $4`)
}

// selectNear asks for ids and distances. A vector of length 0 has a distance to
// none.
func (e *Engine) selectNear(ctx context.Context, tx pgx.Tx, n nearest, q store.NearestQuery, text string) ([]store.NearVector, error) {
	distance := fmt.Sprintf(`(vector OPERATOR(%[1]s.<=>) $1::%[1]s.halfvec(%[2]d))`, e.vector.schema, n.dimension)
	vector, err := vectorText(q.Vector)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, fmt.Sprintf(text, distance, n.table()), vector, q.Project, [16]byte(q.Not), q.Limit)
	if err != nil {
		return nil, err
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v store.NearVector, err error) {
		var distance float64
		err = row.Scan((*[16]byte)(&v.ID), &distance)
		v.Similarity = float32(1 - distance)
		return v, err
	})
	out = slices.DeleteFunc(out, func(v store.NearVector) bool { return v.Similarity != v.Similarity })
	slices.SortFunc(out, func(a, b store.NearVector) int {
		switch {
		case a.Similarity > b.Similarity:
			return -1
		case a.Similarity < b.Similarity:
			return 1
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	return out, err
}

// atLeast drops from the end what is not as similar.
func atLeast(list []store.NearVector, least float32) []store.NearVector {
	i := slices.IndexFunc(list, func(v store.NearVector) bool { return !(v.Similarity >= least) })
	if i < 0 {
		return list
	}
	return list[:i]
}

// vectorText writes a vector as pgvector reads it, each coordinate as the half
// float that a stored one is.
func vectorText(v []float32) (string, error) {
	halves, err := store.DecodeVector(store.EncodeVector(v))
	if err != nil {
		return "", err
	}
	b := make([]byte, 0, 12*len(v))
	for i, x := range halves {
		b = append(b, ","[:min(i, 1)]...)
		b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
	}
	return "[" + string(b) + "]", nil
}

// nearestRows are rows of a table of vectors in the binary form of COPY.
type nearestRows struct {
	bytes.Buffer
	dimension int
	// rows is how many there are, odd how many had another dimension and were left out.
	rows, odd int64
}

func (b *nearestRows) begin() { b.WriteString("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00") }
func (b *nearestRows) end()   { b.WriteString("\xff\xff") }

func (b *nearestRows) add(v codedVector) {
	if len(v.vector) != 2*b.dimension {
		b.odd++
		return
	}
	b.rows++
	number := func(n, size int) {
		for at := 8 * (size - 1); at >= 0; at -= 8 {
			b.WriteByte(byte(n >> at))
		}
	}
	number(3, 2) // columns
	number(len(v.id), 4)
	b.Write(v.id[:])
	number(len(v.project), 4)
	b.WriteString(v.project)
	number(4+len(v.vector), 4)
	number(b.dimension, 2)
	number(0, 2)
	for i := 0; i < len(v.vector); i += 2 { // kept little-endian
		b.WriteByte(v.vector[i+1])
		b.WriteByte(v.vector[i])
	}
}

// codedVector is a row of the table vectors.
type codedVector struct {
	id      usage.ID
	project string
	seq     int64
	vector  []byte
}

// listCoded gives rows of an embedder behind one and up to another, in order.
func listCoded(ctx context.Context, db interface {
	Query(ctx context.Context, text string, args ...any) (pgx.Rows, error)
}, embedder string, after, upTo int64, limit int) ([]codedVector, error) {
	rows, err := db.Query(ctx, `SELECT id, project, seq, vector FROM vectors WHERE embedder = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4`, embedder, after, upTo, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (v codedVector, err error) {
		return v, row.Scan((*[16]byte)(&v.id), &v.project, &v.seq, &v.vector)
	})
}
