package pricing

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// versionForm names the canonical form that ids are hashes of. A form never
// changes; another one gets another name, so that stored ids keep their meaning.
const versionForm = "costprof/price/1"

// MaxPrice is the highest price per unit's Per that anything may have: 100,000
// USD per million tokens. It is a hundred times what any model costs, and low
// enough to catch a price per million that was meant per token.
const MaxPrice money.USD = 100_000 * money.PerUSD

// sealed returns v in canonical form (rates in unit order, bounds in UTC
// microseconds, one spelling of the standard tier) with its id.
func (v Version) sealed() Version {
	v.Rates = slices.Clone(v.Rates)
	slices.SortFunc(v.Rates, func(a, b Rate) int { return int(a.Unit) - int(b.Unit) })
	v.ServiceTier, v.Region = TierName(v.ServiceTier), regionName(v.Region)
	v.From, v.To = bound(v.From), bound(v.To)
	if v.Window != nil {
		w := *v.Window
		w.Weekdays = slices.Clone(w.Weekdays)
		slices.Sort(w.Weekdays)
		w.Weekdays = slices.Compact(w.Weekdays)
		if len(w.Weekdays) == 7 || len(w.Weekdays) == 0 {
			w.Weekdays = nil
		}
		if w.Zone == "UTC" {
			w.Zone = ""
		}
		v.Window = &w
	}
	h := sha256.Sum256(v.appendCanonical(make([]byte, 0, 256)))
	v.ID = "p_" + hex.EncodeToString(h[:8])
	return v
}

// appendCanonical writes everything that makes it this price. Source is left
// out: the same figures from a newer list are the same price.
func (v *Version) appendCanonical(b []byte) []byte {
	str := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	instant := func(t time.Time) {
		if t.IsZero() {
			b = append(b, 0)
			return
		}
		b = binary.AppendVarint(append(b, 1), t.UnixMicro())
	}
	for _, s := range [...]string{versionForm, v.Provider, v.Model, v.Project, v.ServiceTier, v.Region} {
		str(s)
	}
	instant(v.From)
	instant(v.To)
	if w := v.Window; w == nil {
		b = append(b, 0)
	} else {
		b = binary.AppendVarint(append(b, 1), int64(w.Start))
		b = binary.AppendVarint(b, int64(w.End))
		b = append(b, w.days())
		str(w.Zone)
	}
	rates := slices.Clone(v.Rates)
	slices.SortFunc(rates, func(a, b Rate) int {
		return strings.Compare(usage.Units[a.Unit].Price, usage.Units[b.Unit].Price)
	})
	b = binary.AppendUvarint(b, uint64(len(rates)))
	for _, r := range rates {
		str(usage.Units[r.Unit].Price)
		b = binary.AppendVarint(b, int64(r.Price))
		b = binary.AppendVarint(b, r.Minimum)
		b = binary.AppendUvarint(b, uint64(len(r.Above)))
		for _, s := range r.Above {
			b = binary.AppendVarint(b, s.InputTokens)
			b = binary.AppendVarint(b, int64(s.Price))
		}
	}
	return b
}

