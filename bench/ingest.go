package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	connections = 16
	batch       = 100
)

// load is what a run of the load generator saw.
type load struct {
	events int
	took   time.Duration
	acks   []time.Duration
}

// send posts events [0, n) of the stream over 16 connections in batches of 100,
// as fast as they are acknowledged or, with perSecond, at that rate. Every
// answer must say that all events were new.
func send(ctx context.Context, url string, t traffic, n, perSecond int) (load, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true}}
	var next atomic.Int64
	var mu sync.Mutex
	out := load{}
	var first error
	begin := time.Now()
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			var body []byte
			var acks []time.Duration
			done := 0
			for ctx.Err() == nil {
				from := int(next.Add(batch)) - batch
				if from >= n {
					break
				}
				if perSecond > 0 {
					due := begin.Add(time.Duration(from) * time.Second / time.Duration(perSecond))
					time.Sleep(time.Until(due))
				}
				body = t.appendBatch(body[:0], from, min(batch, n-from))
				sent := time.Now()
				err := post(ctx, client, url, body, min(batch, n-from))
				acks = append(acks, time.Since(sent))
				if err != nil {
					mu.Lock()
					if first == nil && ctx.Err() == nil {
						first = err
					}
					mu.Unlock()
					break
				}
				done += min(batch, n-from)
			}
			mu.Lock()
			out.events += done
			out.acks = append(out.acks, acks...)
			mu.Unlock()
		})
	}
	wg.Wait()
	out.took = time.Since(begin)
	out.acks = sorted(out.acks)
	client.CloseIdleConnections()
	return out, first
}

func post(ctx context.Context, c *http.Client, url string, body []byte, want int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/v1/events", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	var answer struct{ Accepted int }
	if res.StatusCode != http.StatusAccepted || json.Unmarshal(b, &answer) != nil || answer.Accepted != want {
		return fmt.Errorf("batch of %d: %s: %.300s", want, res.Status, b)
	}
	return nil
}

// benchIngest: 16 connections, batches of 100, pricing, dedupe and durability
// on, into an empty ledger.
func benchIngest(ctx context.Context, o options) error {
	fmt.Println("| run | events | events/s | ack p50 | p95 | p99 | peak memory |\n|---|---|---|---|---|---|---|")
	var rates []float64
	for run := range o.runs {
		p, remove, err := o.empty(ctx)
		if err != nil {
			return err
		}
		defer remove()
		s, err := start(ctx, o, p)
		if err != nil {
			return err
		}
		got, err := send(ctx, s.url, traffic{run: fmt.Sprint("r", run), start: time.Now().Add(-time.Hour), step: time.Millisecond}, o.ingest, 0)
		_, peak := s.memory()
		if err != nil {
			s.stop()
			return err
		}
		calls, err := s.calls(ctx)
		if err == nil && calls != int64(o.ingest) {
			err = fmt.Errorf("the ledger has %d calls, %d were acknowledged", calls, o.ingest)
		}
		if serr := s.stop(); err == nil {
			err = serr
		}
		if err != nil {
			return err
		}
		rate := float64(got.events) / got.took.Seconds()
		rates = append(rates, rate)
		fmt.Printf("| %d | %d | %.0f | %.1f ms | %.1f ms | %.1f ms | %d MB |\n", run+1, got.events, rate, ms(at(got.acks, .5)), ms(at(got.acks, .95)), ms(at(got.acks, .99)), peak)
	}
	fmt.Printf("| median | | **%.0f** | | | | |\n", median(rates))
	return nil
}

// calls is the number of calls that the server's breakdown counts, over all time.
func (s *server) calls(ctx context.Context) (int64, error) {
	b, err := s.get(ctx, "/api/v1/analytics/features?from=2020-01-01&fields=name,callCount&limit=1000")
	if err != nil {
		return 0, err
	}
	var answer struct {
		Data []struct{ CallCount int64 }
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return 0, err
	}
	var n int64
	for _, r := range answer.Data {
		n += r.CallCount
	}
	return n, nil
}
