package pricing

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // windows name zones, and machines may have none
)

//go:embed book.json
var shipped []byte

// Book is the price book with any own prices over it. It never changes and is
// safe for concurrent use.
type Book struct {
	info Info
	data *Data
	// sum is a hash of everything that decides about prices.
	sum       [sha256.Size]byte
	gateways  map[string]bool
	providers []*provider
	// providerNames are ids and aliases in lower case.
	providerNames map[string]*provider
	versions      map[string]*Version
	own           map[nameKey]*ownModel
	ownVersions   map[string]*Version
	cache         *cache
}

type provider struct {
	id         string
	match      matcher
	modelMatch matcher
	fallback   []*provider
	// regional: see ProviderData. paths: ids contain slashes.
	regional, paths bool
	models          []*model
	byID, byAlias   map[string]*model
	rules           []modelRule
}

type modelRule struct {
	model *model
	match matcher
	text  string
}

type model struct {
	provider *provider
	id       string
	offer    *offer
	versions []*price
}

// Info describes the shipped book.
type Info struct {
	Provenance
	Providers int `json:"providers"`
	Models    int `json:"models"`
	Versions  int `json:"versions"`
}

// Shipped is the book in the binary. It is parsed on every call.
func Shipped() (*Book, error) { return Load(shipped) }

// Load makes a book from its file. Everything in it is checked: a book that
// loads prices every call, or says that it has no price.
func Load(file []byte) (*Book, error) {
	d, err := Decode(file)
	if err != nil {
		return nil, err
	}
	b, err := build(d)
	if err == nil {
		b.sum = sha256.Sum256(file)
	}
	return b, err
}

func build(d *Data) (*Book, error) {
	b := &Book{
		info:          Info{Provenance: d.Provenance, Providers: len(d.Providers)},
		data:          d,
		gateways:      make(map[string]bool),
		providerNames: make(map[string]*provider),
		versions:      make(map[string]*Version),
		cache:         newCache(),
	}
	for _, g := range d.Gateways {
		b.gateways[strings.ToLower(g)] = true
	}
	for i := range d.Providers {
		p, err := b.buildProvider(&d.Providers[i])
		if err != nil {
			return nil, fmt.Errorf("price book: provider %q: %w", d.Providers[i].ID, err)
		}
		b.providers = append(b.providers, p)
	}
	for i := range d.Providers {
		for _, id := range d.Providers[i].Fallback {
			q := b.providerNames[strings.ToLower(id)]
			if q == nil || q == b.providers[i] {
				return nil, fmt.Errorf("price book: provider %q falls back to %q", d.Providers[i].ID, id)
			}
			b.providers[i].fallback = append(b.providers[i].fallback, q)
		}
	}
	b.info.Versions = len(b.versions)
	return b, nil
}

func (b *Book) buildProvider(d *ProviderData) (*provider, error) {
	p := &provider{
		id: d.ID, regional: d.Regional,
		byID: make(map[string]*model, len(d.Models)), byAlias: make(map[string]*model, len(d.Models)),
	}
	for _, name := range append([]string{d.ID}, d.Aliases...) {
		lower := strings.ToLower(name)
		if lower == "" || len(lower) > maxName || lower != strings.TrimSpace(lower) {
			return nil, fmt.Errorf("name %q", name)
		}
		if b.providerNames[lower] != nil || b.gateways[lower] {
			return nil, fmt.Errorf("name %q is taken", name)
		}
		b.providerNames[lower] = p
	}
	var err error
	if d.Match != nil {
		if p.match, err = d.Match.compile(); err != nil {
			return nil, err
		}
	}
	if d.ModelMatch != nil {
		if p.modelMatch, err = d.ModelMatch.compile(); err != nil {
			return nil, err
		}
	}
	for i := range d.Models {
		if err := b.buildModel(p, &d.Models[i]); err != nil {
			return nil, fmt.Errorf("model %q: %w", d.Models[i].ID, err)
		}
	}
	return p, nil
}

