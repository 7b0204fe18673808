package pricing

import (
	"strings"
	"sync"
)

// resolution is what a provider's and a model's name mean, whatever the call.
type resolution struct {
	providerID, modelID string
	// listed is the shipped model, nil when the book has none.
	listed *model
	// borrowed says that listed is of a provider whose models this one serves at
	// its standard prices: what that one asks at other tiers and in its regions says
	// nothing about this one's.
	borrowed bool
	// regionless says that listed was found only without the name's region.
	regionless bool
	// own are the own prices that apply, most specific name first.
	own []*ownModel
}

// ownModel is one model's own prices by project; "" is all projects.
type ownModel struct {
	provider, model string
	projects        map[string]*offer
}

// finding says how a model was found, for explanations.
type finding struct {
	provider *provider
	form     form
	by       string // "id", "alias" or "rule"
	rule     string
}

// trace collects what Explain tells. A nil trace collects nothing.
type trace struct {
	providerBy string
	tried      []Tried
	found      finding
}

// resolve finds what names mean, from the cache when it can.
func (b *Book) resolve(provider, model string) *resolution {
	if r := b.cache.get(provider, model); r != nil {
		return r
	}
	// The names are parts of a request's body, which they must not keep alive.
	provider, model = strings.Clone(provider), strings.Clone(model)
	r := b.find(provider, model, nil)
	b.cache.put(nameKey{provider, model}, r)
	return r
}

func (b *Book) find(providerSent, modelSent string, tr *trace) *resolution {
	r := &resolution{providerID: providerSent, modelID: modelSent}
	if len(providerSent) > maxName || len(modelSent) > maxName {
		return r
	}
	providerName, name := strings.TrimSpace(providerSent), strings.TrimSpace(modelSent)
	if providerName == "" || name == "" {
		return r
	}
	p := b.providerOf(strings.ToLower(providerName))
	if p == nil && b.gateways[strings.ToLower(providerName)] {
		if q, rest := b.passThrough(name); q != nil {
			p, name = q, rest
			r.modelID = rest
			tr.provider("gateway")
		}
	}
	if p != nil {
		r.providerID = p.id
	}
	forms := b.forms(p, name)
	if p != nil {
		var at finding
		r.listed, at = b.findListed(p, forms, tr)
		if r.listed != nil {
			r.regionless = at.form.regionless
			r.borrowed = r.listed.provider != p
			r.modelID = b.spell(p, name)
		}
	}
	b.findOwn(r, forms, nameKey{lowerName(providerSent), lowerName(modelSent)})
	return r
}

func (tr *trace) provider(by string) {
	if tr != nil {
		tr.providerBy = by
	}
}

// passThrough reads "vendor/model" for a gateway that passes calls on.
func (b *Book) passThrough(name string) (*provider, string) {
	for {
		i := strings.IndexByte(name, '/')
		if i <= 0 || i == len(name)-1 {
			return nil, ""
		}
		vendor, rest := strings.ToLower(name[:i]), name[i+1:]
		if !b.gateways[vendor] {
			return b.providerOf(vendor), rest
		}
		name = rest
	}
}

// providerOf finds the provider that a name in lower case means: an id, an
// alias, or the first whose rule recognises it.
func (b *Book) providerOf(lower string) *provider {
	if p := b.providerNames[lower]; p != nil {
		return p
	}
	for _, p := range b.providers {
		if p.match != nil && p.match(lower) {
			return p
		}
	}
	return nil
}

