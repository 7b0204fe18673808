package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// exportRows is how many events are exported at once, as many as one answer has.
	exportRows = 1_000_000
	// exportGrowth is the most that the server's memory may grow meanwhile, in MB.
	exportGrowth = 64
	// exportRate is the least rows a second of CSV.
	exportRate = 150_000
	// exportSlows is the most by which an export may slow ingest.
	exportSlows = 0.20
)

// benchExport exports the newest events of the filled ledger in each format, and
// then stores events alone and beside running exports, in turn. The new events
// stay in the filled ledger.
func benchExport(ctx context.Context, o options) error {
	s, p, until, err := o.startFilled(ctx)
	if err != nil {
		return err
	}
	err = s.exportFormats(ctx, o, until)
	if err == nil {
		err = s.exportBeside(ctx, o, until)
	}
	if serr := s.stop(); err == nil {
		err = serr
	}
	if err != nil || p.database() {
		return err
	}
	return bareCopy(ctx, filepath.Join(o.dir, "ledger.duckdb"), until)
}

// exportFormats measures each format. The first export is a warm-up, so that what
// grows is what exports take, not the cache of what was read before.
func (s *server) exportFormats(ctx context.Context, o options, until time.Time) error {
	idle, _ := s.memory()
	fmt.Printf("after the start: %d MB resident\n\n| export | rows | MB | s | rows/s | resident before | at most | growth | bar |\n|---|---|---|---|---|---|---|---|---|\n", idle)
	for i, format := range []string{"csv", "csv", "json", "ndjson", "parquet", "focus"} {
		before, _ := s.memory()
		watch := s.watchMemory()
		got, err := s.export(ctx, format, until)
		most := watch()
		if err != nil {
			return fmt.Errorf("%s: %w", format, err)
		}
		rate := float64(got.rows) / got.took.Seconds()
		bar := below(most-before, exportGrowth)
		name := format
		switch {
		case i == 0:
			name, bar = format+", the first", "–"
		case format == "csv":
			bar += ", " + above150(rate)
		}
		fmt.Printf("| %s | %d | %d | %.1f | %.0f | %d MB | %d MB | %d MB | %s |\n", name, got.rows, got.bytes>>20, got.took.Seconds(), rate, before, most, most-before, bar)
	}
	return nil
}

func below(mb, bar int) string {
	if mb < bar {
		return fmt.Sprintf("< %d MB", bar)
	}
	return fmt.Sprintf("**misses** %d MB", bar)
}

func above150(rate float64) string {
	if rate >= exportRate {
		return fmt.Sprintf("≥ %d rows/s", exportRate)
	}
	return fmt.Sprintf("**misses** %d rows/s", exportRate)
}

// watchMemory follows the resident size until the function it gives is called,
// which says how large it was at most.
func (s *server) watchMemory() (most func() int) {
	var highest atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			rss, _ := s.memory()
			highest.Store(max(highest.Load(), int64(rss)))
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() int {
		close(stop)
		<-done
		return int(highest.Load())
	}
}

// taken is what one export was.
type taken struct {
	rows, bytes int64
	took        time.Duration
}

// export takes one answer whole. It counts rows by the header, and of formats
// with lines by these too.
func (s *server) export(ctx context.Context, format string, until time.Time) (taken, error) {
	q := url.Values{"format": {format}, "from": {"2020-01-01"}, "to": {until.Format(time.RFC3339)}, "limit": {strconv.Itoa(exportRows)}}
	begin := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v1/export/events?"+q.Encode(), nil)
	if err != nil {
		return taken{}, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return taken{}, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(res.Body, 300))
		return taken{}, fmt.Errorf("%s: %s", res.Status, b)
	}
	all, err := strconv.ParseInt(res.Header.Get("X-Total-Count"), 10, 64)
	if err != nil {
		return taken{}, err
	}
	var lines counter
	bytes, err := io.Copy(&lines, res.Body)
	if err != nil {
		return taken{}, err
	}
	got := taken{min(all, exportRows), bytes, time.Since(begin)}
	want := map[string]int64{"csv": got.rows + 1, "ndjson": got.rows, "json": got.rows + 2}[format]
	if res.Trailer.Get("X-Next-Cursor") != "" && format == "ndjson" {
		want++
	}
	if want != 0 && int64(lines) != want {
		return got, fmt.Errorf("%d lines, want %d", lines, want)
	}
	return got, nil
}

