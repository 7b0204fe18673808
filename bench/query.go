package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // the bare engine, as the limit to compare with
)

// question is one bar: a path, and the bare SQL that the engine could answer it
// with at best.
type question struct {
	name, path, sql string
	bar             time.Duration
}

func questions(from, to time.Time) []question {
	window := "from=" + url.QueryEscape(from.Format(time.RFC3339)) + "&to=" + url.QueryEscape(to.Format(time.RFC3339))
	fields := "&fields=name,totalCost,totalTokens,inputTokens,outputTokens,cachedTokens,callCount,errorCount,avgLatency,cacheSavings,share,unpricedCalls,fallbackCalls"
	const sums = "sum(cost), sum(t_input + t_cache_read + t_cache_write + t_cache_write_1h + t_media_in), sum(t_output + t_reasoning + t_media_out), sum(t_cache_read), count(*), count_if(is_error), sum(latency), sum(saving)"
	window30 := fmt.Sprintf(" WHERE ts >= '%s' AND ts < '%s' AND NOT is_aggregate ", from.Format("2006-01-02 15:04:05"), to.Format("2006-01-02 15:04:05"))
	where := " FROM events JOIN cells ON cells.id = cell" + window30
	alone := " FROM events" + window30
	var qs []question
	for _, d := range []string{"feature", "model", "provider", "environment"} {
		qs = append(qs,
			question{"breakdown by " + d, "/api/v1/analytics/cost-breakdown?groupBy=" + d + "&" + window + fields, "SELECT " + d + ", " + sums + where + "GROUP BY ALL", 50 * time.Millisecond},
			question{"breakdown by " + d + " with p95Latency", "/api/v1/analytics/cost-breakdown?groupBy=" + d + "&" + window, "SELECT " + d + ", " + sums + ", quantile_disc(latency, 0.95)" + where + "GROUP BY ALL", 100 * time.Millisecond})
	}
	hour := "epoch_us(ts) // 3600000000"
	return append(qs,
		question{"hourly series", "/api/v1/analytics/timeseries?granularity=hour&" + window, "SELECT " + hour + " AS h, " + sums + alone + "GROUP BY ALL", 50 * time.Millisecond},
		question{"daily series", "/api/v1/analytics/timeseries?granularity=day&" + window, "SELECT epoch_us(ts) // 86400000000 AS d, " + sums + alone + "GROUP BY ALL", 50 * time.Millisecond},
		question{"daily series in Kathmandu", "/api/v1/analytics/timeseries?granularity=day&tz=Asia/Kathmandu&" + window, "SELECT epoch_us(ts) // 900000000 AS d, " + sums + alone + "GROUP BY ALL", 50 * time.Millisecond},
		question{"daily series by feature", "/api/v1/analytics/timeseries?granularity=day&groupBy=feature&" + window, "SELECT epoch_us(ts) // 86400000000 AS d, feature, " + sums + where + "GROUP BY ALL", 50 * time.Millisecond},
		question{"hourly series by model", "/api/v1/analytics/timeseries?granularity=hour&groupBy=model&" + window, "SELECT " + hour + " AS h, model, " + sums + where + "GROUP BY ALL", 50 * time.Millisecond},
		question{"flame graph feature, model", "/api/v1/analytics/flamegraph?levels=feature,model&" + window, "SELECT feature, model, sum(cost), count(*)" + where + "GROUP BY ALL", 50 * time.Millisecond},
		question{"flame graph provider, model, feature, environment", "/api/v1/analytics/flamegraph?levels=provider,model,feature,environment&" + window, "SELECT provider, model, feature, environment, sum(cost), count(*)" + where + "GROUP BY ALL", 50 * time.Millisecond},
		question{"one feature and model by day", "/api/v1/analytics/timeseries?granularity=day&feature=rag-search&model=gpt-4o&" + window, "SELECT epoch_us(ts) // 86400000000 AS d, " + sums + where + "AND feature = 'rag-search' AND model = 'gpt-4o' GROUP BY ALL", 50 * time.Millisecond},
		question{"breakdown by user", "/api/v1/analytics/users?" + window, "SELECT user_id, " + sums + ", quantile_disc(latency, 0.95)" + alone + "GROUP BY ALL ORDER BY 2 DESC LIMIT 100", 250 * time.Millisecond},
		question{"breakdown by session", "/api/v1/analytics/cost-breakdown?groupBy=session&" + window + fields, "SELECT session_id, " + sums + alone + "GROUP BY ALL ORDER BY 2 DESC LIMIT 100", 250 * time.Millisecond},
		question{"breakdown by session with p95Latency", "/api/v1/analytics/cost-breakdown?groupBy=session&" + window, "SELECT session_id, " + sums + ", quantile_disc(latency, 0.95)" + alone + "GROUP BY ALL ORDER BY 2 DESC LIMIT 100", 250 * time.Millisecond},
		question{"breakdown by tag", "/api/v1/analytics/cost-breakdown?groupBy=tag:team&" + window, "SELECT value, " + sums + ", quantile_disc(latency, 0.95) FROM events LEFT JOIN tags ON tags.tagset = events.tagset AND tags.name = 'team'" + window30 + "GROUP BY ALL", 250 * time.Millisecond},
		question{"breakdown by model of one tag", "/api/v1/analytics/models?tag:team=growth&" + window, "SELECT model, " + sums + ", quantile_disc(latency, 0.95)" + where + "AND tagset IN (SELECT tagset FROM tags WHERE name = 'team' AND value = 'growth') GROUP BY ALL", 250 * time.Millisecond},
		question{"prompts", "/api/v1/analytics/prompts?" + window, "", 250 * time.Millisecond},
		question{"prompts with spread", "/api/v1/analytics/prompts?spread=true&" + window, "", 0},
		question{"growth of prompts", "/api/v1/analytics/prompts/growth?" + window, "", 0},
		question{"history sent again", "/api/v1/analytics/prompts/history?" + window, "", 0},
		question{"compare by feature", "/api/v1/analytics/compare?groupBy=feature&" + window, "", 250 * time.Millisecond},
		question{"compare by feature and model of one environment", "/api/v1/analytics/compare?groupBy=feature,model&environment=production&" + window, "", 250 * time.Millisecond},
		question{"compare by user", "/api/v1/analytics/compare?groupBy=user&" + window, "", 250 * time.Millisecond},
		question{"compare by session", "/api/v1/analytics/compare?groupBy=session&" + window, "", 250 * time.Millisecond},
		question{"compare by tag", "/api/v1/analytics/compare?groupBy=tag:team&" + window, "", 250 * time.Millisecond},
		question{"call trees", "/api/v1/analytics/flamegraph?levels=trace&" + window, "", time.Second},
		question{"traces by cost", "/api/v1/traces?" + window, "SELECT project, trace, " + sums + where + "GROUP BY ALL ORDER BY 3 DESC LIMIT 100", time.Second},
		question{"realtime totals", "/api/v1/analytics/realtime-totals", "", 0},
		question{"newest 100 events", "/api/v1/analytics/events?limit=100", "", 0},
	)
}

