package pricing

import (
	"fmt"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// The kinds of a Change.
const (
	Added   = "added"   // the model had no price
	Changed = "changed" // it has another one
	Removed = "removed" // its price ends
)

// Change is one price that another takes the place of.
type Change struct {
	Provider, Model     string
	Kind                string
	ServiceTier, Region string
	Window              *Window
	// From and To bound the days for which it changes; a zero time is no bound.
	From, To time.Time
	// Old and New are nil where there was or will be no price.
	Old, New *Version
}

// Difference is what an update changes.
type Difference struct {
	// Changes are ordered by provider and model as the book is.
	Changes []Change
	// Added, Changed, Removed and Same count models.
	Added, Changed, Removed, Same int
}

// What makes a list look like something else than a newer one.
const (
	// mostEnding is how many of a hundred models may be gone from a newer list of
	// the same source.
	mostEnding = 50
	// jump is the factor by which no real price changes at once: one of 1,000 is
	// a mistake of units.
	jump = 1000
)

// judge refuses a list that was cut off or is in other units.
func (u *update) judge(source string) error {
	if all := u.ending + u.kept; u.ending*100 > all*mostEnding {
		return fault.New(fault.Invalid, "The list lacks %d of the %d models that have a price from %s now; it looks cut off. "+
			"If it is meant as a part of a list, load it as one: then what it does not have stays as it is", u.ending, all, source)
	}
	for i := range u.diff.Changes {
		c := &u.diff.Changes[i]
		if c.Old == nil || c.New == nil {
			continue
		}
		for _, r := range c.New.Rates {
			for _, old := range c.Old.Rates {
				if old.Unit == r.Unit && jumps(old.Price, r.Price) {
					return fault.New(fault.Invalid, "%s %s: %s would go from %s to %s USD %s; a price does not change by a factor of %d at once, so one of them is in another unit",
						c.Provider, c.Model, usage.Units[r.Unit].Price, old.Price, r.Price, per(r.Unit), jump)
				}
			}
		}
	}
	return nil
}

func jumps(a, b money.USD) bool {
	low, high := min(a, b), max(a, b)
	return low > 0 && high/jump >= low
}

// Suspicious says whether a price would change by a factor that only a mistake of
// units makes.
func Suspicious(old, now money.USD) bool { return jumps(old, now) }

// CheckList says what is missing of a list's description of itself; today is the
// latest day it may be from.
func CheckList(d *Data, today time.Time) error {
	for name, s := range map[string]string{"source": d.Source, "version": d.Version} {
		if s == "" || len(s) > usage.MaxTextLength {
			return fault.New(fault.Invalid, "The list's %q is required, at most %d characters", name, usage.MaxTextLength)
		}
	}
	day, err := time.Parse(time.DateOnly, d.Listed)
	if err != nil {
		return fault.New(fault.Invalid, "The list's %q must be the day it was published, YYYY-MM-DD", "listed")
	}
	if day.After(today.AddDate(0, 0, 1)) {
		return fault.New(fault.Invalid, "The list says it was published on %s, which is not yet", d.Listed)
	}
	models := 0
	for i := range d.Providers {
		models += len(d.Providers[i].Models)
	}
	if models == 0 {
		return fault.New(fault.Invalid, "The list is empty")
	}
	return nil
}

// String names the list for people.
func (p Provenance) String() string { return fmt.Sprintf("%s %s of %s", p.Source, p.Version, p.Listed) }
