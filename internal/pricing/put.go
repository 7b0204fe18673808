package pricing

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// PutRequest is an own price as it is asked for.
type PutRequest struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
	// Project is the only one that the price is for; "" is all.
	Project string `json:"project,omitempty"`
	// EffectiveFrom and EffectiveTo are RFC 3339 instants, half-open, or dates: a
	// date starts at 00:00 UTC, and as EffectiveTo includes that day.
	EffectiveFrom string `json:"effectiveFrom,omitempty"`
	EffectiveTo   string `json:"effectiveTo,omitempty"`
	ServiceTier   string `json:"serviceTier,omitempty"`
	Region        string `json:"region,omitempty"`
	// Prices are USD per million tokens, per thousand of other units, per hour of
	// audio, by name. An empty object is free.
	Prices map[string]json.Number `json:"prices"`
}

// SourceOwn is the Source of prices that were put.
const SourceOwn = "own"

// ParsePut makes an own price of a request. It returns fault.Invalid with every
// broken rule by field. An EffectiveFrom that was not given leaves From zero,
// for the caller to fill with Starting.
func ParsePut(r PutRequest) (Own, error) {
	bad := make(problems)
	v := Version{
		Provider: bad.name("provider", r.Provider, 1, usage.MaxTextLength),
		Model:    bad.name("model", r.Model, 1, usage.MaxTextLength),
		Project:  bad.name("project", r.Project, 0, usage.MaxIDLength),
		Source:   SourceOwn,
	}
	v.ServiceTier = TierName(bad.name("serviceTier", r.ServiceTier, 0, usage.MaxTextLength))
	v.Region = regionName(bad.name("region", r.Region, 0, usage.MaxTextLength))
	v.From, v.To = bad.interval(r.EffectiveFrom, r.EffectiveTo)
	v.Rates = bad.rates(r.Prices)
	if len(bad) > 0 {
		return Own{}, &fault.Error{Code: fault.Invalid, Message: "Validation failed", Details: bad}
	}
	return Own{Version: v.sealed()}, nil
}

// ParseInterval reads when an own price is in force, as ParsePut does: what was
// not given is the zero time.
func ParseInterval(effectiveFrom, effectiveTo string) (from, to time.Time, err error) {
	bad := make(problems)
	from, to = bad.interval(effectiveFrom, effectiveTo)
	if len(bad) > 0 {
		return from, to, &fault.Error{Code: fault.Invalid, Message: "Validation failed", Details: bad}
	}
	return from, to, nil
}

func (p problems) interval(effectiveFrom, effectiveTo string) (from, to time.Time) {
	from = p.instant("effectiveFrom", effectiveFrom, 0)
	to = p.instant("effectiveTo", effectiveTo, 1)
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		p.add("effectiveTo", "must be after effectiveFrom")
	}
	return from, to
}

// Starting gives an own price its start. It returns fault.Invalid when the
// price would end before that.
func (o Own) Starting(at time.Time) (Own, error) {
	o.From = bound(at)
	if !o.To.IsZero() && !o.From.Before(o.To) {
		return Own{}, fault.Field("effectiveTo", "must be after effectiveFrom ("+o.From.Format(time.RFC3339Nano)+")")
	}
	o.Version = o.sealed()
	return o, nil
}

// ParsePut is the package's ParsePut with the provider under its canonical id.
func (b *Book) ParsePut(r PutRequest) (Own, error) {
	if len(r.Provider) <= maxName {
		r.Provider = b.ProviderID(r.Provider)
	}
	return ParsePut(r)
}

// ProviderID is the canonical id of a provider; an unknown one is as given.
func (b *Book) ProviderID(name string) string {
	if len(name) <= maxName {
		if p := b.providerOf(lowerName(name)); p != nil {
			return p.id
		}
	}
	return name
}

// problems are broken rules by field.
type problems map[string][]string

func (p problems) add(field, rule string) { p[field] = append(p[field], rule) }

func (p problems) name(field, s string, least, most int) string {
	switch {
	case !utf8.ValidString(s):
		p.add(field, "must be valid UTF-8")
	case strings.IndexByte(s, 0) >= 0:
		p.add(field, "must not contain U+0000")
	case utf8.RuneCountInString(s) > most:
		p.add(field, fmt.Sprintf("must be at most %d characters", most))
	}
	s = strings.TrimSpace(s)
	if s == "" && least > 0 {
		p.add(field, "is required")
	}
	return s
}

// instant reads an instant or a date; days are added to a date.
func (p problems) instant(field, s string, days int) time.Time {
	if s == "" {
		return time.Time{}
	}
	t, ok := usage.ParseInstant(s)
	if !ok {
		var err error
		if t, err = time.Parse(time.DateOnly, s); err != nil {
			p.add(field, "must be an RFC 3339 instant or a date YYYY-MM-DD")
			return time.Time{}
		}
		t = t.AddDate(0, 0, days)
	}
	if t = bound(t); t.Year() < 2000 || t.Year() > 9998 {
		p.add(field, "must be between the years 2000 and 9998")
		return time.Time{}
	}
	return t
}

func (p problems) rates(prices map[string]json.Number) []Rate {
	if prices == nil {
		p.add("prices", "is required; an empty object is a price of nothing")
		return nil
	}
	rates := make([]Rate, 0, min(len(prices), int(usage.NumUnits)))
	unknown := false
	for _, name := range slices.Sorted(maps.Keys(prices)) {
		field := "prices." + usage.Shorten(name)
		u, ok := usage.UnitByPrice(name)
		if !ok {
			if !unknown {
				unknown = true // the allowed names once, and not for a thousand keys
				p.add(field, "is not a price; allowed are "+priceNames())
			} else if len(p) < 100 {
				p.add(field, "is not a price")
			}
			continue
		}
		amount, exact, err := money.ParseExact(prices[name])
		switch {
		case errors.Is(err, money.ErrSyntax):
			p.add(field, "must be a decimal number")
		case err != nil || amount > MaxPrice:
			p.add(field, fmt.Sprintf("must be at most %s USD %s", MaxPrice, per(u)))
		case amount < 0 || !exact && strings.HasPrefix(prices[name].String(), "-"):
			p.add(field, "must be 0 or more")
		case !exact:
			p.add(field, "must not be finer than a picodollar (0.000000000001) "+per(u))
		default:
			rates = append(rates, Rate{Unit: u, Price: amount})
		}
	}
	return rates
}

// per says in words what one price covers.
func per(u usage.Unit) string {
	switch usage.Units[u].Per {
	case 1_000_000:
		return "per million tokens"
	case 3_600_000:
		return "per hour"
	}
	return fmt.Sprintf("per %d", usage.Units[u].Per)
}
