package analytics

import (
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// Terms is what a change of cost is made of. They sum to the change exactly.
type Terms struct {
	// Volume is what more or fewer calls change, each costing what it did.
	Volume money.Total
	// ModelMix is what other shares of the calls per provider, model and tier
	// change.
	ModelMix money.Total
	// TokensPerCall is what more or fewer tokens in a call change.
	TokensPerCall money.Total
	// CacheMix is what another split of the input among the cache classes changes.
	CacheMix money.Total
	// Price is what another mean cost of a token changes.
	Price money.Total
	// Other is what tokens do not explain: per-unit fees, costs known only as one
	// sum, and what rounding the terms left.
	Other money.Total
}

// Term is the name of one of the Terms.
type Term string

// The terms; NoTerm stands for no change.
const (
	NoTerm            Term = ""
	TermVolume        Term = "volume"
	TermModelMix      Term = "modelMix"
	TermTokensPerCall Term = "tokensPerCall"
	TermCacheMix      Term = "cacheMix"
	TermPrice         Term = "price"
	TermOther         Term = "other"
)

// Sum is the change that the terms explain.
func (t *Terms) Sum() money.Total {
	return t.Volume.Plus(t.ModelMix).Plus(t.TokensPerCall).Plus(t.CacheMix).Plus(t.Price).Plus(t.Other)
}

// Main is the term that goes furthest in the direction of the change, the first
// one of equals; NoTerm when nothing changed.
func (t *Terms) Main() Term {
	direction := t.Sum().Sign()
	if direction == 0 {
		return NoTerm
	}
	main, most := NoTerm, money.Total{}
	for _, c := range [...]struct {
		name  Term
		value money.Total
	}{
		{TermVolume, t.Volume}, {TermModelMix, t.ModelMix}, {TermTokensPerCall, t.TokensPerCall},
		{TermCacheMix, t.CacheMix}, {TermPrice, t.Price}, {TermOther, t.Other},
	} {
		if direction < 0 {
			c.value = c.value.Neg()
		}
		if c.value.Cmp(most) > 0 {
			main, most = c.name, c.value
		}
	}
	return main
}

// Pair is the calls of one provider, model and tier in two periods. Of the rows
// it takes Calls, Cost, Classes and ClassTokens; the tokens of all classes
// together must fit 63 bits.
type Pair struct{ Was, Is Row }

// The classes that tokens are counted in: those that split the input by what the
// cache did, and the rest.
var (
	inputClasses = [...]usage.Class{usage.ClassInput, usage.ClassCacheRead, usage.ClassCacheWrite, usage.ClassCacheWrite1h}
	otherClasses = [...]usage.Class{usage.ClassOutput, usage.ClassReasoning, usage.ClassMedia}
)

// Explain says what the change of cost from Was to Is is made of, over the cells
// of one row, each provider, model and tier being there once.
//
// The cost of tokens is
//
//	calls × Σ share of the cell × Σ tokens per call of the class × mean cost per token
//
// with the input's tokens per call being their total × the split by class. From
// the old values to the new ones the factors are replaced one after the other, in
// the order of Terms, and each term is what its step changes. What a cell lacks
// in one period (all of it, its input, a class) it takes from the other. A row
// without calls in one period is all volume.
//
// The arithmetic is of exact rationals, each term rounded half-even to a
// picodollar at the end. fault.Invalid when a term does not fit 127 bits.
func Explain(cells []Pair) (Terms, error) {
	var was, is side
	for i := range cells {
		was.add(&cells[i].Was)
		is.add(&cells[i].Is)
	}
	delta := is.cost.Sub(was.cost)
	if was.calls == 0 || is.calls == 0 {
		return Terms{Volume: delta}, nil
	}
	// What tokens cost after each step: with the new number of calls, with the new
	// shares, with the new tokens per call, with the new split, with the new prices.
	var mixed, longer, cached, priced fractions
	for i := range cells {
		old, now := &cells[i].Was, &cells[i].Is
		if now.Calls == 0 {
			continue
		}
		if old.Calls == 0 {
			cost := tokenCost(now)
			for _, step := range [...]*fractions{&mixed, &longer, &cached, &priced} {
				step.whole(cost)
			}
			continue
		}
		mixed.add(tokenCost(old), now.Calls, old.Calls)
		priced.whole(tokenCost(now))
		var input group
		for _, c := range inputClasses {
			input.add(old, now, c)
			atOldPrice(&cached, old, now, c)
		}
		if input.was > 0 {
			longer.add(input.cost, input.is, input.was)
		} else {
			longer.whole(input.now) // the split and the prices are the new ones
		}
		for _, c := range otherClasses {
			atOldPrice(&cached, old, now, c)
			atOldPrice(&longer, old, now, c)
		}
	}
	var steps [5]quotient
	var voluminous fractions
	voluminous.add(was.tokens, is.calls, was.calls)
	for i, f := range [...]*fractions{&voluminous, &mixed, &longer, &cached, &priced} {
		steps[i] = f.sum()
	}
	var t Terms
	before := whole(was.tokens)
	for i, term := range [...]*money.Total{&t.Volume, &t.ModelMix, &t.TokensPerCall, &t.CacheMix, &t.Price} {
		var err error
		if *term, err = steps[i].minus(before).total(); err != nil {
			return Terms{}, errTerms()
		}
		before = steps[i]
	}
	t.Other = delta.Sub(t.Sum())
	return t, nil
}

// side is what a row comes to in one period.
type side struct {
	calls        int64
	cost, tokens money.Total
}

func (s *side) add(r *Row) {
	s.calls += r.Calls
	s.cost = s.cost.Plus(r.Cost)
	s.tokens = s.tokens.Plus(tokenCost(r))
}

// tokenCost is the cost that tokens explain: that of the classes with tokens.
func tokenCost(r *Row) money.Total {
	var t money.Total
	for _, c := range inputClasses {
		t = t.Plus(classCost(r, c))
	}
	for _, c := range otherClasses {
		t = t.Plus(classCost(r, c))
	}
	return t
}

// classCost is the class's cost, if it has tokens that cost it.
func classCost(r *Row, c usage.Class) money.Total {
	if r.ClassTokens[c] == 0 {
		return money.Total{}
	}
	return r.Classes[c]
}

// atOldPrice adds the class's new tokens at its old mean cost per token; one that
// had no tokens takes the new cost.
func atOldPrice(f *fractions, old, now *Row, c usage.Class) {
	switch {
	case now.ClassTokens[c] == 0:
	case old.ClassTokens[c] == 0:
		f.whole(now.Classes[c])
	default:
		f.add(old.Classes[c], now.ClassTokens[c], old.ClassTokens[c])
	}
}

// group is the input of a cell, its classes together.
type group struct {
	was, is   int64 // tokens
	cost, now money.Total
}

func (g *group) add(old, now *Row, c usage.Class) {
	g.was += old.ClassTokens[c]
	g.is += now.ClassTokens[c]
	g.cost = g.cost.Plus(classCost(old, c))
	g.now = g.now.Plus(classCost(now, c))
}
