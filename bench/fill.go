package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store/engines"
	"github.com/costprof/costprof/internal/usage"
)

const days = 90

// filledUntil reads when the filled ledger ends.
func filledUntil(o options) (time.Time, error) {
	b, err := os.ReadFile(filepath.Join(o.dir, "bench-until"))
	if err != nil {
		return time.Time{}, fmt.Errorf("run the scenario fill first: %w", err)
	}
	return time.Parse(time.RFC3339, string(b))
}

// benchFill makes a ledger of 90 days that ends now, priced, through the engine
// itself. An existing one is kept.
func benchFill(ctx context.Context, o options) error {
	if until, err := filledUntil(o); err == nil {
		fmt.Printf("%s holds a ledger until %s already\n", o.dir, until.Format(time.RFC3339))
		return nil
	}
	book, err := pricing.Shipped()
	if err != nil {
		return err
	}
	e, err := engines.Open(ctx, engines.Options{Dir: o.dir})
	if err != nil {
		return err
	}
	until := time.Now().UTC().Truncate(time.Minute)
	t := traffic{run: "fill", start: until.Add(-days * 24 * time.Hour), step: days * 24 * time.Hour / time.Duration(o.events)}
	begin := time.Now()
	versions := map[string]bool{}
	for from := 0; from < o.events; from += 5000 {
		recs := make([]usage.Record, min(5000, o.events-from))
		for i := range recs {
			ev := t.event(from + i)
			cost, err := book.Price(&ev)
			if err != nil {
				return err
			}
			recs[i] = usage.Record{ID: ev.Identity(), Event: ev, Costing: cost, ReceivedAt: ev.Timestamp}
			if cost.PriceID != "" && !versions[cost.PriceID] {
				versions[cost.PriceID] = true
				if v, ok := book.Version(cost.PriceID); ok {
					if err := e.PutVersions(ctx, []pricing.Version{v}); err != nil {
						return err
					}
				}
			}
		}
		if _, err := e.Append(ctx, recs); err != nil {
			return err
		}
	}
	if err := e.Close(); err != nil {
		return err
	}
	took := time.Since(begin)
	size := int64(0)
	if info, err := os.Stat(filepath.Join(o.dir, "ledger.duckdb")); err == nil {
		size = info.Size()
	}
	fmt.Printf("%d events in %.0f s, one caller with batches of 5,000: %.0f events/s; file %d MB\n", o.events, took.Seconds(), float64(o.events)/took.Seconds(), size>>20)
	return os.WriteFile(filepath.Join(o.dir, "bench-until"), []byte(until.Format(time.RFC3339)), 0o600)
}
