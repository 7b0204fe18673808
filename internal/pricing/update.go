package pricing

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/fault"
)

// Updating says how a newer list takes the place of a book.
type Updating struct {
	// At is when the list comes into force for what it does not date.
	At time.Time
	// Partial says that the list is only a part: what it does not have stays.
	Partial bool
}

// Updated is a book with a newer list in it.
type Updated struct {
	Data *Data
	Difference
}

// Update puts a newer list into the book and leaves the past as it is. A price of
// the list with a start date applies from that date; one without applies from
// how.At where something had a price before, and without a bound where nothing
// had. A model that the list does not have any more ends at how.At when its price
// came from the same source, and stays when it came from another. Own prices are
// not looked at. fault.Invalid when the list cannot be what it seems.
func (b *Book) Update(list *Data, how Updating) (*Updated, error) {
	how.At = bound(how.At)
	named := b.underOurNames(list)
	next, err := build(named)
	if err != nil {
		return nil, fault.New(fault.Invalid, "The list cannot be used: %s", err)
	}
	u := &update{old: b, list: next, at: how.At.UnixMicro(), partial: how.Partial}
	out := &Updated{Data: &Data{Format: Format, Provenance: list.Provenance}}
	out.Data.Gateways = union(b.data.Gateways, list.Gateways)
	for _, heads := range [][]ProviderData{named.Providers, b.data.Providers} {
		for i := range heads {
			id := strings.ToLower(heads[i].ID)
			if !slices.ContainsFunc(out.Data.Providers, func(p ProviderData) bool { return strings.ToLower(p.ID) == id }) {
				out.Data.Providers = append(out.Data.Providers, u.provider(id))
			}
		}
	}
	// The order decides between rules of providers: the book's stays.
	rank := make(map[string]int)
	for i := range b.data.Providers {
		rank[strings.ToLower(b.data.Providers[i].ID)] = i - len(b.data.Providers)
	}
	slices.SortStableFunc(out.Data.Providers, func(x, y ProviderData) int {
		return rank[strings.ToLower(x.ID)] - rank[strings.ToLower(y.ID)]
	})
	out.Difference = u.diff
	if _, err := build(out.Data); err != nil {
		return nil, fault.New(fault.Invalid, "The list does not fit the book in force: %s", err)
	}
	return out, u.judge(list.Source)
}