func (o options) asked(qs []question) []question {
	return slices.DeleteFunc(qs, func(q question) bool { return !o.only.MatchString(q.name) })
}

// patience is how long one question is asked at most.
const patience = 15 * time.Second

// ask measures one question: one warm-up, then n answers, or, of a slow one, as
// many as patience allows and 5 at least.
func (s *server) ask(ctx context.Context, path string, n int) ([]time.Duration, error) {
	if _, err := s.get(ctx, path); err != nil {
		return nil, err
	}
	var ds []time.Duration
	started := time.Now()
	for range n {
		begin := time.Now()
		if _, err := s.get(ctx, path); err != nil {
			return nil, err
		}
		ds = append(ds, time.Since(begin))
		if len(ds) >= 5 && time.Since(started) > patience {
			break
		}
	}
	slices.Sort(ds)
	return ds, nil
}

const answers = 40

// benchQuery asks each question over HTTP of the filled ledger, over its last 30
// days, and then the bare engine on the same file.
func benchQuery(ctx context.Context, o options) error {
	s, p, until, err := o.startFilled(ctx)
	if err != nil {
		return err
	}
	qs := o.asked(questions(until.Add(-30*24*time.Hour), until))
	if p.database() {
		fmt.Println("| question | p50 | p95 | bar |\n|---|---|---|---|")
	}
	measured := make([][]time.Duration, len(qs))
	for i, q := range qs {
		if measured[i], err = s.ask(ctx, q.path, answers); err != nil {
			s.stop()
			return err
		}
		if p.database() { // nothing to set beside it
			fmt.Printf("| %s | %.1f ms | %.1f ms | %s |\n", q.name, ms(at(measured[i], .5)), ms(at(measured[i], .95)), verdict(at(measured[i], .95), o.bar(q)))
		}
	}
	page, err := s.deepPage(ctx, until)
	if serr := s.stop(); err == nil {
		err = serr
	}
	if err != nil {
		return err
	}
	if p.database() {
		fmt.Printf("| page of 100, deep | %.1f ms | %.1f ms | %s |\n", ms(at(page, .5)), ms(at(page, .95)), verdict(at(page, .95), 10*time.Millisecond))
		return nil
	}
	db, err := sql.Open("duckdb", filepath.Join(o.dir, "ledger.duckdb")+"?access_mode=read_only&memory_limit=700MB")
	if err != nil {
		return err
	}
	defer db.Close()
	fmt.Println("| question | p50 | p95 | bar | bare SQL p50 | bare SQL p95 |\n|---|---|---|---|---|---|")
	for i, q := range qs {
		bare := "| – | – |"
		if q.sql != "" {
			ds, err := bareSQL(ctx, db, q.sql)
			if err != nil {
				return fmt.Errorf("%s: %w", q.sql, err)
			}
			bare = fmt.Sprintf("| %.1f ms | %.1f ms |", ms(at(ds, .5)), ms(at(ds, .95)))
		}
		fmt.Printf("| %s | %.1f ms | %.1f ms | %s %s\n", q.name, ms(at(measured[i], .5)), ms(at(measured[i], .95)), verdict(at(measured[i], .95), q.bar), bare)
	}
	fmt.Printf("| page of 100, deep | %.1f ms | %.1f ms | %s | – | – |\n", ms(at(page, .5)), ms(at(page, .95)), verdict(at(page, .95), 10*time.Millisecond))
	return nil
}

