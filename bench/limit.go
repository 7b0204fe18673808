package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"
)

const (
	limitKey   = "bench-key-of-sixteen-characters"
	limitAsked = 5000
)

// benchLimit: what counting a request against its limit adds. Two servers, one
// with rate limits and one without, are asked the same cheap question in turn, one
// request at a time, so that what else the machine does meets both alike. With
// REDIS_URL the counts are in Redis.
func benchLimit(ctx context.Context, o options) error {
	bar := time.Millisecond
	where := "in process"
	if os.Getenv("REDIS_URL") != "" {
		bar, where = 5*time.Millisecond, "in Redis"
	}
	var servers [2]*server
	for i, most := range []string{"0", "1000000"} {
		p, remove, err := o.empty(ctx)
		if err != nil {
			return err
		}
		defer remove()
		if servers[i], err = start(ctx, o, p, "API_KEYS="+limitKey, "RATE_LIMIT_MAX_REQUESTS="+most); err != nil {
			return err
		}
		defer servers[i].stop()
	}
	ask := func(s *server) (time.Duration, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v1/prices?limit=1", nil)
		if err != nil {
			return 0, err
		}
		req.Header.Set("X-API-Key", limitKey)
		begin := time.Now()
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return 0, err
		}
		if res.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("%s", res.Status)
		}
		return time.Since(begin), nil
	}
	fmt.Printf("| limits, counted %s | p50 | p99 | adds at p50 | adds at p99 | bar |\n|---|---|---|---|---|---|\n", where)
	var p50s, p99s []time.Duration
	for run := range o.runs + 1 {
		var ds [2][]time.Duration
		for n := range limitAsked {
			for i := range servers {
				i = (i + n) % 2
				d, err := ask(servers[i])
				if err != nil {
					return err
				}
				ds[i] = append(ds[i], d)
			}
		}
		if run == 0 {
			continue // warming up
		}
		for i := range ds {
			slices.Sort(ds[i])
		}
		p50, p99 := at(ds[1], .5)-at(ds[0], .5), at(ds[1], .99)-at(ds[0], .99)
		p50s, p99s = append(p50s, p50), append(p99s, p99)
		fmt.Printf("| run %d, without | %.2f ms | %.2f ms | | | |\n| run %d, with | %.2f ms | %.2f ms | %.2f ms | %.2f ms | |\n",
			run, ms(at(ds[0], .5)), ms(at(ds[0], .99)), run, ms(at(ds[1], .5)), ms(at(ds[1], .99)), ms(p50), ms(p99))
	}
	fmt.Printf("| **median** | | | %.2f ms | %.2f ms | %s |\n", ms(median(p50s)), ms(median(p99s)), verdict(median(p99s), bar))
	return nil
}