func (b *Book) buildModel(p *provider, d *ModelData) error {
	lower := strings.ToLower(d.ID)
	switch {
	case lower == "" || len(lower) > maxName || lower != strings.TrimSpace(lower):
		return fmt.Errorf("not an id")
	case p.byID[lower] != nil:
		return fmt.Errorf("listed twice")
	case len(d.Versions) == 0 && !d.Unread:
		return fmt.Errorf("no prices")
	case len(d.Versions) > 0 && d.Unread:
		return fmt.Errorf("prices of a model that is marked as unread")
	}
	m := &model{provider: p, id: d.ID}
	for i := range d.Versions {
		v := d.Versions[i]
		if v.ID != "" || v.Provider != "" || v.Model != "" || v.Project != "" {
			return fmt.Errorf("a version in a book has no id, provider, model or project of its own")
		}
		// A book that lists were loaded into says of each price which it is from.
		v.Provider, v.Model, v.Source = p.id, d.ID, cmp.Or(v.Source, b.info.Source+" "+b.info.Version)
		v = v.sealed()
		if b.versions[v.ID] != nil {
			return fmt.Errorf("the same price twice")
		}
		ready, err := prepare(v)
		if err != nil {
			return err
		}
		m.versions = append(m.versions, ready)
		b.versions[v.ID] = &ready.Version
	}
	byPrecedence := slices.Clone(m.versions)
	slices.Reverse(byPrecedence)
	m.offer = newOffer(byPrecedence)

	p.models = append(p.models, m)
	p.byID[lower] = m
	p.paths = p.paths || strings.Contains(d.ID, "/")
	b.info.Models++
	if d.Match == nil {
		return nil
	}
	if _, err := d.Match.compile(); err != nil {
		return err
	}
	aliases, rest := d.Match.split()
	for _, a := range aliases {
		if p.byAlias[a] == nil {
			p.byAlias[a] = m
		}
	}
	for i := range rest {
		match, err := rest[i].compile()
		if err != nil {
			return err
		}
		p.rules = append(p.rules, modelRule{m, match, rest[i].String()})
	}
	return nil
}

// With returns the book with these own prices over the shipped ones, instead of
// any that it had; the receiver is unchanged. Where two own prices for the same
// thing are in force at once, the one put last wins. A price that breaks a rule
// is an error.
func (b *Book) With(own []Own) (*Book, error) {
	out := *b
	out.cache = newCache()
	out.own = make(map[nameKey]*ownModel)
	out.ownVersions = make(map[string]*Version, len(own))
	lastFirst := slices.Clone(own)
	slices.SortStableFunc(lastFirst, func(x, y Own) int {
		return cmp.Or(y.PutAt.Compare(x.PutAt), cmp.Compare(x.ID, y.ID))
	})
	type place struct {
		key     nameKey
		project string
	}
	prices := make(map[place][]*price)
	for _, o := range lastFirst {
		v := o.Version
		if v.ID == "" {
			v = v.sealed()
		}
		p, err := prepare(v)
		if err != nil {
			return nil, fmt.Errorf("own price %s for %q %q: %w", v.ID, v.Provider, v.Model, err)
		}
		p.ServiceTier, p.Region = TierName(v.ServiceTier), regionName(v.Region)
		out.ownVersions[v.ID] = &p.Version
		at := place{out.ownKey(v.Provider, v.Model), v.Project}
		prices[at] = append(prices[at], p)
	}
	for at, ps := range prices {
		o := out.own[at.key]
		if o == nil {
			o = &ownModel{provider: ps[0].Provider, model: ps[0].Model, projects: make(map[string]*offer)}
			out.own[at.key] = o
		}
		o.projects[at.project] = newOffer(ps)
	}
	h := sha256.New()
	h.Write(b.sum[:])
	for _, o := range lastFirst {
		v := o.Version
		if v.ID == "" {
			v = v.sealed()
		}
		fmt.Fprintln(h, v.ID)
	}
	h.Sum(out.sum[:0])
	return &out, nil
}

// Fingerprint is the same for books that price every call alike.
func (b *Book) Fingerprint() string { return hex.EncodeToString(b.sum[:16]) }

func (b *Book) ownKey(provider, model string) nameKey {
	lower := lowerName(provider)
	if p := b.providerOf(lower); p != nil {
		lower = strings.ToLower(p.id)
	}
	return nameKey{lower, lowerName(model)}
}

// Version finds a shipped or own version by its id.
func (b *Book) Version(id string) (Version, bool) {
	if v := b.ownVersions[id]; v != nil {
		return *v, true
	}
	if v := b.versions[id]; v != nil {
		return *v, true
	}
	return Version{}, false
}

