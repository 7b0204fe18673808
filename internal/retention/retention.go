// Package retention keeps what projects said about how long they keep events,
// removes what is older, in the background, and erases persons. What stays of
// removed events and how is the ledger's.
package retention

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// MaxDays is the longest retention that can be set: a hundred years.
const MaxDays = 36_500

const (
	day = 24 * time.Hour
	// every is how often old events are looked for, followEvery how often what
	// other servers set, or an erasure that is being made, is.
	every       = time.Hour
	followEvery = 10 * time.Second
	// finishAgain is how soon an erasure that could not be finished is tried again.
	finishAgain = 5 * time.Minute
	// lockName is that of the one server that removes.
	lockName = "retention.work"
)

// Ledger is what the service needs of a store.Ledger.
type Ledger interface {
	Query(ctx context.Context, q analytics.Query) (analytics.Table, error)
	Prune(ctx context.Context, before map[string]time.Time) (int64, error)
	Pruned(ctx context.Context) (map[string]time.Time, error)
	Erase(ctx context.Context, who store.Erasure) (int64, error)
	Compact(ctx context.Context) error
}

// Catalog is what the service needs of a store.Catalog.
type Catalog interface {
	store.Retentions
	AppendAudit(ctx context.Context, entry store.AuditEntry) error
	InitSetting(ctx context.Context, name string, value []byte) ([]byte, error)
	PutRun(ctx context.Context, run store.Run) error
	GetRun(ctx context.Context, id string) (store.Run, error)
	ListRuns(ctx context.Context, state string, limit int) ([]store.Run, error)
}

// Params are what a Service is made of.
type Params struct {
	Ledger  Ledger
	Catalog Catalog
	// Locks are of a catalog that servers share; nil is of one that has one server.
	Locks store.Locks
	Now   func() time.Time
	Log   *slog.Logger
}

// Service may be used from many goroutines.
type Service struct {
	Params
	wake   chan struct{}
	opened time.Time

	mu     sync.RWMutex
	set    map[string]store.Retention
	pruned map[string]time.Time
}

// Open reads what was set.
func Open(ctx context.Context, p Params) (*Service, error) {
	s := &Service{Params: p, wake: make(chan struct{}, 1), opened: p.Now()}
	return s, s.Refresh(ctx)
}

// Refresh reads what was set and removed, here and by other servers.
func (s *Service) Refresh(ctx context.Context) error {
	list, err := s.Catalog.ListRetention(ctx)
	if err != nil {
		return fmt.Errorf("read retention: %w", err)
	}
	pruned, err := s.Ledger.Pruned(ctx)
	if err != nil {
		return fmt.Errorf("read what was removed: %w", err)
	}
	set := make(map[string]store.Retention, len(list))
	for _, r := range list {
		set[r.Project] = r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set, s.pruned = set, pruned
	return nil
}

// days is how many days a project keeps events; 0 is for ever.
func (s *Service) days(project string) int64 {
	for _, name := range [...]string{project, ""} {
		if r, ok := s.set[name]; ok && r.EventDays != nil {
			return *r.EventDays
		}
	}
	return 0
}

// OldestAllowed is the time before which nothing of the project is accepted; the
// zero time is no bound. What was removed once stays out, also when more days are
// kept from then on: whether it was stored before is not known any more.
func (s *Service) OldestAllowed(project string) time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	oldest := s.pruned[project]
	if n := s.days(project); n > 0 {
		if bound := s.Now().Add(-time.Duration(n) * day); bound.After(oldest) {
			oldest = bound
		}
	}
	return oldest
}

// Setting is what was set for a project ("" is for all others), and before when
// its events were removed.
type Setting struct {
	store.Retention
	RemovedBefore time.Time
}

