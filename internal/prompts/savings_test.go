package prompts

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func call(n int, at time.Duration, prompt byte, cost int64) Call {
	c := Call{ID: usage.ID{byte(n)}, PromptID: usage.ID{prompt}, At: noon.Add(at), Latency: time.Second, Provider: "openai", Model: "gpt-4o", Project: "p"}
	c.Cost = money.USD(cost)
	return c
}

func TestSimulateResponses(t *testing.T) {
	ttl := time.Hour
	with := func(c Call, change func(c *Call)) Call { change(&c); return c }
	for name, c := range map[string]struct {
		calls []Call
		hits  int64
		saved string
	}{
		"none":                        {nil, 0, "0"},
		"again":                       {[]Call{call(1, 0, 1, 5), call(2, time.Minute, 1, 6), call(3, 2*time.Minute, 1, 7)}, 2, "0.000000000013"},
		"in another order of arrival": {[]Call{call(3, 2*time.Minute, 1, 7), call(1, 0, 1, 5)}, 1, "0.000000000007"},
		"another prompt":              {[]Call{call(1, 0, 1, 5), call(2, time.Minute, 2, 6)}, 0, "0"},
		"without a prompt":            {[]Call{call(1, 0, 0, 5), call(2, time.Minute, 0, 6)}, 0, "0"},
		"another model":               {[]Call{call(1, 0, 1, 5), with(call(2, time.Minute, 1, 6), func(c *Call) { c.Model = "x" })}, 0, "0"},
		"another project":             {[]Call{call(1, 0, 1, 5), with(call(2, time.Minute, 1, 6), func(c *Call) { c.Project = "q" })}, 0, "0"},
		"before the answer":           {[]Call{call(1, 0, 1, 5), call(2, 900*time.Millisecond, 1, 6), call(3, time.Second, 1, 7)}, 1, "0.000000000007"},
		"just within":                 {[]Call{call(1, 0, 1, 5), call(2, ttl+time.Second-1, 1, 6)}, 1, "0.000000000006"},
		"too late":                    {[]Call{call(1, 0, 1, 5), call(2, ttl+time.Second, 1, 6), call(3, ttl+time.Minute, 1, 7)}, 1, "0.000000000007"},
		"a hit does not keep it":      {[]Call{call(1, 0, 1, 5), call(2, 50*time.Minute, 1, 6), call(3, 70*time.Minute, 1, 7)}, 1, "0.000000000006"},
		"a failure is not kept":       {[]Call{with(call(1, 0, 1, 5), func(c *Call) { c.Error = true }), call(2, time.Minute, 1, 6), call(3, 2*time.Minute, 1, 7)}, 1, "0.000000000007"},
	} {
		got := SimulateResponses(c.calls, ttl)
		if got.Hits != c.hits || got.Saved.String() != c.saved || got.Calls != int64(len(c.calls)) {
			t.Errorf("%s: %d hits save %s, want %d and %s", name, got.Hits, got.Saved, c.hits, c.saved)
		}
	}
	// Sums beyond 63 bits.
	var dear []Call
	for i := range 5 {
		dear = append(dear, call(i, time.Duration(i)*time.Minute, 1, math.MaxInt64/2))
	}
	if got := SimulateResponses(dear, ttl).Saved.String(); got != "18446744.073709551612" {
		t.Error(got)
	}
}

