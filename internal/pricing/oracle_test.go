package pricing

import (
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// The oracle knows the rules of a price from the documentation alone: fractions
// of big integers, its own splitting of totals and its own table of what is
// wider than what.
type oracle struct {
	prices   map[string]string // the rate that a price name has, "" for none
	cliffs   map[string]map[int64]string
	minimums map[string]int64
}

var oracleParts = []struct {
	price, part string
	per         int64
	wider       []string
	count       func(c map[string]int64) int64
}{
	{"input", "", 1e6, nil, func(c map[string]int64) int64 {
		return c["inputTokens"] - (c["cachedTokens"] - c["cachedAudioTokens"] - c["cachedImageTokens"]) - c["cacheWriteTokens"] -
			c["cacheWrite1hTokens"] - c["inputAudioTokens"] - c["inputImageTokens"] - c["inputVideoTokens"]
	}},
	{"cacheRead", "cached", 1e6, []string{"input"}, func(c map[string]int64) int64 {
		return c["cachedTokens"] - c["cachedAudioTokens"] - c["cachedImageTokens"]
	}},
	{"cacheWrite", "cached", 1e6, []string{"input"}, func(c map[string]int64) int64 { return c["cacheWriteTokens"] }},
	{"cacheWrite1h", "cached", 1e6, []string{"cacheWrite", "input"}, func(c map[string]int64) int64 { return c["cacheWrite1hTokens"] }},
	{"inputAudio", "", 1e6, []string{"input"}, func(c map[string]int64) int64 { return c["inputAudioTokens"] - c["cachedAudioTokens"] }},
	{"cachedAudio", "cached audio", 1e6, []string{"cacheRead", "inputAudio", "input"}, func(c map[string]int64) int64 { return c["cachedAudioTokens"] }},
	{"inputImage", "", 1e6, []string{"input"}, func(c map[string]int64) int64 { return c["inputImageTokens"] - c["cachedImageTokens"] }},
	{"cachedImage", "cached image", 1e6, []string{"cacheRead", "inputImage", "input"}, func(c map[string]int64) int64 { return c["cachedImageTokens"] }},
	{"inputVideo", "", 1e6, []string{"input"}, func(c map[string]int64) int64 { return c["inputVideoTokens"] }},
	{"output", "", 1e6, nil, func(c map[string]int64) int64 {
		return c["outputTokens"] - c["reasoningTokens"] - c["outputAudioTokens"] - c["outputImageTokens"] - c["outputVideoTokens"] - c["citationTokens"]
	}},
	{"reasoning", "", 1e6, []string{"output"}, func(c map[string]int64) int64 { return c["reasoningTokens"] }},
	{"outputAudio", "", 1e6, []string{"output"}, func(c map[string]int64) int64 { return c["outputAudioTokens"] }},
	{"outputImage", "", 1e6, []string{"output"}, func(c map[string]int64) int64 { return c["outputImageTokens"] }},
	{"outputVideo", "", 1e6, []string{"output"}, func(c map[string]int64) int64 { return c["outputVideoTokens"] }},
	{"citation", "", 1e6, []string{"output"}, func(c map[string]int64) int64 { return c["citationTokens"] }},
	{"webSearches", "", 1e3, nil, func(c map[string]int64) int64 { return c["webSearches"] }},
	{"storageSearches", "", 1e3, nil, func(c map[string]int64) int64 { return c["storageSearches"] }},
	{"requests", "", 1e3, nil, func(c map[string]int64) int64 { return max(c["requests"], 1) }},
	{"pages", "", 1e3, nil, func(c map[string]int64) int64 { return c["pages"] - c["annotatedPages"] }},
	{"annotatedPages", "", 1e3, []string{"pages"}, func(c map[string]int64) int64 { return c["annotatedPages"] }},
	{"audioHours", "", 3_600_000, nil, func(c map[string]int64) int64 { return c["audioMilliseconds"] }},
	{"messages", "", 1e3, nil, func(c map[string]int64) int64 { return c["messages"] }},
}

// rateOf finds the price of a unit, or of the next wider one that has one.
func (o *oracle) rateOf(price string, wider []string, input int64) (*big.Rat, string) {
	for _, name := range append([]string{price}, wider...) {
		text, ok := o.prices[name]
		if !ok {
			continue
		}
		best := int64(-1)
		for start, above := range o.cliffs[name] {
			if input > start && start > best {
				best, text = start, above
			}
		}
		r, ok := new(big.Rat).SetString(text)
		if !ok {
			panic(text)
		}
		return r, name
	}
	return nil, ""
}

// roundHalfEven rounds USD to picodollars.
func roundHalfEven(usd *big.Rat) *big.Int {
	pico := new(big.Rat).Mul(usd, big.NewRat(1_000_000_000_000, 1))
	twice := new(big.Int).Mul(pico.Num(), big.NewInt(2))
	twice.Add(twice, pico.Denom())
	q, rest := new(big.Int).DivMod(twice, new(big.Int).Mul(pico.Denom(), big.NewInt(2)), new(big.Int))
	if rest.Sign() == 0 && q.Bit(0) == 1 {
		q.Sub(q, big.NewInt(1))
	}
	return q
}

// cost is the sum of lines, each rounded once, and what caching saved.
func (o *oracle) cost(c map[string]int64) (total, saving *big.Int) {
	total, saving = new(big.Int), new(big.Int)
	input := c["inputTokens"]
	for _, part := range oracleParts {
		n := part.count(c)
		if n == 0 {
			continue
		}
		r, found := o.rateOf(part.price, part.wider, input)
		if r == nil {
			continue
		}
		charged := n
		if found == part.price {
			charged = max(n, o.minimums[found])
		}
		line := roundHalfEven(new(big.Rat).Mul(r, big.NewRat(charged, part.per)))
		total.Add(total, line)
		full := map[string][]string{"cached": {"input"}, "cached audio": {"inputAudio", "input"}, "cached image": {"inputImage", "input"}}[part.part]
		if full == nil {
			continue
		}
		if fr, _ := o.rateOf(full[0], full[1:], input); fr != nil {
			saving.Add(saving, roundHalfEven(new(big.Rat).Mul(fr, big.NewRat(n, part.per))))
			saving.Sub(saving, line)
		}
	}
	return total, saving
}

func drawPrice(t *rapid.T, label string) (money.USD, string) {
	p := money.USD(rapid.OneOf(rapid.Int64Range(0, 20), rapid.Int64Range(0, 1_000_000_000_000_000)).Draw(t, label))
	return p, p.String()
}

func drawVersion(t *rapid.T, o *oracle) Version {
	var v Version
	for _, part := range oracleParts {
		if !rapid.Bool().Draw(t, part.price+" has a price") {
			continue
		}
		u, ok := usage.UnitByPrice(part.price)
		if !ok {
			t.Fatalf("no unit %q", part.price)
		}
		r := Rate{Unit: u}
		r.Price, o.prices[part.price] = drawPrice(t, part.price)
		start := int64(0)
		for range rapid.IntRange(0, 2).Draw(t, "cliffs") {
			start += rapid.Int64Range(1, 2_000).Draw(t, "further")
			p, text := drawPrice(t, "above")
			r.Above = append(r.Above, Step{start, p})
			if o.cliffs[part.price] == nil {
				o.cliffs[part.price] = map[int64]string{}
			}
			o.cliffs[part.price][start] = text
		}
		if standsAlone(u) && rapid.Bool().Draw(t, "minimum") {
			r.Minimum = rapid.Int64Range(1, 1_000).Draw(t, "least")
			o.minimums[part.price] = r.Minimum
		}
		v.Rates = append(v.Rates, r)
	}
	return v
}

// drawCounts makes counts whose parts fit their totals.
func drawCounts(t *rapid.T) (usage.Counts, map[string]int64) {
	small := func(label string) int64 {
		return rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 3_000)).Draw(t, label)
	}
	named := map[string]int64{}
	for _, name := range []string{
		"cachedAudioTokens", "cachedImageTokens", "cacheWriteTokens", "cacheWrite1hTokens", "inputVideoTokens", "reasoningTokens",
		"outputAudioTokens", "outputImageTokens", "outputVideoTokens", "citationTokens", "webSearches", "storageSearches", "requests",
		"annotatedPages", "audioMilliseconds", "messages",
	} {
		named[name] = small(name)
	}
	named["cachedTokens"] = named["cachedAudioTokens"] + named["cachedImageTokens"] + small("cachedText")
	named["inputAudioTokens"] = named["cachedAudioTokens"] + small("inputAudio")
	named["inputImageTokens"] = named["cachedImageTokens"] + small("inputImage")
	named["inputTokens"] = named["cachedTokens"] - named["cachedAudioTokens"] - named["cachedImageTokens"] + named["cacheWriteTokens"] +
		named["cacheWrite1hTokens"] + named["inputAudioTokens"] + named["inputImageTokens"] + named["inputVideoTokens"] + small("inputText")
	named["outputTokens"] = named["reasoningTokens"] + named["outputAudioTokens"] + named["outputImageTokens"] +
		named["outputVideoTokens"] + named["citationTokens"] + small("outputText")
	named["pages"] = named["annotatedPages"] + small("plainPages")
	var c usage.Counts
	for name, n := range named {
		u, ok := usage.UnitByCount(name)
		if !ok {
			t.Fatalf("no count %q", name)
		}
		c[u] = n
	}
	return c, named
}

func TestCostIsTheOracles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := &oracle{map[string]string{}, map[string]map[int64]string{}, map[string]int64{}}
		v := drawVersion(t, o)
		c, named := drawCounts(t)
		b, err := build(&Data{Format: Format, Providers: []ProviderData{{ID: "acme", Models: []ModelData{{ID: "m", Versions: []Version{v}}}}}})
		if err != nil {
			t.Fatal(err)
		}
		q, err := b.Quote(Call{Provider: "acme", Model: "m", At: time.Unix(0, 0), Counts: c})
		if err != nil {
			t.Fatal(err)
		}
		total, saving := o.cost(named)
		if got := big.NewInt(int64(q.Total())); got.Cmp(total) != 0 {
			t.Fatalf("cost %v, the oracle's %v; lines %v", got, total, q.Lines)
		}
		if got := big.NewInt(int64(q.CacheSaving)); got.Cmp(saving) != 0 {
			t.Fatalf("saved %v, the oracle's %v", got, saving)
		}
		var sum money.USD
		for _, l := range q.Lines {
			sum += l.Amount
		}
		if sum != q.Total() {
			t.Fatalf("the lines sum to %s, the classes to %s", sum, q.Total())
		}
	})
}
