package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/costprof/costprof/client"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

var until = time.Date(2026, 11, 22, 15, 4, 5, 0, time.UTC)

func params() Params {
	return Params{Seed: 1, Days: 30, Events: 20_000, Until: until, Project: "demo"}
}

func generate(t *testing.T, p Params) ([]client.Event, Planted) {
	t.Helper()
	traffic, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	var events []client.Event
	if err := traffic.Each(func(e client.Event) error { events = append(events, e); return nil }); err != nil {
		t.Fatal(err)
	}
	return events, traffic.Planted()
}

// The traffic is a function of its parameters alone, on every machine: a changed
// sum means that everybody's demo, run again, adds everything a second time.
func TestTrafficIsFixed(t *testing.T) {
	events, _ := generate(t, params())
	h := sha256.New()
	for _, e := range events {
		b, err := json.Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(append(b, '\n'))
	}
	const want = "199d42cb0b518a94324b8aabf384027c50e629a37a932a537a2302a4577d0c7f"
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("sum of the traffic = %s, want %s", got, want)
	}
	later := params()
	later.Until = until.Add(8 * time.Hour)
	again, _ := generate(t, later)
	if len(again) != len(events) || again[len(again)-1].SpanID != events[len(events)-1].SpanID {
		t.Error("a run later on the same day makes other events")
	}
	other := params()
	other.Seed = 2
	if others, _ := generate(t, other); others[0].TraceID == events[0].TraceID {
		t.Error("another seed makes the same events")
	}
}

func TestEventsAreValidAndDistinct(t *testing.T) {
	p := params()
	events, planted := generate(t, p)
	if len(events) != p.Events || planted.Events != p.Events {
		t.Errorf("made %d events, counted %d, want %d", len(events), planted.Events, p.Events)
	}
	seen := map[usage.ID]bool{}
	for i := range events {
		e := domain(t, &events[i])
		if problems := e.Validate(until); len(problems) > 0 {
			t.Fatalf("event %d: %v\n%+v", i, problems, events[i])
		}
		if e.Timestamp.Before(planted.From) || !e.Timestamp.Before(planted.Until) {
			t.Errorf("event %d at %v, not in %v to %v", i, e.Timestamp, planted.From, planted.Until)
		}
		id := e.Identity()
		if seen[id] {
			t.Fatalf("event %d has the identity of another", i)
		}
		seen[id] = true
	}
}

// Every model but the unpriced one has a price in the shipped book.
func TestModelsHavePrices(t *testing.T) {
	book, err := pricing.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	events, planted := generate(t, params())
	unpriced := 0
	for i := range events {
		e := domain(t, &events[i])
		if e.Aggregate {
			continue
		}
		c, err := book.Price(&e)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Provider == planted.Unpriced.Provider:
			unpriced++
			if c.Source != usage.SourceUnpriced {
				t.Errorf("%s/%s has the source %v", e.Provider, e.Model, c.Source)
			}
		case e.Billed != nil:
			if c.Source != usage.SourceBilled {
				t.Errorf("a billed call has the source %v", c.Source)
			}
		case c.Source != usage.SourceCatalog:
			t.Fatalf("%s/%s has no price", e.Provider, e.Model)
		}
	}
	if unpriced == 0 || unpriced != planted.Unpriced.Calls {
		t.Errorf("%d calls without a price, planted %d", unpriced, planted.Unpriced.Calls)
	}
}

