package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/store/sqlquery"
)

// sumAnew makes the sums of hours from their events, and those of their days from
// the hours, in the transaction that changed the events.
func sumAnew(ctx context.Context, tx pgx.Tx, hours []int64) error {
	hour, day := levels()[0], levels()[1]
	days := map[int64]bool{}
	for _, h := range hours {
		days[day.period(h)] = true
		if err := hour.anew(ctx, tx, h, func(inner pgx.Tx) error { return sumHour(ctx, inner, h) }); err != nil {
			return err
		}
	}
	return sumDays(ctx, tx, slices.Sorted(maps.Keys(days)))
}

// sumDays makes the sums of days from those of their hours.
func sumDays(ctx context.Context, tx pgx.Tx, days []int64) error {
	columns := sumColumns()
	names := strings.Join(columns, ", ")
	values := strings.Join(folds(columns), ", ")
	day := levels()[1]
	for _, d := range days {
		var holes bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM wide_hours WHERE hour >= $1 AND hour < $2)`, d*24, (d+1)*24).Scan(&holes); err != nil {
			return fmt.Errorf("sum up a day: %w", err)
		}
		var err error
		if holes {
			err = day.widen(ctx, tx, d)
		} else {
			err = day.anew(ctx, tx, d, func(inner pgx.Tx) error {
				_, err := inner.Exec(ctx, `INSERT INTO days (day, cell, `+names+`) SELECT $1, cell, `+values+`
					FROM hours WHERE hour >= $2 AND hour < $3 GROUP BY cell`, d, d*24, (d+1)*24)
				return err
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// anew replaces the sums of one period by what fn inserts, or by none when they do
// not fit.
func (l level) anew(ctx context.Context, tx pgx.Tx, period int64, fn func(pgx.Tx) error) error {
	for _, table := range l.tables() {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE `+l.key+` = $1`, period); err != nil {
			return fmt.Errorf("take back sums: %w", err)
		}
	}
	err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
		if err := fn(inner); err != nil {
			return err
		}
		_, err := inner.Exec(ctx, l.insertCoarse(fmt.Sprintf("(SELECT * FROM %s WHERE %s = %d)", l.table, l.key, period)))
		return err
	})
	if tooWide(err) {
		err = l.widen(ctx, tx, period)
	}
	if err != nil {
		return fmt.Errorf("sum up anew: %w", err)
	}
	return nil
}

// sumAll makes all sums.
func sumAll(ctx context.Context, tx pgx.Tx) error {
	numbers := func(text string) ([]int64, error) {
		rows, err := tx.Query(ctx, text)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowTo[int64])
	}
	err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
		if err := sumEvents(ctx, inner, ""); err != nil {
			return err
		}
		hour := levels()[0]
		_, err := inner.Exec(ctx, hour.insertCoarse(hour.table))
		return err
	})
	if err != nil {
		if !tooWide(err) {
			return err
		}
		hours, err := numbers(`SELECT DISTINCT ` + dialect().Period(time.Hour) + ` FROM events WHERE NOT is_aggregate`)
		if err != nil {
			return err
		}
		return sumAnew(ctx, tx, hours)
	}
	days, err := numbers(`SELECT DISTINCT hour / 24 FROM hours ORDER BY 1`)
	if err != nil {
		return err
	}
	return sumDays(ctx, tx, days)
}

// sumEvents adds the sums of the events that match to hours that have none.
func sumEvents(ctx context.Context, tx pgx.Tx, and string, args ...any) error {
	d := dialect()
	names, values := []string{"hour", "cell"}, []string{d.Period(time.Hour), "cell"}
	for _, s := range d.KeptSums() {
		names, values = append(names, s.Column), append(values, s.Of)
	}
	_, err := tx.Exec(ctx, `INSERT INTO hours (`+strings.Join(names, ", ")+`) SELECT `+strings.Join(values, ", ")+`
		FROM events WHERE NOT is_aggregate`+and+` GROUP BY 1, 2`, args...)
	return err
}

// sumHour makes the sums of one.
func sumHour(ctx context.Context, tx pgx.Tx, hour int64) error {
	return sumEvents(ctx, tx, ` AND ts >= $1 AND ts < $2`, sqlquery.HourStart(hour).UnixMicro(), sqlquery.HourStart(hour+1).UnixMicro())
}