// verdict compares with a bar; 0 is none.
func verdict(got, bar time.Duration) string {
	if bar == 0 {
		return "–"
	}
	if got < bar {
		return fmt.Sprintf("< %d ms", bar.Milliseconds())
	}
	return fmt.Sprintf("**misses** %d ms", bar.Milliseconds())
}

func bareSQL(ctx context.Context, db *sql.DB, text string) ([]time.Duration, error) {
	var ds []time.Duration
	started := time.Now()
	for i := range answers + 1 {
		begin := time.Now()
		rows, err := db.QueryContext(ctx, text)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
		if i > 0 {
			ds = append(ds, time.Since(begin))
		}
		if len(ds) >= 5 && time.Since(started) > patience {
			break
		}
	}
	slices.Sort(ds)
	return ds, nil
}

// deepPage follows cursors from places all over the 90 days.
func (s *server) deepPage(ctx context.Context, until time.Time) ([]time.Duration, error) {
	var ds []time.Duration
	for day := 1; day < days-1; day += 2 {
		to := until.Add(-time.Duration(day) * 24 * time.Hour).Format(time.RFC3339)
		path := "/api/v1/analytics/events?limit=100&from=2020-01-01&to=" + url.QueryEscape(to)
		for range 3 {
			begin := time.Now()
			b, err := s.get(ctx, path)
			if err != nil {
				return nil, err
			}
			ds = append(ds, time.Since(begin))
			var answer struct {
				Data       []struct{ ID string }
				Pagination struct{ NextCursor string }
			}
			if err := json.Unmarshal(b, &answer); err != nil {
				return nil, err
			}
			if len(answer.Data) != 100 || answer.Pagination.NextCursor == "" {
				return nil, fmt.Errorf("a page of %d events", len(answer.Data))
			}
			path = "/api/v1/analytics/events?limit=100&cursor=" + url.QueryEscape(answer.Pagination.NextCursor)
		}
	}
	slices.Sort(ds)
	return ds, nil
}

// benchLoaded asks the same while 10,000 events a second arrive. It works on
// the filled ledger and leaves the new events in it.
func benchLoaded(ctx context.Context, o options) error {
	s, _, until, err := o.startFilled(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	loadCtx, stop := context.WithCancel(ctx)
	done := make(chan load, 1)
	now := time.Now()
	go func() {
		got, err := send(loadCtx, s.url, traffic{run: fmt.Sprint("live", now.Unix()), start: now, step: 100 * time.Microsecond}, 20_000_000, 10_000)
		if err != nil {
			fmt.Println("load:", err)
		}
		done <- got
	}()
	time.Sleep(2 * time.Second)
	fmt.Println("| question, while 10,000 events/s arrive | p50 | p95 | bar |\n|---|---|---|---|")
	for _, q := range o.asked(questions(until.Add(-30*24*time.Hour), until.Add(time.Hour))) {
		ds, err := s.ask(ctx, q.path, answers)
		if err != nil {
			stop()
			return err
		}
		fmt.Printf("| %s | %.1f ms | %.1f ms | %s |\n", q.name, ms(at(ds, .5)), ms(at(ds, .95)), verdict(at(ds, .95), 2*o.bar(q)))
	}
	stop()
	got := <-done
	_, peak := s.memory()
	fmt.Printf("\nload: %.0f events/s stored, ack p50 %.1f ms, p95 %.1f ms, p99 %.1f ms; server peak memory %d MB\n",
		float64(got.events)/got.took.Seconds(), ms(at(got.acks, .5)), ms(at(got.acks, .95)), ms(at(got.acks, .99)), peak)
	return nil
}