// What is planted can be found.
func TestPlanted(t *testing.T) {
	events, planted := generate(t, params())
	var before, after []int64
	perDay := map[time.Time]int{}
	writes, reads := int64(0), int64(0)
	var bloated []string
	errorsSeen, retries, aggregates, billed := 0, 0, 0, int64(0)
	features, users := map[string]bool{}, map[string]bool{}
	turns, cached := 0, int64(0)
	for _, e := range events {
		if e.Feature == planted.History.Feature && e.InputTokens > 0 {
			turns, cached = turns+1, cached+e.CachedTokens
		}
		features[e.Feature] = true
		users[e.UserID] = true
		if e.Aggregate {
			aggregates++
			continue
		}
		if e.IsError {
			errorsSeen++
		}
		if e.RetryCount > 0 {
			retries++
		}
		switch e.Feature {
		case planted.Jump.Feature:
			if e.InputTokens == 0 {
				continue
			}
			if e.Timestamp.Before(planted.Jump.Since) {
				before = append(before, e.InputTokens)
			} else {
				after = append(after, e.InputTokens)
			}
		case planted.Spike.Feature:
			perDay[e.Timestamp.Truncate(day)]++
		case planted.Cache.Feature:
			writes += e.CacheWriteTokens
			reads += e.CachedTokens
		case planted.Bloat.Feature:
			if e.InputTokens > 80_000 {
				bloated = append(bloated, e.SpanID)
			}
		case planted.Billed.Feature:
			billed += nanosOf(e.BilledCostUSD)
		}
	}
	if len(features) != 12 || len(users) < 60 {
		t.Errorf("%d features and %d users", len(features), len(users))
	}
	if b, a := median(before), median(after); a < 3*b {
		t.Errorf("the prompt of %s grew from %d to %d tokens, want three times", planted.Jump.Feature, b, a)
	}
	for d, n := range perDay {
		if spike := perDay[planted.Spike.Day]; !d.Equal(planted.Spike.Day) && spike < 3*n {
			t.Errorf("%s: %d calls on %v, only %d on the day that runs away", planted.Spike.Feature, n, d, spike)
		}
	}
	if writes == 0 || reads != 0 || writes != planted.Cache.WrittenTokens {
		t.Errorf("cache: %d written, %d read, planted %d", writes, reads, planted.Cache.WrittenTokens)
	}
	if len(bloated) < 5 || !slices.Equal(bloated, planted.Bloat.Spans) {
		t.Errorf("%d calls with bloated input, planted %d", len(bloated), len(planted.Bloat.Spans))
	}
	if h := planted.History; turns < 1000 || turns != h.Calls || cached < int64(1000*turns) || cached != h.CachedTokens {
		t.Errorf("%d turns with %d tokens from the cache, planted %+v", turns, cached, h)
	}
	if errorsSeen == 0 || errorsSeen != planted.Errors || retries != planted.Retries || retries > errorsSeen {
		t.Errorf("%d errors and %d retries, planted %d and %d", errorsSeen, retries, planted.Errors, planted.Retries)
	}
	if aggregates == 0 || aggregates != planted.Aggregates {
		t.Errorf("%d aggregates, planted %d", aggregates, planted.Aggregates)
	}
	if billed == 0 || billed != planted.Billed.NanoUSD {
		t.Errorf("%d nanodollars billed, planted %d", billed, planted.Billed.NanoUSD)
	}
}

// An aggregate holds what its children hold, and they name it.
func TestAggregatesSumTheirChildren(t *testing.T) {
	events, _ := generate(t, params())
	type sums struct{ input, output int64 }
	children := map[string]sums{}
	for _, e := range events {
		if e.ParentSpanID != "" {
			s := children[e.ParentSpanID]
			s.input += e.InputTokens
			s.output += e.OutputTokens
			children[e.ParentSpanID] = s
		}
	}
	for _, e := range events {
		if !e.Aggregate {
			continue
		}
		if s := children[e.SpanID]; s.input != e.InputTokens || s.output != e.OutputTokens {
			t.Errorf("aggregate %s holds %d and %d tokens, its children %d and %d", e.SpanID, e.InputTokens, e.OutputTokens, s.input, s.output)
		}
	}
}

