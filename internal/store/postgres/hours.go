package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store/sqlquery"
	"github.com/costprof/costprof/internal/usage"
)

// cellHour is what sums are kept by.
type cellHour struct{ hour, cell int64 }

// sums are those of one hour and cell, in the order of sumColumns.
type sums struct {
	n    []int64
	wide bool // one does not fit
}

// sumColumns lists the columns of hours that hold sums: whatever a question may
// ask of them.
func sumColumns() []string {
	var out []string
	for _, s := range dialect().KeptSums() {
		out = append(out, s.Column)
	}
	return out
}

// addend is what one event adds to a column of hours.
func addend(column string) (func(r *row) int64, error) {
	classes := sqlquery.ClassColumns()
	if i := slices.Index(classes[:], column); i >= 0 {
		return func(r *row) int64 { return int64(r.rec.Classes[i]) }, nil
	}
	if f, ok := addends()[column]; ok {
		return f, nil
	}
	return nil, fmt.Errorf("no sum is kept in %q", column)
}

func addends() map[string]func(r *row) int64 {
	one := func(b bool) int64 {
		if b {
			return 1
		}
		return 0
	}
	token := func(columns ...int) func(r *row) int64 {
		return func(r *row) (n int64) {
			for _, c := range columns {
				n += r.tokens[c]
			}
			return n
		}
	}
	at := func(r *row) int64 { return r.rec.Timestamp.UnixMicro() }
	return map[string]func(r *row) int64{
		"calls":  func(*row) int64 { return 1 },
		"errors": func(r *row) int64 { return one(r.rec.Error) },
		"unpriced": func(r *row) int64 {
			return one(r.rec.Source == usage.SourceUnpriced || r.rec.Source == usage.SourceClient)
		},
		"fallback":         func(r *row) int64 { return one(r.rec.Fallback) },
		"input":            token(0, 1, 2, 3, 4),
		"output":           token(5, 6, 7),
		"t_input":          token(0),
		"cached":           token(1),
		"t_cache_write":    token(2),
		"t_cache_write_1h": token(3),
		"t_output":         token(5),
		"t_reasoning":      token(6),
		"t_media":          token(4, 7),
		"latency":          func(r *row) int64 { return r.rec.Latency.Microseconds() },
		"first":            at,
		"last":             at,
		"cost":             func(r *row) int64 { return int64(r.rec.Total()) },
		"saving":           func(r *row) int64 { return int64(r.rec.CacheSaving) },
	}
}

// sumUp sums rows by hour and cell.
func sumUp(rows []*row, columns []string) (map[cellHour]*sums, error) {
	out := map[cellHour]*sums{}
	of := make([]func(*row) int64, len(columns))
	for i, column := range columns {
		var err error
		if of[i], err = addend(column); err != nil {
			return nil, err
		}
	}
	for _, r := range rows {
		if r.rec.Aggregate {
			continue
		}
		k := cellHour{sqlquery.HourOf(r.rec.Timestamp), r.cell}
		s := out[k]
		fresh := s == nil
		if fresh {
			s = &sums{n: make([]int64, len(columns))}
			out[k] = s
		}
		for i, column := range columns {
			v := of[i](r)
			switch {
			case fresh:
				s.n[i] = v
			case column == "first":
				s.n[i] = min(s.n[i], v)
			case column == "last":
				s.n[i] = max(s.n[i], v)
			default:
				sum := s.n[i] + v
				s.wide = s.wide || overflows(s.n[i], v, sum)
				s.n[i] = sum
			}
		}
	}
	return out, nil
}

func overflows(a, b, sum int64) bool {
	return (a < 0) == (b < 0) && (sum < 0) != (a < 0)
}

// addSums adds events to the sums of their hours, in the transaction that stores
// them. With apart an hour whose sums do not fit loses them and is read from the
// events from then on.
func addSums(ctx context.Context, tx pgx.Tx, rows []*row, apart bool) error {
	columns := sumColumns()
	byCell, err := sumUp(rows, columns)
	if err != nil {
		return err
	}
	byHour := map[int64][]cellHour{}
	wide := map[int64]bool{}
	var all []cellHour
	for k, s := range byCell {
		wide[k.hour] = wide[k.hour] || s.wide
		byHour[k.hour] = append(byHour[k.hour], k)
	}
	for hour, cells := range byHour {
		switch {
		case wide[hour]:
			if err := widen(ctx, tx, []int64{hour}); err != nil {
				return err
			}
		case apart:
			err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error { return upsertSums(ctx, inner, columns, cells, byCell) })
			var pg *pgconn.PgError
			if errors.As(err, &pg) && pg.Code == "22003" {
				err = widen(ctx, tx, []int64{hour})
			}
			if err != nil {
				return err
			}
		default:
			all = append(all, cells...)
		}
	}
	return upsertSums(ctx, tx, columns, all, byCell)
}