// findListed looks for each form of a name, at the provider and then at those
// whose models it serves: by id, by alias, by rule.
func (b *Book) findListed(p *provider, forms []form, tr *trace) (*model, finding) {
	for _, f := range forms {
		names := []string{f.name}
		if other, ok := otherDates(f.name); ok {
			names = append(names, other)
		}
		for i, name := range names {
			try := f
			if i > 0 {
				try.name, try.how = name, joinHow(f.how, "date format")
			}
			lower := strings.ToLower(name)
			for _, q := range append([]*provider{p}, p.fallback...) {
				m, by, rule := q.find(lower)
				if tr != nil {
					t := Tried{Provider: q.id, Name: name, Stripped: try.how}
					if m != nil {
						t.Model, t.By, t.Rule = m.id, by, rule
					}
					tr.tried = append(tr.tried, t)
				}
				if m != nil {
					at := finding{provider: q, form: try, by: by, rule: rule}
					if tr != nil {
						tr.found = at
					}
					return m, at
				}
			}
		}
	}
	return nil, finding{}
}

// find looks a name in lower case up in one provider's list.
func (p *provider) find(lower string) (m *model, by, rule string) {
	if m := p.byID[lower]; m != nil {
		return m, "id", ""
	}
	if m := p.byAlias[lower]; m != nil {
		return m, "alias", ""
	}
	for i := range p.rules {
		if p.rules[i].match(lower) {
			return p.rules[i].model, "rule", p.rules[i].text
		}
	}
	return nil, "", ""
}

// spell is the name under which a known model is counted: the list's own
// spelling where the name is an id, else the name without decorations. Dates
// and "-latest" stay.
func (b *Book) spell(p *provider, name string) string {
	if id, ok := p.spelling(name); ok {
		return id
	}
	name = b.undecorate(p, name)
	if id, ok := p.spelling(name); ok {
		return id
	}
	return name
}

func (p *provider) spelling(name string) (string, bool) {
	lower := strings.ToLower(name)
	for _, q := range append([]*provider{p}, p.fallback...) {
		if m := q.byID[lower]; m != nil {
			return m.id, true
		}
	}
	return "", false
}

// findOwn collects the own prices for the names that mean this model: as sent,
// with decorations taken off, and the listed model it was found to be. Only a
// name that the shipped book does not know is also tried without its date: a
// known dated model has a price of its own.
func (b *Book) findOwn(r *resolution, forms []form, sent nameKey) {
	if len(b.own) == 0 {
		return
	}
	seen := make(map[*ownModel]bool)
	add := func(provider, model string) {
		if o := b.own[nameKey{provider, model}]; o != nil && !seen[o] {
			seen[o] = true
			r.own = append(r.own, o)
		}
	}
	add(sent.provider, sent.model)
	if vendor, rest, ok := strings.Cut(sent.model, "/"); ok && b.gateways[sent.provider] {
		add(vendor, rest) // a vendor that only own prices know
	}
	provider := lowerName(r.providerID)
	for _, f := range forms {
		if !f.loose || r.listed == nil {
			add(provider, strings.ToLower(f.name))
		}
	}
	if r.listed != nil {
		add(provider, strings.ToLower(r.modelID))
		add(provider, strings.ToLower(r.listed.id))
	}
}

type nameKey struct{ provider, model string }

// cache remembers resolutions. It is bounded: when the newer half is full the
// older one is forgotten, so that hostile names cost time and never memory.
type cache struct {
	mu         sync.RWMutex
	newer, old map[nameKey]*cached
}

type cached struct {
	key nameKey // owns its text
	res *resolution
}

// cacheHalf × 2 pairs of names of at most maxName bytes are kept.
const cacheHalf = 2048

func newCache() *cache { return &cache{newer: make(map[nameKey]*cached)} }

func (c *cache) get(provider, model string) *resolution {
	key := nameKey{provider, model}
	c.mu.RLock()
	hit := c.newer[key]
	aged := hit == nil
	if aged {
		hit = c.old[key]
	}
	c.mu.RUnlock()
	if hit == nil {
		return nil
	}
	if aged {
		c.put(hit.key, hit.res)
	}
	return hit.res
}

func (c *cache) put(key nameKey, r *resolution) {
	if len(key.provider) > maxName || len(key.model) > maxName {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.newer) >= cacheHalf {
		c.old, c.newer = c.newer, make(map[nameKey]*cached)
	}
	c.newer[key] = &cached{key, r}
}