// bound puts an interval's bound in the resolution that every store keeps.
func bound(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// check reports the first rule that the version breaks. The window's are checked
// when it is compiled.
func (v *Version) check() error {
	if v.Provider == "" || v.Model == "" {
		return fmt.Errorf("a price needs a provider and a model")
	}
	if !v.From.IsZero() && !v.To.IsZero() && !v.From.Before(v.To) {
		return fmt.Errorf("a price must not end before it starts")
	}
	var seen [usage.NumUnits]bool
	for i := range v.Rates {
		r := &v.Rates[i]
		if r.Unit < 0 || r.Unit >= usage.NumUnits {
			return fmt.Errorf("no unit %d", int(r.Unit))
		}
		if seen[r.Unit] {
			return fmt.Errorf("two prices for %s", usage.Units[r.Unit].Price)
		}
		seen[r.Unit] = true
		if err := r.check(); err != nil {
			return fmt.Errorf("%s: %w", usage.Units[r.Unit].Price, err)
		}
	}
	return nil
}

func (r *Rate) check() error {
	if r.Price < 0 || r.Price > MaxPrice {
		return fmt.Errorf("a price must be between 0 and %s USD", MaxPrice)
	}
	last := int64(0)
	for _, s := range r.Above {
		if s.Price < 0 || s.Price > MaxPrice {
			return fmt.Errorf("a price must be between 0 and %s USD", MaxPrice)
		}
		if s.InputTokens <= last || s.InputTokens > usage.MaxCount {
			return fmt.Errorf("thresholds must be positive and ascending")
		}
		last = s.InputTokens
	}
	switch {
	case r.Minimum < 0 || r.Minimum > usage.MaxCount:
		return fmt.Errorf("a minimum must be between 0 and %d", int64(usage.MaxCount))
	case r.Minimum > 0 && !standsAlone(r.Unit):
		// A share of a call has no minimum of its own.
		return fmt.Errorf("only a unit that is no part of another may have a minimum")
	}
	return nil
}

// standsAlone says that no other unit contains this one or is contained in it.
func standsAlone(u usage.Unit) bool {
	if usage.Units[u].Wider != usage.None {
		return false
	}
	for i := range usage.NumUnits {
		if usage.Units[i].Wider == u {
			return false
		}
	}
	return true
}

// compiledWindow answers for one instant without parsing anything.
type compiledWindow struct {
	start, end time.Duration
	days       uint8 // bit per time.Weekday; 0x7f is every day
	zone       *time.Location
}

func (w *Window) days() uint8 {
	if len(w.Weekdays) == 0 {
		return 0x7f
	}
	var mask uint8
	for _, d := range w.Weekdays {
		mask |= 1 << (uint(d) & 7)
	}
	return mask
}

func (w *Window) compile() (*compiledWindow, error) {
	const day = 24 * time.Hour
	if w.Start < 0 || w.Start >= day || w.End < 0 || w.End > day || w.Start%time.Second != 0 || w.End%time.Second != 0 {
		return nil, fmt.Errorf("a window's times must be whole seconds of one day")
	}
	for _, d := range w.Weekdays {
		if d < time.Sunday || d > time.Saturday {
			return nil, fmt.Errorf("no weekday %d", int(d))
		}
	}
	c := &compiledWindow{start: w.Start, end: w.End, days: w.days(), zone: time.UTC}
	if w.Zone != "" && w.Zone != "UTC" {
		if w.Zone == "Local" {
			return nil, fmt.Errorf("a window's zone must be an IANA name")
		}
		zone, err := time.LoadLocation(w.Zone)
		if err != nil {
			return nil, fmt.Errorf("no time zone %q", usage.Shorten(w.Zone))
		}
		c.zone = zone
	}
	return c, nil
}

// contains reads the local clock, so that a day with a changed clock follows
// what its clocks show.
func (c *compiledWindow) contains(t time.Time) bool {
	t = t.In(c.zone)
	h, m, s := t.Clock()
	clock := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second + time.Duration(t.Nanosecond())
	on := func(d time.Weekday) bool { return c.days&(1<<uint(d)) != 0 }
	if c.start < c.end {
		return clock >= c.start && clock < c.end && on(t.Weekday())
	}
	return clock >= c.start && on(t.Weekday()) || clock < c.end && on((t.Weekday()+6)%7)
}

// micros is an instant as the ledger keeps it; the zero time as a start is
// before everything.
func startMicros(t time.Time) int64 {
	if t.IsZero() {
		return math.MinInt64
	}
	return t.UnixMicro()
}

func endMicros(t time.Time) int64 {
	if t.IsZero() {
		return math.MaxInt64
	}
	return t.UnixMicro()
}