// Data is the book as its file holds it, without own prices. It is read-only.
func (b *Book) Data() *Data { return b.data }

// Info describes the shipped book.
func (b *Book) Info() Info { return b.info }

// Providers lists the ids of the shipped providers in byte order.
func (b *Book) Providers() []string {
	ids := make([]string, len(b.providers))
	for i, p := range b.providers {
		ids[i] = p.id
	}
	slices.Sort(ids)
	return ids
}

// ListQuery selects prices. Empty fields select all.
type ListQuery struct {
	Provider, Model string
	// Project selects the prices for all projects and for this one; "" selects
	// those of every project.
	Project string
	// At is the instant at which they are in force, whatever the time of day.
	At time.Time
}

// List gives the versions in force, ordered by provider, model, project,
// service tier, region and window. A shipped price is left out where an own one
// for all projects (or for q.Project) takes its place all day.
func (b *Book) List(q ListQuery) []Version {
	micros := q.At.UnixMicro()
	providerID, accept := b.listFilter(q)
	var out []Version
	taken := make(map[listKey]bool)
	for _, o := range b.sortedOwn() {
		for _, v := range o {
			if q.Project != "" && v.Project != "" && v.Project != q.Project {
				continue
			}
			key := b.ownKey(v.Provider, v.Model)
			if providerID != "" && key.provider != providerID || !accept(key.provider, v.Model) || !inForce(v, micros) {
				continue
			}
			if v.Window == nil && (v.Project == "" || v.Project == q.Project) {
				taken[listKey{key, v.ServiceTier, v.Region}] = true
			}
			out = append(out, *v)
		}
	}
	for _, p := range b.providers {
		lower := strings.ToLower(p.id)
		if providerID != "" && lower != providerID {
			continue
		}
		for _, m := range p.models {
			if !accept(lower, m.id) {
				continue
			}
			for _, v := range m.versions {
				key := listKey{nameKey{lower, strings.ToLower(m.id)}, v.ServiceTier, v.Region}
				if inForce(&v.Version, micros) && !taken[key] {
					out = append(out, v.Version)
				}
			}
		}
	}
	slices.SortStableFunc(out, compareVersions)
	return out
}

type listKey struct {
	names        nameKey
	tier, region string
}

// sortedOwn gives the own versions by model, in a fixed order.
func (b *Book) sortedOwn() map[nameKey][]*Version {
	byModel := make(map[nameKey][]*Version)
	for _, id := range slices.Sorted(maps.Keys(b.ownVersions)) {
		v := b.ownVersions[id]
		key := b.ownKey(v.Provider, v.Model)
		byModel[key] = append(byModel[key], v)
	}
	return byModel
}

// listFilter resolves the names of a query as a call's names are.
func (b *Book) listFilter(q ListQuery) (providerID string, accept func(provider, model string) bool) {
	if q.Provider != "" {
		providerID = b.ownKey(q.Provider, "").provider
	}
	model := lowerName(q.Model)
	if model == "" {
		return providerID, func(string, string) bool { return true }
	}
	wanted := make(map[nameKey]bool)
	for _, p := range b.providers {
		if providerID != "" && strings.ToLower(p.id) != providerID {
			continue
		}
		for _, f := range b.forms(p, model) {
			if m, _, _ := p.find(strings.ToLower(f.name)); m != nil {
				wanted[nameKey{strings.ToLower(p.id), strings.ToLower(m.id)}] = true
				break
			}
		}
	}
	return providerID, func(provider, id string) bool {
		id = lowerName(id)
		return id == model || wanted[nameKey{provider, id}]
	}
}

func inForce(v *Version, micros int64) bool {
	return startMicros(v.From) <= micros && micros < endMicros(v.To)
}

func compareVersions(a, b Version) int {
	return cmp.Or(
		strings.Compare(a.Provider, b.Provider), strings.Compare(a.Model, b.Model),
		strings.Compare(a.Project, b.Project), strings.Compare(a.ServiceTier, b.ServiceTier),
		strings.Compare(a.Region, b.Region), compareWindows(a.Window, b.Window),
		a.From.Compare(b.From), strings.Compare(a.ID, b.ID),
	)
}

func compareWindows(a, b *Window) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.End, b.End), strings.Compare(a.Zone, b.Zone), cmp.Compare(a.days(), b.days()))
}