func upsertSums(ctx context.Context, tx pgx.Tx, columns []string, cells []cellHour, of map[cellHour]*sums) error {
	if len(cells) == 0 {
		return nil
	}
	slices.SortFunc(cells, func(a, b cellHour) int {
		if a.hour != b.hour {
			return int(a.hour - b.hour)
		}
		return int(a.cell - b.cell)
	})
	hours, numbers := make([]int64, len(cells)), make([]int64, len(cells))
	values := make([][]int64, len(columns))
	for i := range values {
		values[i] = make([]int64, len(cells))
	}
	for at, k := range cells {
		hours[at], numbers[at] = k.hour, k.cell
		for i, v := range of[k].n {
			values[i][at] = v
		}
	}
	args := []any{hours, numbers}
	types := []string{"$1::BIGINT[]", "$2::BIGINT[]"}
	sets := make([]string, len(columns))
	for i, c := range columns {
		args = append(args, values[i])
		types = append(types, fmt.Sprintf("$%d::BIGINT[]", i+3))
		sets[i] = fmt.Sprintf("%[1]s = hours.%[1]s + excluded.%[1]s", c)
		switch c {
		case "first":
			sets[i] = "first = least(hours.first, excluded.first)"
		case "last":
			sets[i] = "last = greatest(hours.last, excluded.last)"
		}
	}
	names := "hour, cell, " + strings.Join(columns, ", ")
	_, err := tx.Exec(ctx, `INSERT INTO hours (`+names+`) SELECT `+names+` FROM unnest(`+strings.Join(types, ", ")+`) AS d (`+names+`)
		WHERE NOT EXISTS (SELECT 1 FROM wide_hours WHERE wide_hours.hour = d.hour)
		ON CONFLICT (hour, cell) DO UPDATE SET `+strings.Join(sets, ", "), args...)
	if err != nil {
		return fmt.Errorf("sums: %w", err)
	}
	return nil
}

// widen takes hours out of the sums: they are read from the events.
func widen(ctx context.Context, tx pgx.Tx, hours []int64) error {
	if _, err := tx.Exec(ctx, `INSERT INTO wide_hours SELECT * FROM unnest($1::BIGINT[]) ON CONFLICT DO NOTHING`, hours); err != nil {
		return fmt.Errorf("hours without sums: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM hours WHERE hour = ANY($1)`, hours); err != nil {
		return fmt.Errorf("hours without sums: %w", err)
	}
	return nil
}

// sumAnew makes the sums of hours from their events, in the transaction that
// changed these.
func sumAnew(ctx context.Context, tx pgx.Tx, hours []int64) error {
	for _, h := range hours {
		for _, table := range [...]string{"hours", "wide_hours"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE hour = $1`, h); err != nil {
				return fmt.Errorf("take back sums: %w", err)
			}
		}
		err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error { return sumHour(ctx, inner, h) })
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "22003" {
			err = widen(ctx, tx, []int64{h})
		}
		if err != nil {
			return fmt.Errorf("sum up an hour: %w", err)
		}
	}
	return nil
}

// maxHoles is how many hours of a window may lack sums before events alone are
// faster.
const maxHoles = 200

// findSums gives the hours whose sums answer a question. All events are in sums,
// but for hours that are too wide; where the answer is of an earlier moment, what
// came later is taken away again, or, if it cannot be, the hours are read from the
// events.
func findSums(ctx context.Context, tx pgx.Tx, q analytics.Query, last int64) (*sqlquery.Sums, error) {
	var lowest, highest *int64
	if err := tx.QueryRow(ctx, `SELECT least((SELECT min(hour) FROM hours), (SELECT min(hour) FROM wide_hours)),
		greatest((SELECT max(hour) FROM hours), (SELECT max(hour) FROM wide_hours))`).Scan(&lowest, &highest); err != nil {
		return nil, fmt.Errorf("find sums: %w", err)
	}
	if lowest == nil {
		return nil, nil
	}
	from, to := sqlquery.WholeHours(q.Filter, *lowest, *highest+1)
	s := &sqlquery.Sums{From: max(from, *lowest), To: min(to, *highest+1)}
	if s.From >= s.To {
		return nil, nil
	}
	holes := `SELECT hour FROM wide_hours WHERE hour >= $1 AND hour < $2`
	args := []any{s.From, s.To}
	if q.AsOf < last {
		s.Later = q.Measures&analytics.MeasureSeen == 0
		if !s.Later {
			holes += ` UNION SELECT ` + dialect().Period(time.Hour) + ` FROM events WHERE seq > $3 AND ts >= $4 AND ts < $5`
			args = append(args, q.AsOf, sqlquery.HourStart(s.From).UnixMicro(), sqlquery.HourStart(s.To).UnixMicro())
		}
	}
	rows, err := tx.Query(ctx, holes+` ORDER BY 1 LIMIT 201`, args...)
	if err != nil {
		return nil, fmt.Errorf("find sums: %w", err)
	}
	if s.Holes, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
		return nil, fmt.Errorf("find sums: %w", err)
	}
	if len(s.Holes) > maxHoles {
		return nil, nil
	}
	return s, nil
}
