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

// level is a table of sums: of hours or of days.
type level struct {
	table, key string
	// coarse has the same sums by coarse cells; wide has the periods whose sums do
	// not fit, which have none in either.
	coarse, wide string
	hours        int64 // in a period
}

func levels() [2]level {
	return [2]level{{"hours", "hour", "coarse_hours", "wide_hours", 1}, {"days", "day", "coarse_days", "wide_days", 24}}
}

// tables are those that have something for each period.
func (l level) tables() [3]string { return [3]string{l.table, l.coarse, l.wide} }

// period numbers the period that an hour lies in.
func (l level) period(hour int64) int64 { return hour / l.hours }

// cellPeriod is what sums are kept by.
type cellPeriod struct{ period, cell int64 }

// sums are those of one period and cell, in the order of sumColumns.
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

// sumUp sums rows by period and cell.
func (l level) sumUp(rows []*row, columns []string) (map[cellPeriod]*sums, error) {
	out := map[cellPeriod]*sums{}
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
		k := cellPeriod{l.period(sqlquery.HourOf(r.rec.Timestamp)), r.cell}
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

// addSums adds events to the sums of their hours and days, in the transaction
// that stores them. With apart a period whose sums do not fit loses them.
func addSums(ctx context.Context, tx pgx.Tx, rows []*row, apart bool) error {
	for _, l := range levels() {
		if err := l.add(ctx, tx, rows, apart); err != nil {
			return err
		}
	}
	return nil
}

func (l level) add(ctx context.Context, tx pgx.Tx, rows []*row, apart bool) error {
	columns := sumColumns()
	of, err := l.sumUp(rows, columns)
	if err != nil {
		return err
	}
	byPeriod := map[int64][]cellPeriod{}
	wide := map[int64]bool{}
	var all []cellPeriod
	for k, s := range of {
		wide[k.period] = wide[k.period] || s.wide
		byPeriod[k.period] = append(byPeriod[k.period], k)
	}
	for period, cells := range byPeriod {
		switch {
		case wide[period]:
			if err := l.widen(ctx, tx, period); err != nil {
				return err
			}
		case apart:
			err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error { return l.upsert(ctx, inner, columns, cells, of) })
			if tooWide(err) {
				err = l.widen(ctx, tx, period)
			}
			if err != nil {
				return err
			}
		default:
			all = append(all, cells...)
		}
	}
	return l.upsert(ctx, tx, columns, all, of)
}

// tooWide says that a sum does not fit 64 bits.
func tooWide(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "22003"
}

func (l level) upsert(ctx context.Context, tx pgx.Tx, columns []string, cells []cellPeriod, of map[cellPeriod]*sums) error {
	if len(cells) == 0 {
		return nil
	}
	slices.SortFunc(cells, func(a, b cellPeriod) int {
		if a.period != b.period {
			return int(a.period - b.period)
		}
		return int(a.cell - b.cell)
	})
	periods, numbers := make([]int64, len(cells)), make([]int64, len(cells))
	values := make([][]int64, len(columns))
	for i := range values {
		values[i] = make([]int64, len(cells))
	}
	for at, k := range cells {
		periods[at], numbers[at] = k.period, k.cell
		for i, v := range of[k].n {
			values[i][at] = v
		}
	}
	args := []any{periods, numbers}
	types := []string{"$1::BIGINT[]", "$2::BIGINT[]"}
	for i := range columns {
		args = append(args, values[i])
		types = append(types, fmt.Sprintf("$%d::BIGINT[]", i+3))
	}
	names := l.key + ", cell, " + strings.Join(columns, ", ")
	_, err := tx.Exec(ctx, fmt.Sprintf(`WITH d AS MATERIALIZED (
			SELECT * FROM unnest(%[3]s) AS d (%[2]s) WHERE NOT EXISTS (SELECT 1 FROM %[4]s w WHERE w.%[5]s = d.%[5]s)
		), coarse AS (
			%[7]s ON CONFLICT (kind, %[5]s, cell) DO UPDATE SET %[8]s
		) INSERT INTO %[1]s (%[2]s) SELECT %[2]s FROM d ON CONFLICT (%[5]s, cell) DO UPDATE SET %[6]s`,
		l.table, names, strings.Join(types, ", "), l.wide, l.key, merged(l.table, columns), l.insertCoarse("d"), merged(l.coarse, columns)), args...)
	if err != nil {
		return fmt.Errorf("sums: %w", err)
	}
	return nil
}

// merged sets the columns of a table of sums to what was there and what comes.
func merged(table string, columns []string) string {
	sets := make([]string, len(columns))
	for i, c := range columns {
		switch c {
		case "first":
			sets[i] = "first = least(" + table + ".first, excluded.first)"
		case "last":
			sets[i] = "last = greatest(" + table + ".last, excluded.last)"
		default:
			sets[i] = fmt.Sprintf("%[1]s = %[2]s.%[1]s + excluded.%[1]s", c, table)
		}
	}
	return strings.Join(sets, ", ")
}

// folds are the expressions that make one row of sums of several.
func folds(columns []string) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		switch c {
		case "first":
			out[i] = "min(first)"
		case "last":
			out[i] = "max(last)"
		default:
			out[i] = "sum(" + c + ")::BIGINT"
		}
	}
	return out
}

// widen takes a period out of the sums: it is read from what is finer.
func (l level) widen(ctx context.Context, tx pgx.Tx, period int64) error {
	if _, err := tx.Exec(ctx, `INSERT INTO `+l.wide+` VALUES ($1) ON CONFLICT DO NOTHING`, period); err != nil {
		return fmt.Errorf("%s without sums: %w", l.table, err)
	}
	for _, table := range [...]string{l.table, l.coarse} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE `+l.key+` = $1`, period); err != nil {
			return fmt.Errorf("%s without sums: %w", l.table, err)
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
	s := &sqlquery.Sums{From: max(from, *lowest), To: min(to, *highest+1), Coarse: true}
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
	return s, findDays(ctx, tx, s)
}

// findDays adds the whole days of the window whose sums can take the place of
// those of their hours.
func findDays(ctx context.Context, tx pgx.Tx, s *sqlquery.Sums) error {
	s.DayFrom, s.DayTo = (s.From+23)/24, s.To/24
	if s.DayFrom >= s.DayTo {
		s.DayFrom, s.DayTo = 0, 0
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT day FROM wide_days WHERE day >= $1 AND day < $2 ORDER BY 1 LIMIT 201`, s.DayFrom, s.DayTo)
	if err != nil {
		return fmt.Errorf("find sums: %w", err)
	}
	if s.DayHoles, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
		return fmt.Errorf("find sums: %w", err)
	}
	if len(s.DayHoles) > maxHoles {
		s.DayFrom, s.DayTo, s.DayHoles = 0, 0, nil
		return nil
	}
	for _, h := range s.Holes {
		if d := h / 24; d >= s.DayFrom && d < s.DayTo && !slices.Contains(s.DayHoles, d) {
			s.DayHoles = append(s.DayHoles, d)
		}
	}
	slices.Sort(s.DayHoles)
	return nil
}
