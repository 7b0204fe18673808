package pricing

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// Explanation tells why a call has its price.
type Explanation struct {
	Provider   string `json:"provider"`
	Model      string `json:"model"`
	ProviderID string `json:"providerId"`
	ModelID    string `json:"modelId"`
	// ProviderBy says how the provider was recognised: id, alias, rule, gateway
	// or unknown.
	ProviderBy string `json:"providerBy"`
	// Source is "catalog" or "unpriced", PriceID the version that was chosen.
	Source  string `json:"source"`
	PriceID string `json:"priceId,omitempty"`
	// Fallback is "tier" or "region" when the standard price was taken.
	Fallback string `json:"fallback,omitempty"`
	// Because is the answer in one sentence.
	Because string `json:"because"`
	// Tried are the names that were looked for in the shipped book, in order;
	// the last one is the one that was found, if any.
	Tried []Tried `json:"tried,omitempty"`
	// Candidates are the versions that could apply, in precedence.
	Candidates []Candidate `json:"candidates,omitempty"`
	// Listed are the providers whose own list knows the model, when the call's
	// provider was not given or is not known.
	Listed []string `json:"listed,omitempty"`
}

// Tried is one look-up of a name in one provider's list.
type Tried struct {
	Provider string `json:"provider"`
	Name     string `json:"name"`
	// Stripped says what was taken off the name as it was sent.
	Stripped string `json:"stripped,omitempty"`
	// Model is what was found, by id, alias or rule.
	Model string `json:"model,omitempty"`
	By    string `json:"by,omitempty"`
	Rule  string `json:"rule,omitempty"`
}

// Candidate is a version that could apply and what became of it.
type Candidate struct {
	Version Version `json:"version"`
	Chosen  bool    `json:"chosen"`
	// Why says why it was chosen or lost.
	Why string `json:"why"`
}

// Explain tells how the price of a call is found. It takes the same way as
// Quote, past the cache.
func (b *Book) Explain(c Call) Explanation {
	tr := &trace{}
	r := b.find(c.Provider, c.Model, tr)
	tier, region := TierName(c.ServiceTier), regionName(c.Region)
	ch := r.choose(c.Project, tier, region, &c)
	e := Explanation{
		Provider: c.Provider, Model: c.Model, ProviderID: r.providerID, ModelID: r.modelID,
		ProviderBy: b.providerBy(c.Provider, tr), Source: "unpriced", Tried: tr.tried,
		Fallback: ch.miss.String(),
	}
	if e.ProviderBy == "unknown" {
		e.Listed = b.listing(c.Model)
	}
	for _, set := range r.candidates(c.Project) {
		for _, p := range set {
			e.Candidates = append(e.Candidates, Candidate{
				Version: p.Version, Chosen: p == ch.price, Why: whyNot(p, ch.price, tier, region, &c),
			})
		}
	}
	if ch.price == nil {
		e.Because = whyUnpriced(&e, r)
		return e
	}
	e.Source, e.PriceID = "catalog", ch.price.ID
	e.Because = b.because(r, ch, tr)
	return e
}

func (b *Book) providerBy(sent string, tr *trace) string {
	if tr.providerBy != "" {
		return tr.providerBy
	}
	lower := lowerName(sent)
	p := b.providerOf(lower)
	switch {
	case p == nil || len(sent) > maxName:
		return "unknown"
	case lower == strings.ToLower(p.id):
		return "id"
	case b.providerNames[lower] == p:
		return "alias"
	}
	return "rule"
}

// candidates lists every version that the names lead to, in precedence.
func (r *resolution) candidates(project string) [][]*price {
	var out [][]*price
	add := func(o *offer) {
		if o == nil {
			return
		}
		var set []*price
		for _, s := range o.schedules {
			for _, p := range s.periods {
				for _, v := range append(slices.Clone(p.windows), p.base) {
					if v != nil && !slices.Contains(set, v) {
						set = append(set, v)
					}
				}
			}
		}
		out = append(out, set)
	}
	if project != "" {
		for _, o := range r.own {
			add(o.projects[project])
		}
	}
	for _, o := range r.own {
		add(o.projects[""])
	}
	if r.listed != nil {
		add(r.listed.offer)
	}
	return out
}