func TestSimulatePromptCache(t *testing.T) {
	book, err := pricing.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	// Claude Sonnet 4: input 3, reading 0.3, writing 3.75, output 15 USD per million.
	claude := func(n int, at time.Duration, input int64) Call {
		c := call(n, at, byte(n), 0)
		c.Provider, c.Model = "anthropic", "claude-sonnet-4-20250514"
		c.Counts[usage.Input], c.Counts[usage.Output] = input, 100
		return c
	}
	recorded := func(c Call, read, write int64) Call {
		c.Counts[usage.CacheRead], c.Counts[usage.CacheWrite] = read, write
		return c
	}
	openai := func(c Call) Call { c.Provider, c.Model = "openai", "gpt-4o"; return c }
	for name, c := range map[string]struct {
		calls         []Call
		perMille      int64
		writes, reads int64
		saved, before string
	}{
		// 2,000 tokens: written +0.0015, read −0.0054 each.
		"write, then read":  {[]Call{claude(1, 0, 4000), claude(2, time.Minute, 4000), claude(3, 5*time.Minute, 4000)}, 500, 1, 2, "0.0093", "0"},
		"reads keep it":     {[]Call{claude(1, 0, 4000), claude(2, 4*time.Minute, 4000), claude(3, 8*time.Minute, 4000), claude(4, 12*time.Minute, 4000)}, 500, 1, 3, "0.0147", "0"},
		"too rare: a loss":  {[]Call{claude(1, 0, 4000), claude(2, 10*time.Minute, 4000), claude(3, 20*time.Minute, 4000)}, 500, 3, 0, "-0.0045", "0"},
		"too short":         {[]Call{claude(1, 0, 2000), claude(2, time.Minute, 2000)}, 500, 0, 0, "0", "0"},
		"just long enough":  {[]Call{claude(1, 0, 2048), claude(2, time.Minute, 2048)}, 500, 1, 1, "0.0019968", "0"},
		"at once":           {[]Call{claude(1, 0, 4000), claude(2, 500*time.Millisecond, 4000)}, 500, 2, 0, "-0.003", "0"},
		"no surcharge":      {[]Call{openai(claude(1, 0, 4000)), openai(claude(2, 10*time.Minute, 4000))}, 500, 2, 0, "0", "0"},
		"recorded reads":    {[]Call{recorded(claude(1, 0, 4000), 0, 2000), recorded(claude(2, time.Minute, 4000), 2000, 0)}, 500, 1, 1, "0", "0.0039"},
		"recorded, harmful": {[]Call{recorded(claude(1, 0, 2000), 0, 1000), recorded(claude(2, time.Hour, 2000), 0, 1000)}, 500, 0, 0, "0.0015", "-0.0015"},
		"nothing shared":    {[]Call{claude(1, 0, 4000), claude(2, time.Minute, 4000)}, 0, 0, 0, "0", "0"},
	} {
		got, err := SimulatePromptCache(c.calls, PromptCacheParams{Prices: book, TTL: 5 * time.Minute, PrefixPerMille: c.perMille})
		if err != nil {
			t.Fatal(name, err)
		}
		if got.Writes != c.writes || got.Reads != c.reads || got.Saved().String() != c.saved || got.SavedByRecorded().String() != c.before || got.Calls != int64(len(c.calls)) {
			t.Errorf("%s: %d writes, %d reads save %s and the recorded use %s, want %d, %d, %s, %s", name, got.Writes, got.Reads, got.Saved(), got.SavedByRecorded(), c.writes, c.reads, c.saved, c.before)
		}
	}
	unknown := claude(1, 0, 4000)
	unknown.Model, unknown.Provider = "none", "nobody"
	if got, err := SimulatePromptCache([]Call{unknown}, PromptCacheParams{Prices: book, TTL: time.Hour, PrefixPerMille: 900}); err != nil || got.Unpriced != 1 || got.Calls != 0 {
		t.Error(got, err)
	}
}

func TestCluster(t *testing.T) {
	unit := func(degrees float64) []float32 {
		s, c := math.Sincos(degrees * math.Pi / 180)
		return []float32{float32(c), float32(s)}
	}
	items := []Item{{Vector: unit(0)}, {Vector: unit(20)}, {Vector: unit(38)}, {}, {Vector: unit(29)}, {Vector: unit(90)}, {}, {Vector: unit(55)}, {Vector: []float32{1}}}
	// Within 25.8 degrees of a leader: 20 joins 0; 38 does not, it is no chain; 29
	// is nearer to 38 than to 0.
	got := Cluster(items, 0.9)
	var members [][]int
	for _, g := range got {
		members = append(members, g.Members)
	}
	want := [][]int{{0, 1}, {2, 4, 7}, {3}, {5}, {6}, {8}}
	if !slices.EqualFunc(members, want, slices.Equal) {
		t.Errorf("got %v, want %v", members, want)
	}
	if math.Abs(float64(got[1].Least)-math.Cos(17*math.Pi/180)) > 1e-5 || got[3].Least != 1 {
		t.Error(got[1].Least, got[3].Least)
	}
	if same := Cluster(items, 0.9); len(same) != len(got) || Cluster(nil, 0.5) != nil {
		t.Error("not the same again")
	}
	// Dimensions that are no multiple of four.
	random := rand.New(rand.NewPCG(1, 1))
	a := make([]float32, 7)
	for i := range a {
		a[i] = random.Float32()
	}
	var exact float64
	for _, v := range a {
		exact += float64(v) * float64(v)
	}
	if got := dot(a, a); math.Abs(float64(got)-exact) > 1e-5 {
		t.Error(got, exact)
	}
}