// List gives what was set, by project in byte order, and the projects of which
// something was removed; project "" alone asks for all.
func (s *Service) List(ctx context.Context, project string) ([]Setting, error) {
	if err := s.Refresh(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	names := map[string]bool{}
	for name := range s.set {
		names[name] = true
	}
	for name := range s.pruned {
		names[name] = true
	}
	out := []Setting{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		// Who knows one project sees what holds for it, the setting for all included.
		if project == "" || name == project || name == "" {
			out = append(out, s.setting(name))
		}
	}
	return out, nil
}

func (s *Service) setting(project string) Setting {
	r := s.set[project]
	r.Project = project
	return Setting{r, s.pruned[project]}
}

// Put sets how long a project keeps what, and has the work begin.
func (s *Service) Put(ctx context.Context, r store.Retention, actor string) (Setting, error) {
	for field, n := range map[string]*int64{"eventDays": r.EventDays, "promptDays": r.PromptDays} {
		if n != nil && (*n < 0 || *n > MaxDays) {
			return Setting{}, fault.Field(field, fmt.Sprintf("must be between 0 (for ever) and %d, or null", MaxDays))
		}
	}
	if len([]rune(r.Project)) > usage.MaxIDLength {
		return Setting{}, fault.Field("project", fmt.Sprintf("must have at most %d characters", usage.MaxIDLength))
	}
	if err := s.Refresh(ctx); err != nil {
		return Setting{}, err
	}
	s.mu.RLock()
	was := s.set[r.Project]
	s.mu.RUnlock()
	entry, err := store.NewAuditEntry(s.Now(), actor, "retention.set", map[string]any{
		"project": r.Project, "eventDays": r.EventDays, "promptDays": r.PromptDays, "eventDaysBefore": was.EventDays, "promptDaysBefore": was.PromptDays,
	})
	if err != nil {
		return Setting{}, err
	}
	if err := s.Catalog.PutRetention(ctx, r, entry); err != nil {
		return Setting{}, err
	}
	if err := s.Refresh(ctx); err != nil {
		return Setting{}, err
	}
	s.wakeUp()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.setting(r.Project), nil
}

func (s *Service) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run removes what is too old, at once, every hour, and when a retention was set.
// It ends with ctx.
func (s *Service) Run(ctx context.Context) error {
	due := time.NewTicker(every)
	defer due.Stop()
	var follow <-chan time.Time
	if s.Locks != nil {
		t := time.NewTicker(followEvery)
		defer t.Stop()
		follow = t.C
	}
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("old events could not be removed; it is tried again", "error", err)
		}
		var again <-chan time.Time
		left, err := s.Finish(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("what was erased may still be in the ledger's files; it is tried again", "error", err)
			again = time.After(finishAgain)
		} else if left {
			again = time.After(followEvery)
		}
	wait:
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-due.C:
				break wait
			case <-again:
				break wait
			case <-s.wake:
				break wait
			case <-follow:
				if err := s.Refresh(ctx); err != nil && ctx.Err() == nil {
					s.Log.Warn("retention could not be read", "error", err)
				}
			}
		}
	}
}

// Sweep removes once what is older than its project keeps: whole UTC days, so
// that what stays of them answers for each day. One server does it at a time;
// the others find nothing left.
func (s *Service) Sweep(ctx context.Context) error {
	if s.Locks != nil {
		held, unlock, err := s.Locks.TryLock(ctx, lockName)
		if err != nil || unlock == nil {
			return err
		}
		defer unlock()
		ctx = held
	}
	if err := s.Refresh(ctx); err != nil {
		return err
	}
	before, err := s.due(ctx)
	if err != nil || len(before) == 0 {
		return err
	}
	removed, err := s.Ledger.Prune(ctx, before)
	if removed > 0 {
		s.Log.Info("removed events older than their projects keep them", "events", removed)
		entry, failed := store.NewAuditEntry(s.Now(), "costprof", "retention.removed", map[string]any{"events": removed, "before": before})
		if failed == nil {
			// After an error the rest has an entry of its own.
			failed = s.Catalog.AppendAudit(context.WithoutCancel(ctx), entry)
		}
		if failed != nil {
			s.Log.Warn("the removal of old events is not in the audit log", "events", removed, "error", failed)
		}
	}
	if err != nil {
		return fmt.Errorf("remove old events: %w", err)
	}
	return s.Refresh(ctx)
}

// due says before when each project's events have to go.
func (s *Service) due(ctx context.Context) (map[string]time.Time, error) {
	s.mu.RLock()
	set := maps.Clone(s.set)
	s.mu.RUnlock()
	if all, ok := set[""]; ok && all.EventDays != nil && *all.EventDays > 0 {
		t, err := s.Ledger.Query(ctx, analytics.Query{GroupBy: []analytics.Dimension{analytics.Project}})
		if err != nil {
			return nil, fmt.Errorf("list projects: %w", err)
		}
		for _, row := range t.Rows {
			if _, ok := set[row.Names[0]]; !ok {
				set[row.Names[0]] = store.Retention{}
			}
		}
	}
	delete(set, "")
	before := map[string]time.Time{}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for project := range set {
		if n := s.days(project); n > 0 {
			before[project] = s.Now().UTC().Add(-time.Duration(n) * day).Truncate(day)
		}
	}
	return before, nil
}
