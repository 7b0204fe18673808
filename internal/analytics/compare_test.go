package analytics

import (
	"math/big"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// byDefinition computes the terms as they are defined: shares, tokens per call,
// splits and prices as rationals, replaced one after the other. What a cell lacks
// is borrowed before anything is computed.
func byDefinition(cells []Pair) Terms {
	type factors struct {
		share, input   *big.Rat
		split, perCall [usage.NumClasses]*big.Rat // of the input classes; of the others
		price          [usage.NumClasses]*big.Rat
	}
	rat := func(a, b int64) *big.Rat { return big.NewRat(a, b) }
	amount := func(t money.Total) *big.Rat { return new(big.Rat).SetInt(t.Big()) }
	inputs, others := inputClasses[:], otherClasses[:]

	var calls [2]int64
	var costs [2]money.Total
	for _, p := range cells {
		for s, r := range []Row{p.Was, p.Is} {
			calls[s] += r.Calls
			costs[s] = costs[s].Plus(r.Cost)
		}
	}
	delta := costs[1].Sub(costs[0])
	if calls[0] == 0 || calls[1] == 0 {
		return Terms{Volume: delta}
	}
	all := make([][2]factors, len(cells))
	for i, p := range cells {
		f := &all[i]
		for s, r := range []Row{p.Was, p.Is} {
			f[s].share = rat(r.Calls, calls[s])
			if r.Calls == 0 {
				continue // borrowed as a whole below
			}
			var input int64
			for _, c := range inputs {
				input += r.ClassTokens[c]
			}
			f[s].input = rat(input, r.Calls)
			for _, c := range inputs {
				if input > 0 {
					f[s].split[c] = rat(r.ClassTokens[c], input)
				}
			}
			for _, c := range others {
				f[s].perCall[c] = rat(r.ClassTokens[c], r.Calls)
			}
			for _, c := range slices.Concat(inputs, others) {
				if r.ClassTokens[c] > 0 {
					f[s].price[c] = new(big.Rat).Quo(amount(r.Classes[c]), rat(r.ClassTokens[c], 1))
				}
			}
		}
		for s := range f {
			mine, theirs := &f[s], &f[1-s]
			if mine.input == nil {
				mine.input, mine.split, mine.perCall, mine.price = theirs.input, theirs.split, theirs.perCall, theirs.price
				continue
			}
			for c := range usage.NumClasses {
				if mine.split[c] == nil {
					mine.split[c] = theirs.split[c]
				}
				if mine.price[c] == nil {
					mine.price[c] = theirs.price[c]
				}
			}
		}
	}
	// cost takes each factor from the period that choose names for it: calls,
	// shares, tokens per call, split, prices.
	cost := func(choose [5]int) *big.Rat {
		sum := new(big.Rat)
		for i := range all {
			f := &all[i]
			if f[0].input == nil {
				continue // no calls in either period
			}
			perCall := new(big.Rat)
			add := func(c usage.Class, tokens, part *big.Rat) {
				if price := f[choose[4]].price[c]; price != nil && part != nil {
					perCall.Add(perCall, new(big.Rat).Mul(new(big.Rat).Mul(tokens, part), price))
				}
			}
			for _, c := range inputs {
				add(c, f[choose[2]].input, f[choose[3]].split[c])
			}
			for _, c := range others {
				add(c, f[choose[2]].perCall[c], rat(1, 1))
			}
			sum.Add(sum, perCall.Mul(perCall, f[choose[1]].share))
		}
		return sum.Mul(sum, rat(calls[choose[0]], 1))
	}
	var terms [5]money.Total
	choose := [5]int{}
	for k := range terms {
		before := cost(choose)
		choose[k] = 1
		terms[k] = roundRat(new(big.Rat).Sub(cost(choose), before))
	}
	t := Terms{Volume: terms[0], ModelMix: terms[1], TokensPerCall: terms[2], CacheMix: terms[3], Price: terms[4]}
	t.Other = delta.Sub(t.Sum())
	return t
}

// roundRat rounds half-even by looking at the two neighbours.
func roundRat(r *big.Rat) money.Total {
	low := new(big.Int).Div(r.Num(), r.Denom())
	high := new(big.Int).Add(low, big.NewInt(1))
	down := new(big.Rat).Sub(r, new(big.Rat).SetInt(low))
	up := new(big.Rat).Sub(new(big.Rat).SetInt(high), r)
	n := low
	if c := up.Cmp(down); c < 0 || c == 0 && low.Bit(0) == 1 {
		n = high
	}
	t, err := money.TotalFromBig(n)
	if err != nil {
		panic(err)
	}
	return t
}

// genRow draws what a cell may come to in a period; few small numbers, so that
// zeros, ties and equal values happen.
func genRow(t *rapid.T, label string) Row {
	var r Row
	if rapid.IntRange(0, 4).Draw(t, label+" missing") == 0 {
		return r
	}
	r.Calls = rapid.SampledFrom([]int64{1, 2, 3, 7, 10, 1_000_003}).Draw(t, label+" calls")
	for c := range usage.NumClasses {
		amount := rapid.OneOf(rapid.Int64Range(0, 6), rapid.Int64Range(0, 9_000_000_000_000_000_000)).Draw(t, label+" cost")
		if rapid.Bool().Draw(t, label+" tokens") {
			if c < usage.ClassUnits {
				r.ClassTokens[c] = rapid.OneOf(rapid.Int64Range(1, 6), rapid.Int64Range(1, 1_000_000_000_000)).Draw(t, label+" count")
			}
		} else if rapid.Bool().Draw(t, label+" free") {
			amount = 0
		}
		r.Classes[c] = money.TotalOf(money.USD(amount))
		r.Cost = r.Cost.Plus(r.Classes[c])
	}
	return r
}

func genPairs(t *rapid.T) []Pair {
	cells := make([]Pair, rapid.IntRange(0, 4).Draw(t, "cells"))
	for i := range cells {
		cells[i].Was = genRow(t, "was")
		cells[i].Is = genRow(t, "is")
		if rapid.IntRange(0, 5).Draw(t, "same") == 0 {
			cells[i].Is = cells[i].Was
		}
	}
	return cells
}

func explain(t interface{ Fatal(...any) }, cells []Pair) Terms {
	terms, err := Explain(cells)
	if err != nil {
		t.Fatal(err)
	}
	return terms
}

func change(cells []Pair) (delta money.Total, was, is int64) {
	for _, p := range cells {
		delta = delta.Plus(p.Is.Cost).Sub(p.Was.Cost)
		was, is = was+p.Was.Calls, is+p.Is.Calls
	}
	return delta, was, is
}

func TestTermsAreThoseOfTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cells := genPairs(t)
		got, want := explain(t, cells), byDefinition(cells)
		if d := cmp.Diff(want, got, cmp.AllowUnexported(money.Total{})); d != "" {
			t.Fatalf("by definition -, got +:\n%s", d)
		}
	})
}

func TestTermsSumToTheChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cells := genPairs(t)
		delta, was, is := change(cells)
		terms := explain(t, cells)
		if terms.Sum() != delta {
			t.Fatalf("terms %+v sum to %v, want %v", terms, terms.Sum(), delta)
		}
		if (was == 0 || is == 0) && terms != (Terms{Volume: delta}) {
			t.Fatalf("a row of one period only has %+v, want all of it as volume", terms)
		}
		if (terms.Main() == NoTerm) != (delta.Sign() == 0) {
			t.Fatalf("main term %q of a change of %v", terms.Main(), delta)
		}
	})
}

// The order of cells has no meaning, and cells without calls none at all.
func TestTermsKnowNoOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cells := genPairs(t)
		want := explain(t, cells)
		other := append(slices.Clone(cells), Pair{})
		slices.Reverse(other)
		if got := explain(t, other); got != want {
			t.Fatalf("reversed: %+v, want %+v", got, want)
		}
	})
}

// Swapping the periods turns the change round. The terms need not turn: each step
// starts from what the steps before it made. They do where only one step changes
// anything, and what is other, up to a picodollar for each rounded term.
func TestSwappedPeriods(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cells := genPairs(t)
		swapped := slices.Clone(cells)
		for i, p := range cells {
			swapped[i] = Pair{Was: p.Is, Is: p.Was}
		}
		forth, back := explain(t, cells), explain(t, swapped)
		if forth.Sum() != back.Sum().Neg() {
			t.Fatalf("forth %v, back %v", forth.Sum(), back.Sum())
		}
		rest, _ := forth.Other.Plus(back.Other).Int64()
		if rest < -5 || rest > 5 {
			t.Fatalf("other forth %v, back %v", forth.Other, back.Other)
		}
		if onlyVolume := (Terms{Volume: forth.Volume}); forth == onlyVolume && back == (Terms{Volume: back.Volume}) && forth.Volume != back.Volume.Neg() {
			t.Fatalf("volume forth %v, back %v", forth.Volume, back.Volume)
		}
	})
}

func TestSamePeriodsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cells := genPairs(t)
		for i := range cells {
			cells[i].Is = cells[i].Was
		}
		if terms := explain(t, cells); terms != (Terms{}) {
			t.Fatalf("nothing changed and the terms are %+v", terms)
		}
	})
}

// only checks that a change shows in one term and, for what tokens do not
// explain, in other.
func only(t *rapid.T, cells []Pair, want func(*Terms) *money.Total) {
	terms := explain(t, cells)
	delta, _, _ := change(cells)
	*want(&terms), terms.Other = money.Total{}, money.Total{}
	if terms != (Terms{}) {
		t.Fatalf("a change of %v also shows in %+v", delta, terms)
	}
}

// genSteady draws cells that all have calls and that tokens explain wholly.
func genSteady(t *rapid.T) []Pair {
	cells := make([]Pair, rapid.IntRange(1, 4).Draw(t, "cells"))
	for i := range cells {
		r := &cells[i].Was
		r.Calls = rapid.Int64Range(1, 1000).Draw(t, "calls")
		for _, c := range slices.Concat(inputClasses[:], otherClasses[:]) {
			if r.ClassTokens[c] = rapid.Int64Range(0, 1_000_000).Draw(t, "tokens"); r.ClassTokens[c] > 0 {
				r.Classes[c] = money.TotalOf(money.USD(rapid.Int64Range(0, 1_000_000_000).Draw(t, "cost")))
				r.Cost = r.Cost.Plus(r.Classes[c])
			}
		}
		cells[i].Is = *r
	}
	return cells
}

func times(t money.Total, n int64) money.Total { return t.RatioHalfEven(n, 1) }

func recost(r *Row) {
	r.Cost = money.Total{}
	for _, c := range r.Classes {
		r.Cost = r.Cost.Plus(c)
	}
}

// What scales all calls alike is volume and nothing else, exactly.
func TestMoreOfTheSameIsVolume(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cells := genSteady(t)
		k := rapid.Int64Range(2, 1000).Draw(t, "times")
		for i := range cells {
			r := &cells[i].Is
			r.Calls *= k
			for c := range r.Classes {
				r.ClassTokens[c] *= k
				r.Classes[c] = times(r.Classes[c], k)
			}
			recost(r)
		}
		delta, _, _ := change(cells)
		if got := explain(t, cells); got != (Terms{Volume: delta}) {
			t.Fatalf("%d times the calls: %+v, want volume %v", k, got, delta)
		}
	})
}

func TestOnlyPricesChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cells := genSteady(t)
		for i := range cells {
			r := &cells[i].Is
			for c := range r.Classes {
				if r.ClassTokens[c] > 0 {
					r.Classes[c] = money.TotalOf(money.USD(rapid.Int64Range(0, 1_000_000_000).Draw(t, "new cost")))
				}
			}
			recost(r)
		}
		delta, _, _ := change(cells)
		if got := explain(t, cells); got != (Terms{Price: delta}) {
			t.Fatalf("new prices: %+v, want price %v", got, delta)
		}
	})
}

// The same prices, each call k times as long.
func TestOnlyLengthChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cells := genSteady(t)
		k := rapid.Int64Range(2, 100).Draw(t, "times")
		for i := range cells {
			r := &cells[i].Is
			for c := range r.Classes {
				r.ClassTokens[c] *= k
				r.Classes[c] = times(r.Classes[c], k)
			}
			recost(r)
		}
		only(t, cells, func(t *Terms) *money.Total { return &t.TokensPerCall })
	})
}

// Tokens move between uncached input and cache reads at whole prices.
func TestOnlyTheCacheChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		full := rapid.Int64Range(1, 10_000).Draw(t, "full price")
		cached := rapid.Int64Range(0, full).Draw(t, "cached price")
		tokens := rapid.Int64Range(2, 1_000_000).Draw(t, "tokens")
		row := func(read int64) (r Row) {
			r.Calls = 3
			r.ClassTokens[usage.ClassInput], r.ClassTokens[usage.ClassCacheRead] = tokens-read, read
			r.Classes[usage.ClassInput] = money.TotalOf(money.USD((tokens - read) * full))
			r.Classes[usage.ClassCacheRead] = money.TotalOf(money.USD(read * cached))
			recost(&r)
			return r
		}
		cells := []Pair{{row(rapid.Int64Range(1, tokens).Draw(t, "was read")), row(rapid.Int64Range(1, tokens-1).Draw(t, "is read"))}}
		if cells[0].Was.ClassTokens[usage.ClassInput] == 0 {
			return // the full price is known from the other period then, which is another test
		}
		delta, _, _ := change(cells)
		if got := explain(t, cells); got != (Terms{CacheMix: delta}) {
			t.Fatalf("only the cache changed: %+v, want cacheMix %v", got, delta)
		}
	})
}

