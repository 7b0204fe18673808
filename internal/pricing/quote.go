package pricing

import (
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// chosen is the version that prices a call.
type chosen struct {
	price *price
	miss  missing
}

// choose finds the version for a call: the project's own prices, then those of
// all projects, then the shipped one; among own prices the most specific name
// first.
func (r *resolution) choose(project, tier, region string, c *Call) chosen {
	if project != "" {
		for _, o := range r.own {
			if offer := o.projects[project]; offer != nil {
				if p, miss := offer.pick(tier, region, c.At); p != nil {
					return chosen{p, miss}
				}
			}
		}
	}
	for _, o := range r.own {
		if offer := o.projects[""]; offer != nil {
			if p, miss := offer.pick(tier, region, c.At); p != nil {
				return chosen{p, miss}
			}
		}
	}
	if r.listed == nil {
		return chosen{}
	}
	want := place{tier, region}
	if r.borrowed {
		want = place{}
	}
	p, miss := r.listed.offer.pick(want.tier, want.region, c.At)
	miss.tier = miss.tier || p != nil && want.tier != tier
	miss.region = miss.region || p != nil && (r.regionless || want.region != region)
	return chosen{p, miss}
}

// rate is the one way from a call to its cost. The chosen price is nil when
// there is none.
func (b *Book) rate(c *Call, out *bill) (*resolution, chosen, error) {
	r := b.resolve(c.Provider, c.Model)
	ch := r.choose(c.Project, TierName(c.ServiceTier), regionName(c.Region), c)
	if ch.price == nil {
		return r, ch, nil
	}
	return r, ch, ch.price.bill(&c.Counts, out)
}

func (ch *chosen) costing(b *bill) usage.Costing {
	if ch.price == nil {
		return usage.Costing{Source: usage.SourceUnpriced}
	}
	return usage.Costing{
		Classes: b.classes, CacheSaving: b.saving, Source: usage.SourceCatalog,
		PriceID: ch.price.ID, Fallback: ch.miss.tier || ch.miss.region,
	}
}

func (m missing) String() string {
	switch {
	case m.tier:
		return "tier"
	case m.region:
		return "region"
	}
	return ""
}

// Quote prices a call. A model without a price is no error: its source is
// unpriced and it has no lines. fault.Invalid reports counts that cannot be and
// a cost above money.Max.
func (b *Book) Quote(c Call) (Quote, error) {
	var sum bill
	r, ch, err := b.rate(&c, &sum)
	if err != nil {
		return Quote{}, err
	}
	q := Quote{
		Costing: ch.costing(&sum), ProviderID: r.providerID, ModelID: r.modelID,
		Lines: sum.lines(ch.miss.String()),
	}
	for _, u := range sum.bare[:sum.nBare] {
		q.Uncovered = append(q.Uncovered, usage.Units[u].Count)
	}
	return q, nil
}

// Price finds what an event cost and sets its ProviderID and ModelID: what was
// billed, else the book's price, else the caller's estimate. It returns
// fault.Invalid as Quote does.
func (b *Book) Price(e *usage.Event) (usage.Costing, error) {
	c := Call{
		Project: e.Project, Provider: e.Provider, Model: e.Model, At: e.Timestamp,
		Counts: e.Counts, ServiceTier: e.ServiceTier, Region: e.Region,
	}
	if e.Billed != nil {
		r := b.resolve(e.Provider, e.Model)
		e.ProviderID, e.ModelID = r.providerID, r.modelID
		return asOneSum(*e.Billed, usage.SourceBilled), nil
	}
	var sum bill
	r, ch, err := b.rate(&c, &sum)
	e.ProviderID, e.ModelID = r.providerID, r.modelID
	if err != nil {
		return usage.Costing{}, err
	}
	if ch.price == nil && e.Estimated != nil {
		return asOneSum(*e.Estimated, usage.SourceClient), nil
	}
	return ch.costing(&sum), nil
}

func asOneSum(amount money.USD, source usage.Source) usage.Costing {
	c := usage.Costing{Source: source}
	c.Classes[usage.ClassUnsplit] = amount
	return c
}

// Normalise gives the names under which a call is counted: the canonical
// provider (an unknown one as sent), and the model without what gateways and
// clouds add, dates and "-latest" kept. A model that the shipped book does not
// know stays as sent. It does not depend on own prices.
func (b *Book) Normalise(provider, model string) (providerID, modelID string) {
	r := b.resolve(provider, model)
	return r.providerID, r.modelID
}
