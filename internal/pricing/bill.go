package pricing

import (
	"math"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// bill is one call priced, before anybody asks for its lines.
type bill struct {
	classes [usage.NumClasses]money.USD
	saving  money.USD
	charges [usage.NumUnits]charge
	n       int
	// bare lists the units that were counted and have no price at all.
	bare  [usage.NumUnits]usage.Unit
	nBare int
}

type charge struct {
	unit     usage.Unit
	rate     *Rate
	counted  int64
	quantity int64 // what is charged for: counted, or the minimum
	price    money.USD
	amount   money.USD
}

// at is the price of one unit for a call with so many input tokens: a cliff
// reprices all of them.
func (r *Rate) at(inputTokens int64) money.USD {
	p := r.Price
	for _, s := range r.Above {
		if inputTokens <= s.InputTokens {
			break
		}
		p = s.Price
	}
	return p
}

// bill prices counts. It returns fault.Invalid for sums that cannot be and for
// a cost above money.Max.
func (p *price) bill(c *usage.Counts, out *bill) error {
	buckets, bad := c.Buckets()
	if len(bad) > 0 {
		return impossible(bad)
	}
	if buckets[usage.Requests] == 0 && p.rate[usage.Requests] >= 0 {
		buckets[usage.Requests] = 1 // a call is a request, unless it says how many
	}
	inputTokens := c[usage.Input]
	var total money.USD
	for i, q := range buckets {
		if q == 0 {
			continue
		}
		u := usage.Unit(i)
		if p.rate[u] < 0 {
			out.bare[out.nBare] = u
			out.nBare++
			continue
		}
		r := &p.Rates[p.rate[u]]
		ch := charge{unit: u, rate: r, counted: q, quantity: q, price: r.at(inputTokens)}
		if r.Unit == u && q < r.Minimum {
			ch.quantity = r.Minimum
		}
		info := &usage.Units[u]
		amount, err := money.MulDiv(ch.quantity, ch.price, info.Per)
		if err == nil {
			total, err = total.Add(amount)
		}
		if err != nil || total > money.Max {
			return tooDear(u)
		}
		ch.amount = amount
		out.classes[info.Class] += amount
		out.charges[out.n] = ch
		out.n++
		if err := p.save(u, &ch, inputTokens, out); err != nil {
			return err
		}
	}
	return nil
}

// uncached is the unit that a cached or cache-written token would have been.
var uncached = [usage.NumUnits]usage.Unit{
	usage.CacheRead: usage.Input, usage.CacheWrite: usage.Input, usage.CacheWrite1h: usage.Input,
	usage.CachedAudio: usage.InputAudio, usage.CachedImage: usage.InputImage,
}

// save adds what caching saved on one line: the full input price less what the
// line costs.
func (p *price) save(u usage.Unit, ch *charge, inputTokens int64, out *bill) error {
	switch u {
	case usage.CacheRead, usage.CacheWrite, usage.CacheWrite1h, usage.CachedAudio, usage.CachedImage:
	default:
		return nil
	}
	i := p.rate[uncached[u]]
	if i < 0 {
		return nil // without a full price nothing can be said
	}
	full, err := money.MulDiv(ch.counted, p.Rates[i].at(inputTokens), usage.Units[u].Per)
	if err == nil {
		out.saving, err = out.saving.Add(full - ch.amount)
	}
	if err != nil {
		return tooMuchSaved(u)
	}
	return nil
}

// lines lists the charges in unit order. fallback names what the whole call had
// no price for; a line's own lack comes first.
func (b *bill) lines(fallback string) []Line {
	lines := make([]Line, 0, b.n)
	for i := range b.n {
		c := &b.charges[i]
		l := Line{
			Unit: usage.Units[c.unit].Price, Quantity: c.quantity, Price: c.price,
			Per: usage.Units[c.unit].Per, Amount: c.amount, Fallback: fallback,
		}
		if c.quantity != c.counted {
			l.Counted = c.counted
		}
		if c.rate.Unit != c.unit {
			l.Fallback = "unit"
		}
		lines = append(lines, l)
	}
	return lines
}

// Lines prices counts by this version alone, as they were priced when it was
// chosen. It returns fault.Invalid as Quote does.
func (v Version) Lines(counts *usage.Counts) ([]Line, error) {
	p, err := prepare(v)
	if err != nil {
		return nil, &fault.Error{Code: fault.Internal, Message: "price version " + v.ID + " is not valid", Err: err}
	}
	var b bill
	if err := p.bill(counts, &b); err != nil {
		return nil, err
	}
	return b.lines(""), nil
}

func impossible(bad []usage.Problem) error {
	e := &fault.Error{Code: fault.Invalid, Message: "Validation failed", Details: make(map[string][]string, len(bad))}
	for _, p := range bad {
		e.Details[p.Field] = append(e.Details[p.Field], p.Rule)
	}
	return e
}

func tooDear(u usage.Unit) error {
	return fault.Field(u.Field(), "makes the call cost more than "+money.Max.String()+" USD")
}

func tooMuchSaved(u usage.Unit) error {
	return fault.Field(u.Field(), "would have cost more than "+money.USD(math.MaxInt64).String()+" USD without the cache")
}