// Calls move between models that stay what they are.
func TestOnlyTheMixChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cells := make([]Pair, 3)
		perm := rapid.Permutation([]int64{5, 20, 75}).Draw(t, "calls")
		for i := range cells {
			price := rapid.Int64Range(1, 1_000_000).Draw(t, "price of a call")
			row := func(calls int64) (r Row) {
				r.Calls = calls
				r.ClassTokens[usage.ClassOutput] = calls * 100
				r.Classes[usage.ClassOutput] = money.TotalOf(money.USD(calls * price))
				recost(&r)
				return r
			}
			cells[i] = Pair{row([]int64{5, 20, 75}[i]), row(perm[i])}
		}
		delta, _, _ := change(cells)
		if got := explain(t, cells); got != (Terms{ModelMix: delta}) {
			t.Fatalf("only the mix changed: %+v, want modelMix %v", got, delta)
		}
	})
}

// A worked example, by hand.
func TestTermsByHand(t *testing.T) {
	usd := func(s string) money.Total {
		v, err := money.ParseTotal(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	// Ten calls of 100 input tokens at 0.01 and 10 output tokens at 0.1 become
	// twenty calls of 200 at 0.01, half of them read from a cache at 0.001, and 10
	// at 0.2; and there is a fee of 3.
	was := Row{Calls: 10, Cost: usd("20")}
	was.ClassTokens[usage.ClassInput], was.Classes[usage.ClassInput] = 1000, usd("10")
	was.ClassTokens[usage.ClassOutput], was.Classes[usage.ClassOutput] = 100, usd("10")
	is := Row{Calls: 20, Cost: usd("65")}
	is.ClassTokens[usage.ClassInput], is.Classes[usage.ClassInput] = 2000, usd("20")
	is.ClassTokens[usage.ClassCacheRead], is.Classes[usage.ClassCacheRead] = 2000, usd("2")
	is.ClassTokens[usage.ClassOutput], is.Classes[usage.ClassOutput] = 200, usd("40")
	is.Classes[usage.ClassUnits] = usd("3")
	want := Terms{
		Volume: usd("20"), TokensPerCall: usd("20"), // 2 × 1000 tokens more at 0.01
		CacheMix: usd("-18"), // 2000 tokens at 0.001 instead of 0.01, the price borrowed
		Price:    usd("20"), Other: usd("3"),
	}
	got := explain(t, []Pair{{was, is}})
	if d := cmp.Diff(want, got, cmp.AllowUnexported(money.Total{})); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	if got.Main() != TermVolume {
		t.Errorf("main term %q", got.Main())
	}
}

// What someone may send: terms beyond 127 bits are an error, thousands of models
// with denominators that have nothing in common take no time.
func TestTermsOfHostileCells(t *testing.T) {
	huge := money.TotalOf(money.Max)
	for range 40 {
		huge = huge.Plus(huge)
	}
	was, is := Row{Calls: 1, Cost: huge}, Row{Calls: 1}
	was.ClassTokens[usage.ClassOutput], was.Classes[usage.ClassOutput] = 1, huge
	is.ClassTokens[usage.ClassOutput] = 1 << 62
	if _, err := Explain([]Pair{{was, is}}); err == nil {
		t.Error("a term beyond 127 bits is no error")
	}
	cells := make([]Pair, 20_000)
	for i := range cells {
		for s, r := range []*Row{&cells[i].Was, &cells[i].Is} {
			r.Calls = int64(1_000_003 + 2*i + s)
			for c := range usage.ClassUnits {
				r.ClassTokens[c] = int64(1_000_000_007+i*14) + int64(c)
				r.Classes[c] = money.TotalOf(money.USD(i*1_000_003 + int(c)))
			}
			recost(r)
		}
	}
	delta, _, _ := change(cells)
	if terms := explain(t, cells); terms.Sum() != delta {
		t.Errorf("terms sum to %v, want %v", terms.Sum(), delta)
	}
}
