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
	PrunePrompts(ctx context.Context, before map[string]time.Time) (int64, error)
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

// days is how many days a project keeps events, promptDays prompts; 0 is for
// ever.
func (s *Service) days(project string) int64 {
	return s.setFor(project, func(r store.Retention) *int64 { return r.EventDays })
}

func (s *Service) promptDays(project string) int64 {
	return s.setFor(project, func(r store.Retention) *int64 { return r.PromptDays })
}

func (s *Service) setFor(project string, of func(store.Retention) *int64) int64 {
	for _, name := range [...]string{project, ""} {
		if n := of(s.set[name]); n != nil {
			return *n
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
	events, prompts, err := s.due(ctx)
	if err != nil {
		return err
	}
	if len(events) > 0 {
		removed, err := s.Ledger.Prune(ctx, events)
		s.note(ctx, "events", removed, events)
		if err != nil {
			return fmt.Errorf("remove old events: %w", err)
		}
		if err := s.Refresh(ctx); err != nil {
			return err
		}
	}
	if len(prompts) > 0 {
		removed, err := s.Ledger.PrunePrompts(ctx, prompts)
		s.note(ctx, "prompts", removed, prompts)
		if err != nil {
			return fmt.Errorf("remove old prompts: %w", err)
		}
	}
	return nil
}

// note says what was removed, to the log and the audit log. After an error the
// rest has an entry of its own.
func (s *Service) note(ctx context.Context, what string, removed int64, before map[string]time.Time) {
	if removed == 0 {
		return
	}
	s.Log.Info("removed "+what+" older than their projects keep them", what, removed)
	entry, err := store.NewAuditEntry(s.Now(), "costprof", "retention.removed", map[string]any{what: removed, "before": before})
	if err == nil {
		err = s.Catalog.AppendAudit(context.WithoutCancel(ctx), entry)
	}
	if err != nil {
		s.Log.Warn("the removal of old "+what+" is not in the audit log", what, removed, "error", err)
	}
}

// due says before when each project's events have to go, and its prompts: those
// that no younger event has. A prompt is never kept longer than the events that
// have it.
func (s *Service) due(ctx context.Context) (events, prompts map[string]time.Time, err error) {
	s.mu.RLock()
	set := maps.Clone(s.set)
	s.mu.RUnlock()
	if all, ok := set[""]; ok && (positive(all.EventDays) || positive(all.PromptDays)) {
		t, err := s.Ledger.Query(ctx, analytics.Query{GroupBy: []analytics.Dimension{analytics.Project}})
		if err != nil {
			return nil, nil, fmt.Errorf("list projects: %w", err)
		}
		for _, row := range t.Rows {
			if _, ok := set[row.Names[0]]; !ok {
				set[row.Names[0]] = store.Retention{}
			}
		}
	}
	delete(set, "")
	events, prompts = map[string]time.Time{}, map[string]time.Time{}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for project := range set {
		ofEvents, ofPrompts := s.days(project), s.promptDays(project)
		if ofEvents > 0 {
			events[project] = s.before(ofEvents)
		}
		if ofPrompts == 0 || ofEvents > 0 && ofEvents < ofPrompts {
			ofPrompts = ofEvents
		}
		if ofPrompts > 0 {
			prompts[project] = s.before(ofPrompts)
		}
	}
	return events, prompts, nil
}

func positive(n *int64) bool { return n != nil && *n > 0 }

// before is the beginning of the UTC day so many days ago.
func (s *Service) before(days int64) time.Time {
	return s.Now().UTC().Add(-time.Duration(days) * day).Truncate(day)
}