func TestEdges(t *testing.T) {
	for _, p := range []Params{
		{Seed: 1, Days: 1, Events: 1, Until: until, Project: "p"},
		{Seed: 1, Days: 365, Events: 3, Until: until, Project: "p"},
		{Seed: 1 << 63, Days: 2, Events: 500, Until: until, Project: "p"},
	} {
		if events, _ := generate(t, p); len(events) != p.Events {
			t.Errorf("%+v made %d events", p, len(events))
		}
	}
	for _, p := range []Params{
		{},
		{Days: 366, Events: 1, Until: until, Project: "p"},
		{Days: 1, Until: until, Project: "p"},
		{Days: 1, Events: MaxEvents + 1, Until: until, Project: "p"},
		{Days: 1, Events: 1, Until: until},
		{Days: 30, Events: 1, Until: time.Date(2020, 1, 5, 0, 0, 0, 0, time.UTC), Project: "p"},
	} {
		if _, err := New(p); err == nil {
			t.Errorf("New(%+v): no error", p)
		}
	}
	stop := errors.New("stop")
	traffic, err := New(params())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := traffic.Each(func(client.Event) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("Each went on for %d events with %v", n, err)
	}
}

func TestLiveHappensNow(t *testing.T) {
	live := NewLive(params(), 7)
	seen := map[usage.ID]bool{}
	for range 300 {
		for _, e := range live.Next(until) {
			if e.Timestamp.After(until) {
				t.Errorf("a live event at %v, after now", e.Timestamp)
			}
			d := domain(t, &e)
			if problems := d.Validate(until); len(problems) > 0 {
				t.Fatal(problems)
			}
			if id := d.Identity(); seen[id] {
				t.Fatal("two live events with one identity")
			} else {
				seen[id] = true
			}
		}
	}
	other := NewLive(params(), 8)
	if live.Next(until)[0].TraceID == other.Next(until)[0].TraceID {
		t.Error("two runs make the same traces")
	}
}

// domain makes the event that the server would.
func domain(t *testing.T, e *client.Event) usage.Event {
	t.Helper()
	d := usage.Event{
		Project: e.Project, TraceID: e.TraceID, SpanID: e.SpanID, ParentSpanID: e.ParentSpanID, Name: e.Name, Timestamp: e.Timestamp,
		Feature: e.Feature, Provider: e.Provider, Model: e.Model, ServiceTier: e.ServiceTier, Region: e.Region,
		Latency: time.Duration(e.Latency), TimeToFirstToken: -1, UserID: e.UserID, SessionID: e.SessionID, Department: e.Department,
		Environment: e.Environment, Operation: e.Operation, Tags: e.Tags, Aggregate: e.Aggregate, RetryCount: e.RetryCount,
		Prompt: e.Prompt, Metadata: e.Metadata,
	}
	for u, n := range map[usage.Unit]int64{
		usage.Input: e.InputTokens, usage.Output: e.OutputTokens, usage.CacheRead: e.CachedTokens,
		usage.CacheWrite: e.CacheWriteTokens, usage.CacheWrite1h: e.CacheWrite1hTokens, usage.Reasoning: e.ReasoningTokens,
	} {
		d.Counts[u] = n
	}
	for name, n := range e.Usage {
		u, ok := usage.UnitByCount(name)
		if !ok {
			t.Fatalf("usage has no unit %q", name)
		}
		d.Counts[u] = n
	}
	if e.BilledCostUSD != "" {
		amount, err := money.Parse(string(e.BilledCostUSD))
		if err != nil {
			t.Fatal(err)
		}
		d.Billed = &amount
	}
	if e.TimeToFirstToken != nil {
		d.TimeToFirstToken = time.Duration(*e.TimeToFirstToken)
		if *e.TimeToFirstToken > e.Latency {
			t.Errorf("the first token after %v, the last after %v", *e.TimeToFirstToken, e.Latency)
		}
	}
	return d
}

func median(n []int64) int64 {
	if len(n) == 0 {
		return 0
	}
	slices.Sort(n)
	return n[len(n)/2]
}