// Reach yields the versions that could price a call of c's names and project at
// some time from c.At to last, both included, whatever its tier, its region and
// the time of day.
func (b *Book) Reach(c Call, last time.Time) iter.Seq[Version] {
	return func(yield func(Version) bool) {
		for _, set := range b.resolve(c.Provider, c.Model).candidates(c.Project) {
			for _, p := range set {
				if startMicros(p.From) <= last.UnixMicro() && c.At.UnixMicro() < endMicros(p.To) && !yield(p.Version) {
					return
				}
			}
		}
	}
}

func whyNot(p, chosen *price, tier, region string, c *Call) string {
	micros := c.At.UnixMicro()
	switch {
	case p == chosen:
		return "in force at the call's time, and the most specific that is"
	case micros < startMicros(p.From):
		return "not in force yet: it starts " + p.From.Format(timeForm)
	case micros >= endMicros(p.To):
		return "no longer in force: it ended " + p.To.Format(timeForm)
	case p.window != nil && !p.window.contains(c.At):
		return "the call's time of day or weekday is outside its window"
	case p.ServiceTier != tier && p.ServiceTier != "":
		return fmt.Sprintf("it is for service tier %q", p.ServiceTier)
	case p.Region != region && p.Region != "":
		return fmt.Sprintf("it is for region %q", p.Region)
	}
	return "another one comes first: a project's own price before one for all projects before a shipped one, then tier, region and window"
}

const timeForm = "2006-01-02T15:04:05Z07:00"

func whyUnpriced(e *Explanation, r *resolution) string {
	switch {
	case strings.TrimSpace(e.Provider) == "" || strings.TrimSpace(e.Model) == "":
		return "a price needs a provider and a model"
	case len(e.Provider) > maxName || len(e.Model) > maxName:
		return "the name is too long to be a model's"
	case len(e.Candidates) > 0:
		return "none of the model's prices is in force at the call's time"
	case e.ProviderBy == "unknown":
		return fmt.Sprintf("the price book has no provider %q, and a vendor's list price is not what another one charges; put an own price", r.providerID)
	}
	return fmt.Sprintf("the price book has no model %q of provider %s under any of the names tried; put an own price", r.modelID, r.providerID)
}

func (b *Book) because(r *resolution, ch chosen, tr *trace) string {
	v := &ch.price.Version
	var s strings.Builder
	if b.versions[v.ID] == v {
		fmt.Fprintf(&s, "%s lists %s (%s)", v.Provider, v.Model, v.Source)
		f := tr.found
		fmt.Fprintf(&s, ", found by %s", f.by)
		if f.rule != "" {
			fmt.Fprintf(&s, ": the name %s", f.rule)
		}
		if f.form.how != "" {
			fmt.Fprintf(&s, ", after taking off %s: %q", f.form.how, f.form.name)
		}
		if v.Provider != r.providerID {
			fmt.Fprintf(&s, "; %s serves it at that price", r.providerID)
		}
	} else {
		fmt.Fprintf(&s, "an own price for %s %s", v.Provider, v.Model)
		if v.Project != "" {
			fmt.Fprintf(&s, " in project %s", v.Project)
		}
	}
	if ch.miss.tier {
		s.WriteString("; the service tier has no price of its own, so the standard one applies")
	}
	if ch.miss.region {
		s.WriteString("; the region has no price of its own, so the one for any region applies")
	}
	return s.String()
}

// listing names the providers whose list knows a model, likely ones first: the
// one that the name itself names ("openai/gpt-4o"), then those whose models are
// called so.
func (b *Book) listing(modelSent string) []string {
	name := strings.TrimSpace(modelSent)
	if name == "" || len(modelSent) > maxName {
		return nil
	}
	lower := strings.ToLower(name)
	var named *provider
	if before, _, ok := strings.Cut(lower, "/"); ok {
		named = b.providerOf(before)
	}
	var first, likely, others []string
	for _, p := range b.providers {
		forms := b.forms(p, name)
		i := slices.IndexFunc(forms, func(f form) bool {
			m, _, _ := p.find(strings.ToLower(f.name))
			return m != nil
		})
		switch {
		case i < 0:
		case p == named:
			first = append(first, p.id)
		case p.modelMatch != nil && (p.modelMatch(lower) || p.modelMatch(strings.ToLower(forms[i].name))):
			likely = append(likely, p.id)
		default:
			others = append(others, p.id)
		}
	}
	return slices.Concat(first, likely, others)
}
