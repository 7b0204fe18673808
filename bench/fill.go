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

// benchFill makes a ledger of 90 days that ends now, priced, through the engine
// itself. An existing one is kept.
func benchFill(ctx context.Context, o options) error {
	p, err := o.filled(ctx)
	if err != nil {
		return err
	}
	if until, err := filledUntil(ctx, o); err == nil {
		fmt.Printf("a ledger until %s is there already\n", until.Format(time.RFC3339))
		return nil
	}
	book, err := pricing.Shipped()
	if err != nil {
		return err
	}
	e, err := engines.Open(ctx, p.options())
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
	took := time.Since(begin)
	ends := []byte(until.Format(time.RFC3339))
	if p.database() {
		if _, err := e.InitSetting(ctx, untilName, ends); err != nil {
			return err
		}
	}
	if err := e.Close(); err != nil {
		return err
	}
	size, err := o.size(ctx, p)
	if err != nil {
		return err
	}
	fmt.Printf("%d events in %.0f s, one caller with batches of 5,000: %.0f events/s; %d MB on disk\n", o.events, took.Seconds(), float64(o.events)/took.Seconds(), size>>20)
	if p.database() {
		return nil
	}
	return os.WriteFile(filepath.Join(o.dir, untilName), ends, 0o600)
}