// underOurNames is the list with its providers under the ids that the book has
// for them.
func (b *Book) underOurNames(list *Data) *Data {
	out := *list
	out.Providers = slices.Clone(list.Providers)
	ours := make(map[string]string)
	for i := range out.Providers {
		p := &out.Providers[i]
		if q := b.providerNames[strings.ToLower(p.ID)]; q != nil && q.id != p.ID {
			ours[p.ID] = q.id
			p.ID = q.id
			p.Aliases = slices.DeleteFunc(slices.Clone(p.Aliases), func(a string) bool { return strings.EqualFold(a, q.id) })
		}
	}
	for i := range out.Providers {
		p := &out.Providers[i]
		p.Fallback = slices.Clone(p.Fallback)
		for j, id := range p.Fallback {
			if our, ok := ours[id]; ok {
				p.Fallback[j] = our
			}
		}
	}
	return &out
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// update is one update at work.
type update struct {
	old, list *Book
	at        int64
	partial   bool
	diff      Difference
	// ending and kept count models whose price came from the list's source and
	// was in force: those it does not have any more, and the others.
	ending, kept int
}

func headOf(d *Data, id string) *ProviderData {
	for i := range d.Providers {
		if strings.ToLower(d.Providers[i].ID) == id {
			return &d.Providers[i]
		}
	}
	return nil
}

// provider merges one provider of either side.
func (u *update) provider(id string) ProviderData {
	was, now := headOf(u.old.data, id), headOf(u.list.data, id)
	oldP, newP := u.old.providerNames[id], u.list.providerNames[id]
	var head ProviderData
	switch {
	case was == nil:
		head = *now
	case now == nil || u.partial || now.Aliases == nil && now.Match == nil && now.ModelMatch == nil:
		head = *was // a list without names knows none better
	default:
		head = *now
		head.ID = was.ID
	}
	head.Models = nil
	for _, m := range u.order(was, now) {
		merged := ModelData{ID: m.ID, Match: m.Match}
		listed := newP != nil && newP.byID[strings.ToLower(m.ID)] != nil
		if !listed && newP != nil && !u.partial {
			merged.Match = m.Match.without(newP)
		}
		before, after := u.versionsOf(u.old, oldP, m.ID), u.versionsOf(u.list, newP, m.ID)
		if unread := unreadIn(now, m.ID); unread {
			// What is in force stays: the list has another price, or the same.
			for _, p := range before {
				merged.Versions = append(merged.Versions, p.bare())
			}
			merged.Unread = before == nil
			if before != nil {
				u.diff.Same++
			}
		} else {
			merged.Versions = u.model(head.ID, m.ID, before, after)
			merged.Unread = len(merged.Versions) == 0 && unreadIn(was, m.ID)
		}
		if len(merged.Versions) > 0 || merged.Unread {
			head.Models = append(head.Models, merged)
		}
	}
	return head
}

func unreadIn(d *ProviderData, id string) bool {
	return d != nil && slices.ContainsFunc(d.Models, func(m ModelData) bool { return m.Unread && strings.EqualFold(m.ID, id) })
}

// order lists the models of both sides: those of a whole list with rules in its
// own order, which decides between rules, and else the book's order.
func (u *update) order(was, now *ProviderData) []ModelData {
	var first, second []ModelData
	ruled := now != nil && slices.ContainsFunc(now.Models, func(m ModelData) bool { return m.Match != nil })
	switch {
	case now == nil:
		return was.Models
	case was == nil:
		return now.Models
	case ruled && !u.partial:
		first, second = now.Models, was.Models
	default:
		known := make(map[string]ModelData, len(now.Models))
		for _, m := range now.Models {
			known[strings.ToLower(m.ID)] = m
		}
		for _, m := range was.Models {
			if n, ok := known[strings.ToLower(m.ID)]; ok && n.Match != nil {
				m.Match = n.Match
			}
			second = append(second, m)
			delete(known, strings.ToLower(m.ID))
		}
		// A name that is new is more special than the rules that took it before.
		for _, m := range now.Models {
			if _, fresh := known[strings.ToLower(m.ID)]; fresh {
				first = append(first, m)
			}
		}
	}
	seen := make(map[string]bool)
	var out []ModelData
	for _, m := range slices.Concat(first, second) {
		if id := strings.ToLower(m.ID); !seen[id] {
			seen[id] = true
			out = append(out, m)
		}
	}
	return out
}

// versionsOf are the versions that price a model's id in a book, by whatever name
// it is found there.
func (u *update) versionsOf(b *Book, p *provider, id string) []*price {
	if p == nil {
		return nil
	}
	if b == u.list && (u.partial || u.list.info.Source != u.old.info.Source) {
		// A part, or who else writes lists, says nothing of names that it could mean.
		if m := p.byID[strings.ToLower(id)]; m != nil {
			return m.versions
		}
		return nil
	}
	if m, _ := b.findListed(p, b.forms(p, id), nil); m != nil {
		return m.versions
	}
	return nil
}

// without is a rule of a model that a newer list does not have, less the names
// that the list gives to others.
func (r *Rule) without(p *provider) *Rule {
	if r == nil {
		return nil
	}
	aliases, rest := r.split()
	kept := slices.Clone(rest)
	for _, a := range aliases {
		if m, _, _ := p.find(a); m == nil {
			kept = append(kept, Rule{Equals: a})
		}
	}
	switch len(kept) {
	case 0:
		return nil
	case 1:
		return &kept[0]
	}
	return &Rule{Or: kept}
}

// model merges one model's versions and notes what changes.
func (u *update) model(provider, id string, before, after []*price) []Version {
	same := func(v []*price) []Version {
		out := make([]Version, len(v))
		for i := range v {
			out[i] = v[i].bare()
		}
		return out
	}
	foreign := !slices.ContainsFunc(before, func(p *price) bool {
		return p.Source == u.list.info.Source || strings.HasPrefix(p.Source, u.list.info.Source+" ")
	})
	ours := before != nil && !foreign && slices.ContainsFunc(before, func(p *price) bool { return inForce(&p.Version, u.at) })
	switch {
	case after == nil && (u.partial || foreign):
		return same(before) // the list says nothing about it
	case after == nil && ours:
		u.ending++
	case ours:
		u.kept++
	}
	merged, changes := mergeVersions(before, after, u.at)
	if len(changes) == 0 {
		u.diff.Same++
		if before == nil {
			return same(after)
		}
		return same(before)
	}
	kind := Changed
	switch {
	case before == nil:
		kind = Added
		u.diff.Added++
	case after == nil:
		kind = Removed
		u.diff.Removed++
	default:
		u.diff.Changed++
	}
	for _, c := range changes {
		c.Provider, c.Model, c.Kind = provider, id, kind
		u.diff.Changes = append(u.diff.Changes, c)
	}
	return merged
}

// bare is the version as a book's file has it.
func (p *price) bare() Version {
	v := p.Version
	v.ID, v.Provider, v.Model, v.Project = "", "", "", ""
	return v
}

// place is a service tier in a region.
type place struct{ tier, region string }

func placeOf(p *price) place { return place{TierName(p.ServiceTier), regionName(p.Region)} }

// mergeVersions puts two histories of one model together, see Update.
func mergeVersions(before, after []*price, at int64) ([]Version, []Change) {
	var places []place
	for _, p := range slices.Concat(before, after) {
		if !slices.Contains(places, placeOf(p)) {
			places = append(places, placeOf(p))
		}
	}
	var out []Version
	var changes []Change
	for _, where := range places {
		m := merging{before: before, after: after, at: at, place: where}
		out = append(out, m.versions()...)
		changes = append(changes, m.changes...)
	}
	return out, changes
}

// merging merges the versions of one place, stretch by stretch.
type merging struct {
	before, after []*price
	at            int64
	place         place
	changes       []Change
}

// taken are the stretches of time in which a version stays or comes into force.
type taken struct {
	price *price
	spans []period
}

func (m *merging) versions() []Version {
	cuts := []int64{m.at, startMicros(time.Time{}), endMicros(time.Time{})}
	for _, p := range slices.Concat(m.before, m.after) {
		cuts = append(cuts, startMicros(p.From), endMicros(p.To))
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	takes := make(map[*price]*taken)
	var order []*taken
	for i := range len(cuts) - 1 {
		from, to := cuts[i], cuts[i+1]
		old, now := m.inForce(m.before, from), m.inForce(m.after, from)
		chosen := old
		if signature(old) != signature(now) && m.takes(old, now, from) {
			chosen = now
			m.note(old, now, from, to)
		}
		for _, p := range chosen {
			t := takes[p]
			if t == nil {
				t = &taken{price: p}
				takes[p] = t
				order = append(order, t)
			}
			if n := len(t.spans); n > 0 && t.spans[n-1].to == from {
				t.spans[n-1].to = to
				continue
			}
			t.spans = append(t.spans, period{from: from, to: to})
		}
	}
	// Of two in force the later one wins: those of one side keep their order.
	rank := make(map[*price]int)
	for i, p := range slices.Concat(m.before, m.after) {
		rank[p] = i
	}
	slices.SortStableFunc(order, func(x, y *taken) int { return rank[x.price] - rank[y.price] })
	var out []Version
	for _, t := range order {
		for _, s := range t.spans {
			v := t.price.bare()
			v.From, v.To = ofMicros(s.from), ofMicros(s.to)
			out = append(out, v)
		}
	}
	return out
}

// inForce lists what decides at an instant, the strongest first: the windows, then
// one version for all day.
func (m *merging) inForce(of []*price, micros int64) []*price {
	var windows []*price
	var base *price
	for _, p := range of {
		if placeOf(p) != m.place || !inForce(&p.Version, micros) {
			continue
		}
		if p.Window != nil {
			windows = append(windows, p)
		} else {
			base = p
		}
	}
	slices.Reverse(windows)
	if base != nil {
		windows = append(windows, base)
	}
	return windows
}

// takes says whether the list decides from an instant on.
func (m *merging) takes(old, now []*price, from int64) bool {
	if len(now) == 0 {
		ended := false
		listed := false
		for _, p := range m.after {
			if placeOf(p) == m.place {
				listed = true
				ended = ended || endMicros(p.To) <= from
			}
		}
		// Before a price's first day the list says nothing.
		return ended || !listed && from >= m.at
	}
	if len(old) == 0 && !m.fellBack(from) {
		return true
	}
	known := make(map[string]bool)
	for _, p := range old {
		known[signature([]*price{p})] = true
	}
	dated, fresh := true, false
	for _, p := range now {
		if !known[signature([]*price{p})] {
			fresh = true
			dated = dated && !p.From.IsZero()
		}
	}
	return fresh && dated || from >= m.at
}

// fellBack says that calls of this place had another place's price.
func (m *merging) fellBack(micros int64) bool {
	for _, other := range []place{{m.place.tier, ""}, {"", m.place.region}, {}} {
		o := merging{place: other}
		if other != m.place && len(o.inForce(m.before, micros)) > 0 {
			return true
		}
	}
	return false
}

// signature is what prices are, whenever they are in force.
func signature(ps []*price) string {
	var b strings.Builder
	for _, p := range ps {
		v := p.Version
		v.From, v.To, v.Provider, v.Model, v.Project = time.Time{}, time.Time{}, "", "", ""
		v = v.sealed()
		fmt.Fprintf(&b, "%d:%s", len(v.ID), v.appendCanonical(nil))
	}
	return b.String()
}

func ofMicros(micros int64) time.Time {
	if micros == startMicros(time.Time{}) || micros == endMicros(time.Time{}) {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// note writes down what changes in a stretch; one that goes on is one change.
func (m *merging) note(old, now []*price, from, to int64) {
	byWindow := func(ps []*price) map[string]*price {
		out := make(map[string]*price)
		for _, p := range slices.Backward(ps) {
			key := ""
			if w := p.Window; w != nil {
				key = fmt.Sprint(w.Start, w.End, w.days(), w.Zone)
			}
			out[key] = p
		}
		return out
	}
	was, is := byWindow(old), byWindow(now)
	keys := slices.Sorted(maps.Keys(was))
	for _, k := range slices.Sorted(maps.Keys(is)) {
		if was[k] == nil {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		c := Change{ServiceTier: m.place.tier, Region: m.place.region, From: ofMicros(from), To: ofMicros(to)}
		var sigs [2]string
		for i, p := range []*price{was[k], is[k]} {
			if p == nil {
				continue
			}
			c.Window, sigs[i] = p.Window, signature([]*price{p})
			if i == 0 {
				c.Old = &p.Version
			} else {
				c.New = &p.Version
			}
		}
		if sigs[0] == sigs[1] {
			continue
		}
		if i := slices.IndexFunc(m.changes, func(l Change) bool {
			return l.Old == c.Old && l.New == c.New && !l.To.IsZero() && l.To.Equal(c.From)
		}); i >= 0 {
			m.changes[i].To = c.To
			continue
		}
		m.changes = append(m.changes, c)
	}
}
