package main

import (
	"context"
	"fmt"
	"time"
)

// benchStart: from the start of the process to the first good /health/ready.
func benchStart(ctx context.Context, o options) error {
	if _, err := filledUntil(ctx, o); err != nil {
		return err
	}
	fmt.Println("| start to ready | median | worst | bar |\n|---|---|---|---|")
	one := func(name string, bar time.Duration, where func() (place, error), crash bool) error {
		var ds []time.Duration
		for range o.runs + 2 {
			d, err := where()
			if err != nil {
				return err
			}
			s, err := start(ctx, o, d)
			if err != nil {
				return err
			}
			ds = append(ds, s.ready)
			if crash {
				if _, err := send(ctx, s.url, traffic{run: fmt.Sprint("crash", time.Now().UnixNano()), start: time.Now(), step: time.Microsecond}, 100_000, 0); err != nil {
					return err
				}
				s.kill()
			} else if err := s.stop(); err != nil {
				return err
			}
		}
		ds = sorted(ds)
		fmt.Printf("| %s | %.0f ms | %.0f ms | %s |\n", name, ms(at(ds, .5)), ms(ds[len(ds)-1]), verdict(ds[len(ds)-1], bar))
		return nil
	}
	if err := one("empty", 500*time.Millisecond, func() (place, error) {
		p, _, err := o.empty(ctx)
		return p, err
	}, false); err != nil {
		return err
	}
	filled := func() (place, error) { return o.filled(ctx) }
	if err := one(fmt.Sprintf("%d events, after a clean stop", o.events), 3*time.Second, filled, false); err != nil {
		return err
	}
	if err := one(fmt.Sprintf("%d events, after kill -9 under load", o.events), 3*time.Second, filled, true); err != nil {
		return err
	}
	// Leave the ledger clean for the next scenario.
	p, err := filled()
	if err != nil {
		return err
	}
	s, err := start(ctx, o, p)
	if err != nil {
		return err
	}
	return s.stop()
}

// benchMemory: resident size, idle and with 10 million events under questions
// and full ingest together.
func benchMemory(ctx context.Context, o options) error {
	until, err := filledUntil(ctx, o)
	if err != nil {
		return err
	}
	fmt.Println("| memory | resident | peak | bar |\n|---|---|---|---|")
	p, remove, err := o.empty(ctx)
	if err != nil {
		return err
	}
	defer remove()
	s, err := start(ctx, o, p)
	if err != nil {
		return err
	}
	time.Sleep(3 * time.Second)
	rss, peak := s.memory()
	if err := s.stop(); err != nil {
		return err
	}
	fmt.Printf("| idle, empty ledger | %d MB | %d MB | %s |\n", rss, peak, limit(peak, 150))

	if p, err = o.filled(ctx); err != nil {
		return err
	}
	if s, err = start(ctx, o, p); err != nil {
		return err
	}
	defer s.stop()
	loadCtx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	now := time.Now()
	go func() {
		_, err := send(loadCtx, s.url, traffic{run: fmt.Sprint("mem", now.Unix()), start: now, step: 10 * time.Microsecond}, 1_000_000, 0)
		done <- err
	}()
	for _, q := range questions(until.Add(-40*24*time.Hour), until) {
		if _, err := s.ask(ctx, q.path, 3); err != nil {
			stop()
			return err
		}
	}
	stop()
	<-done
	rss, peak = s.memory()
	fmt.Printf("| %d events, every question over 40 days during full ingest | %d MB | %d MB | %s |\n", o.events, rss, peak, limit(peak, 1500))
	return nil
}

func limit(got, bar int) string {
	if got < bar {
		return fmt.Sprintf("< %d MB", bar)
	}
	return fmt.Sprintf("**misses** %d MB", bar)
}
