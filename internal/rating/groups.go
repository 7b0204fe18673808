package rating

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

// group is one model as sent, in one project, with calls that have no price of
// ours.
type group struct {
	names
	First, Last time.Time
	Calls       int64
}

type names struct{ provider, model, project string }

func (g *group) call(at time.Time, tier, region string) pricing.Call {
	return pricing.Call{Project: g.project, Provider: g.provider, Model: g.model, At: at, ServiceTier: tier, Region: region}
}

// withoutPrice are the sources that a new price may replace.
var withoutPrice = []usage.Source{usage.SourceUnpriced, usage.SourceClient}

// inProject selects the events that a price for the project may change; "" is
// all projects.
func inProject(project string) analytics.Filter {
	f := analytics.Filter{Sources: withoutPrice, Aggregates: true}
	if project != "" {
		f.Any = map[analytics.Dimension][]string{analytics.Project: {project}}
	}
	return f
}

const (
	// groupPage is how many groups are in memory at once: a sender may make up
	// any number of names.
	groupPage = 10_000
	// groupTries bounds how often the groups are listed anew because costs were
	// corrected meanwhile.
	groupTries = 5
)

// unpricedGroups calls f at least once with each group that the filter selects
// and returns the commit up to which it saw events.
func (s *Service) unpricedGroups(ctx context.Context, filter analytics.Filter, asOf int64, f func(*group)) (int64, error) {
	q := analytics.Query{
		Stored:   true,
		Filter:   filter,
		GroupBy:  []analytics.Dimension{analytics.Provider, analytics.Model, analytics.Project},
		Measures: analytics.MeasureSeen,
		BySent:   true,
		Limit:    s.groupPage,
	}
	for range groupTries {
		q.AsOf, q.Offset = asOf, 0
		for revision := int64(0); ; {
			t, err := s.Ledger.Query(ctx, q)
			if err != nil {
				return 0, fmt.Errorf("look for calls without a price: %w", err)
			}
			if q.Offset > 0 && t.Revision != revision {
				break
			}
			for _, row := range t.Rows {
				f(&group{names{row.Names[0], row.Names[1], row.Names[2]}, row.First, row.Last, row.Calls})
			}
			if !t.More {
				return t.AsOf, nil
			}
			q.AsOf, revision = t.AsOf, t.Revision
			q.Offset += len(t.Rows)
		}
	}
	return 0, fault.New(fault.Unavailable, "The stored costs change too fast to list the calls without a price; try again")
}

// candidates are groups of which the book may price some call.
type candidates struct {
	rows map[names]group
	asOf int64
}

// priced finds the candidates that the filter selects and the run covers. It asks
// the book, not the names.
func (s *Service) priced(ctx context.Context, book *pricing.Book, in *input, filter analytics.Filter) (candidates, error) {
	out := candidates{rows: make(map[names]group)}
	var err error
	out.asOf, err = s.unpricedGroups(ctx, filter, 0, func(g *group) {
		for v := range book.Reach(g.call(g.First, "", ""), g.Last) {
			if in.covers(&v) {
				out.rows[g.names] = *g
				return
			}
		}
	})
	return out, err
}

// maxNames is the longest list of names that a filter gets; a longer one gains
// little.
const maxNames = 200

// narrow restricts the filter to the time and the names of the candidates. The
// ledger selects by normalised names, which an older program may have made
// otherwise, so it is counted whether that loses a call; then only the time is
// narrowed.
func (s *Service) narrow(ctx context.Context, f analytics.Filter, book *pricing.Book, wanted candidates) (analytics.Filter, error) {
	providers, models := make(map[string]bool), make(map[string]bool)
	var from, last time.Time
	for _, g := range wanted.rows {
		providerID, modelID := book.Normalise(g.provider, g.model)
		providers[providerID], models[modelID] = true, true
		if from.IsZero() || g.First.Before(from) {
			from = g.First
		}
		if g.Last.After(last) {
			last = g.Last
		}
	}
	f.From, f.To = from, last.Add(time.Microsecond)
	if len(models) > maxNames || len(providers) > maxNames {
		return f, nil
	}
	narrow := f
	narrow.Any = map[analytics.Dimension][]string{
		analytics.Provider: slices.Sorted(maps.Keys(providers)),
		analytics.Model:    slices.Sorted(maps.Keys(models)),
	}
	if projects := f.Any[analytics.Project]; len(projects) > 0 {
		narrow.Any[analytics.Project] = projects
	}
	left := maps.Clone(wanted.rows)
	_, err := s.unpricedGroups(ctx, narrow, wanted.asOf, func(g *group) {
		if want, ok := left[g.names]; ok && want.Calls == g.Calls {
			delete(left, g.names)
		}
	})
	if err != nil || len(left) > 0 {
		return f, err
	}
	return narrow, nil
}
