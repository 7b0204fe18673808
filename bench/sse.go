package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// sseClients is how many streams are followed at once.
const sseClients = 1000

// benchSSE: ingest without anybody who follows and with 1,000 streams, in turn,
// each run into the same growing ledger of one server. Every stream must have
// seen every call at the end, whole.
func benchSSE(ctx context.Context, o options) error {
	p, remove, err := o.empty(ctx)
	if err != nil {
		return err
	}
	defer remove()
	s, err := start(ctx, o, p)
	if err != nil {
		return err
	}
	fmt.Println("| run | streams | events | events/s | ack p95 | messages per stream |\n|---|---|---|---|---|---|")
	var alone, followed []float64
	stored := 0
	each := max(batch, o.ingest/10)
	for run := range 2 * o.runs {
		clients := run % 2 * sseClients
		f, ferr := followAll(ctx, s.url, clients)
		if ferr != nil {
			err = ferr
			break
		}
		var got load
		got, err = send(ctx, s.url, traffic{run: fmt.Sprint("sse", run), start: time.Now().Add(-time.Hour), step: time.Millisecond}, each, 0)
		stored += got.events
		messages, ferr := f.end(int64(stored))
		if err = errors.Join(err, ferr); err != nil {
			break
		}
		rate := float64(got.events) / got.took.Seconds()
		if clients > 0 {
			followed = append(followed, rate)
		} else {
			alone = append(alone, rate)
		}
		fmt.Printf("| %d | %d | %d | %.0f | %.1f ms | %.1f |\n", run+1, clients, got.events, rate, ms(at(got.acks, .95)), messages)
	}
	if serr := s.stop(); err == nil {
		err = serr
	}
	if err != nil {
		return err
	}
	fmt.Printf("| median | 0 | | %.0f | | |\n| median | %d | | %.0f | | |\n", median(alone), sseClients, median(followed))
	fmt.Printf("\nWith %d streams ingest is %.1f %% slower.\n", sseClients, 100*(1-median(followed)/median(alone)))
	return nil
}

// following is clients that read streams.
type following struct {
	cancel   context.CancelFunc
	done     sync.WaitGroup
	clients  int
	messages atomic.Int64
	seen     []atomic.Int64 // calls, by client
	failed   atomic.Pointer[error]
}

func followAll(ctx context.Context, url string, clients int) (*following, error) {
	f := &following{clients: clients, seen: make([]atomic.Int64, clients)}
	ctx, f.cancel = context.WithCancel(ctx)
	transport := &http.Transport{}
	for i := range clients {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/stream/costs", nil)
		if err != nil {
			return f, err
		}
		res, err := transport.RoundTrip(req)
		if err == nil && res.StatusCode != http.StatusOK {
			err = errors.New(res.Status)
		}
		if err != nil {
			f.cancel()
			return f, fmt.Errorf("stream %d: %w", i, err)
		}
		f.done.Go(func() {
			defer res.Body.Close()
			if err := f.read(bufio.NewReader(res.Body), &f.seen[i]); ctx.Err() == nil {
				f.failed.Store(&err)
			}
		})
	}
	return f, nil
}

// read takes messages and notes how many calls there are after each. It looks
// for the one number that it needs: what it spends is taken from the server.
func (f *following) read(r *bufio.Reader, seen *atomic.Int64) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, "data: ") {
			continue
		}
		f.messages.Add(1)
		for _, key := range []string{`"runningCount":`, `"callCount":`} {
			if _, rest, ok := strings.Cut(line, key); ok {
				n, err := strconv.ParseInt(rest[:strings.IndexAny(rest, ",}")], 10, 64)
				if err != nil {
					return err
				}
				seen.Store(n)
				break
			}
		}
	}
}

// end waits until every client has seen all calls, and ends them; it gives the
// messages per client.
func (f *following) end(calls int64) (float64, error) {
	defer f.done.Wait()
	defer f.cancel()
	deadline := time.Now().Add(10 * time.Second)
	for i := range f.seen {
		for f.seen[i].Load() != calls {
			if err := f.failed.Load(); err != nil {
				return 0, *err
			}
			if time.Now().After(deadline) {
				return 0, fmt.Errorf("stream %d has %d calls, %d were stored", i, f.seen[i].Load(), calls)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return float64(f.messages.Load()) / float64(max(1, f.clients)), nil
}