// counter counts lines.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(bytes.Count(p, []byte("\n")))
	return len(p), nil
}

// exportBeside stores events alone and while CSV is exported over and over, in
// turn.
func (s *server) exportBeside(ctx context.Context, o options, until time.Time) error {
	fmt.Println("\n| run | beside | events | events/s | ack p95 | rows/s exported |\n|---|---|---|---|---|---|")
	each := max(batch, o.ingest/10)
	rates := map[bool][]float64{}
	now := time.Now()
	for run := range 2 * o.runs {
		exporting := run%2 == 1
		stop := func() float64 { return 0 }
		if exporting {
			stop = s.exportOn(ctx, until)
		}
		// Of moments of their own: what is exported ends before.
		t := traffic{run: fmt.Sprint("export", now.UnixNano(), "-", run), start: now.Add(time.Minute), step: time.Millisecond}
		got, err := send(ctx, s.url, t, each, 0)
		exported := stop()
		if err != nil {
			return err
		}
		rate := float64(got.events) / got.took.Seconds()
		rates[exporting] = append(rates[exporting], rate)
		beside := "nothing"
		if exporting {
			beside = "an export"
		}
		fmt.Printf("| %d | %s | %d | %.0f | %.1f ms | %.0f |\n", run+1, beside, got.events, rate, ms(at(got.acks, .95)), exported)
	}
	slower := 1 - median(rates[true])/median(rates[false])
	verdict := fmt.Sprintf("at most %.0f %%", 100*exportSlows)
	if slower > exportSlows {
		verdict = "**misses** " + verdict
	}
	fmt.Printf("\nBeside an export ingest is %.1f %% slower by the medians (%.0f against %.0f events/s); bar: %s.\n",
		100*slower, median(rates[true]), median(rates[false]), verdict)
	return nil
}

// exportOn exports again and again until the function it gives is called, which
// says how many rows a second that were.
func (s *server) exportOn(ctx context.Context, until time.Time) (stop func() float64) {
	ctx, cancel := context.WithCancel(ctx)
	var lines counter
	done := make(chan struct{})
	begin := time.Now()
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			q := url.Values{"from": {"2020-01-01"}, "to": {until.Format(time.RFC3339)}}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v1/export/events?"+q.Encode(), nil)
			if err != nil {
				return
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				continue
			}
			_, _ = io.Copy(&lines, res.Body) // it ends with the run
			res.Body.Close()
		}
	}()
	return func() float64 {
		cancel()
		<-done
		return float64(lines) / time.Since(begin).Seconds()
	}
}

// bareCopy is what the bare engine needs to write the same columns of the same
// events as CSV into nothing: the limit to compare with.
func bareCopy(ctx context.Context, file string, until time.Time) error {
	db, err := sql.Open("duckdb", file+"?access_mode=read_only&memory_limit=700MB")
	if err != nil {
		return err
	}
	defer db.Close()
	text := fmt.Sprintf(`COPY (SELECT events.*, cells.* EXCLUDE (id) FROM events JOIN cells ON cells.id = cell WHERE ts < '%s' ORDER BY ts DESC, events.id DESC LIMIT %d) TO '/dev/null' (FORMAT csv)`,
		until.UTC().Format("2006-01-02 15:04:05"), exportRows)
	begin := time.Now()
	if _, err := db.ExecContext(ctx, text); err != nil {
		return err
	}
	took := time.Since(begin)
	fmt.Printf("\nThe bare engine's COPY of the same events TO '/dev/null' as CSV took %.1f s on all cores: %.0f rows/s at most.\n", took.Seconds(), exportRows/took.Seconds())
	return nil
}
