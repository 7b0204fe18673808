package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/costprof/costprof/internal/usage"
)

// partitions remembers the months that have a partition of events.
type partitions struct {
	mu   sync.Mutex
	made map[int]bool
}

// month numbers months since year 0.
func month(t time.Time) int {
	t = t.UTC()
	return t.Year()*12 + int(t.Month()) - 1
}

func monthStart(m int) time.Time { return time.Date(m/12, time.Month(m%12+1), 1, 0, 0, 0, 0, time.UTC) }

func (p *partitions) missing(months map[int]bool) (out []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range months {
		if !p.made[m] {
			out = append(out, m)
		}
	}
	return out
}

func (p *partitions) add(months []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made == nil {
		p.made = map[int]bool{}
	}
	for _, m := range months {
		p.made[m] = true
	}
}

func (p *partitions) forget(m int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.made, m)
}

// forgetAll is for when another server dropped some.
func (p *partitions) forgetAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made = nil
}

func partitionName(m int) string { return "events_" + monthStart(m).Format("2006_01") }

// partitionsFor makes the partitions that the records need.
func (e *Engine) partitionsFor(ctx context.Context, recs []*usage.Record) error {
	months := map[int]bool{}
	for _, r := range recs {
		months[month(r.Timestamp)] = true
	}
	return e.makePartitions(ctx, months)
}

// makePartitions attaches what is missing. Attaching, unlike creating in place,
// waits for no reader and lets none wait.
func (e *Engine) makePartitions(ctx context.Context, months map[int]bool) error {
	missing := e.partitions.missing(months)
	if len(missing) == 0 {
		return nil
	}
	err := pgx.BeginFunc(ctx, e.write, func(tx pgx.Tx) error { return attachPartitions(ctx, tx, missing) })
	if err != nil {
		return fmt.Errorf("make partitions: %w", err)
	}
	e.partitions.add(missing)
	return nil
}

// attachPartitions makes those of the listed months that are not there.
func attachPartitions(ctx context.Context, tx pgx.Tx, months []int) error {
	// Of several servers one makes them.
	if _, err := tx.Exec(ctx, `LOCK TABLE events IN SHARE UPDATE EXCLUSIVE MODE`); err != nil {
		return err
	}
	for _, m := range months {
		name := partitionName(m)
		var there bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
			WHERE inhparent = 'events'::regclass AND relname = $1)`, name).Scan(&there); err != nil {
			return err
		}
		if there {
			continue
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf(`CREATE TABLE %[1]s (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
			ALTER TABLE events ATTACH PARTITION %[1]s FOR VALUES FROM (%[2]d) TO (%[3]d)`,
			name, monthStart(m).UnixMicro(), monthStart(m+1).UnixMicro())); err != nil {
			return err
		}
	}
	return nil
}

// aheadPartitions makes those of this month and the next.
func (e *Engine) aheadPartitions(ctx context.Context) error {
	now := e.now()
	return e.makePartitions(ctx, map[int]bool{month(now): true, month(now) + 1: true})
}

// keepPartitions makes each month's partition before the month begins.
func (e *Engine) keepPartitions() {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-e.stop:
			return
		case <-tick.C:
			ctx, cancel := context.WithTimeout(context.Background(), commitTime)
			if err := e.aheadPartitions(ctx); err != nil {
				e.log.Warn("the next month's partition could not be made yet; it is made when an event needs it", "err", secretless(err))
			}
			cancel()
		}
	}
}
