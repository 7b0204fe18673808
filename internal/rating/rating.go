// Package rating owns the price book in force: the shipped prices or a newer list
// in their place, the own ones of the catalog over them, and what a changed price
// does to stored calls. By itself it re-prices unpriced calls and the caller's
// estimates only; a call that the book has priced keeps its price until somebody
// asks for a rerate.
package rating

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Ledger is what the service needs of a store.Ledger.
type Ledger interface {
	Query(ctx context.Context, q analytics.Query) (analytics.Table, error)
	Events(ctx context.Context, q store.EventQuery) iter.Seq2[usage.Record, error]
	Get(ctx context.Context, id usage.ID, filter analytics.Filter) (usage.Record, error)
	Correct(ctx context.Context, c store.Correction) (int64, error)
	History(ctx context.Context, event store.EventKey) ([]store.PastCost, error)
}

// Catalog is what rating keeps: prices, what was changed and by whom, and the
// runs of its work.
type Catalog interface {
	store.Prices
	store.Audit
	store.Runs
}

// Params are what a Service is made of; all but Now are required.
type Params struct {
	Ledger Ledger
	// Catalog keeps own prices, versions, runs and the audit log.
	Catalog Catalog
	// Shipped is the book without own prices.
	Shipped *pricing.Book
	// Shared says that other servers change the same catalog's prices, too.
	Shared bool
	// Locks are those of these servers; nil when there is one.
	Locks store.Locks
	Now   func() time.Time
	Log   *slog.Logger
}

// Service is the price book and its changes. It may be used from many
// goroutines.
type Service struct {
	Params
	current atomic.Pointer[prices]
	// changing is held while own prices are changed, and while the worker looks
	// for runs: it never sees the run of a price that is not in force yet.
	changing sync.Mutex
	// wake has room for one signal to the worker; recheck says what it is for.
	wake    chan struct{}
	recheck atomic.Bool
	// pageSize is how many events a run corrects at once, groupPage how many
	// groups it looks at at once.
	pageSize, groupPage int
}

// prices are a book and the own prices in it.
type prices struct {
	book *pricing.Book
	own  []pricing.Own
	// base is the book without own prices: the shipped one, or what newer lists
	// made of it. list is the stored one.
	base *pricing.Book
	list store.PriceList
	// seen is the newest entry of the audit log when they were read: whoever changes
	// prices writes one in the same step. It is kept where others may.
	seen int64
}

// Open reads the own prices and makes the book.
func Open(ctx context.Context, p Params) (*Service, error) {
	if p.Now == nil {
		p.Now = time.Now
	}
	s := &Service{Params: p, wake: make(chan struct{}, 1), pageSize: pageSize, groupPage: groupPage}
	current, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	s.current.Store(current)
	s.recheck.Store(true) // a new version of the program may know more prices
	s.wake <- struct{}{}
	return s, nil
}

// read makes the book of what is stored.
func (s *Service) read(ctx context.Context) (*prices, error) {
	seen, err := s.newest(ctx)
	if err != nil {
		return nil, err
	}
	own, err := s.Catalog.ListPrices(ctx)
	if err != nil {
		return nil, fmt.Errorf("read own prices: %w", err)
	}
	base, list, err := s.openList(ctx)
	if err != nil {
		return nil, err
	}
	book, err := base.With(own)
	if err != nil {
		return nil, fmt.Errorf("make the price book of the stored own prices: %w", err)
	}
	return &prices{book: book, own: own, base: base, list: list, seen: seen}, nil
}

// Book is the book in force. It never changes; after a change there is another.
func (s *Service) Book() *pricing.Book { return s.current.Load().book }

// PutResult is what a Put did.
type PutResult struct {
	// Price is the price as stored, with the start it was given.
	Price pricing.Own
	// JobID is the run that applies it to calls without a price.
	JobID string
	// Uncovered are what it makes free without saying so: see pricing's method.
	Uncovered []usage.Unit
}

// Put stores an own price, ending what it overlaps, and starts the run that
// applies it to stored calls without a price; both are durable when it returns.
// Without a start the price begins with the first such call when the model has
// no price now, else now. fault.Invalid when it would end before it starts.
func (s *Service) Put(ctx context.Context, own pricing.Own, actor string) (PutResult, error) {
	unlock, err := s.change(ctx)
	if err != nil {
		return PutResult{}, err
	}
	defer unlock()
	// The order of puts decides between prices that overlap otherwise.
	now := s.Now().UTC().Truncate(time.Microsecond)
	existing := s.current.Load().own
	own.PutAt = now
	if own.From.IsZero() {
		from, err := s.start(ctx, own, now)
		if err != nil {
			return PutResult{}, err
		}
		if own, err = own.Starting(from); err != nil {
			return PutResult{}, err
		}
	}

	remove, puts := pricing.Replace(existing, own)
	next, err := s.with(remove, puts)
	if err != nil {
		return PutResult{}, fault.New(fault.Invalid, "The price cannot be used: %s", err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return PutResult{}, fmt.Errorf("make a run's id: %w", err)
	}
	run := task{ID: id.String(), Name: BackfillName, Started: now, Input: input{
		Reason: reasonPut, Actor: actor, PriceID: own.ID, selected: selectedBy(pricing.SelectorOf(&own.Version)),
		From: own.From, To: own.To,
	}}
	if err := s.save(ctx, &run, "running"); err != nil {
		return PutResult{}, err
	}
	detail := change{Price: &own, Removed: remove, JobID: run.ID}
	if err := s.replace(ctx, next, remove, puts, entry{now, actor, "prices.put", detail}); err != nil {
		run.Error = "the price was not stored"
		if saved := s.save(context.WithoutCancel(ctx), &run, "failed"); saved != nil {
			s.Log.Warn("A run of a price that was not stored stays; it will change nothing", "run", run.ID, "error", saved)
		}
		return PutResult{}, err
	}
	s.signal()
	return PutResult{Price: own, JobID: run.ID, Uncovered: next.book.Uncovered(&own.Version)}, nil
}

// Delete takes own prices out of force, from now on where the removal has no
// start; fault.NotFound when none is in force then, fault.Invalid when it would
// end before it starts. Calls that they priced keep their cost; calls without a
// price that another own price covers now take that.
func (s *Service) Delete(ctx context.Context, r pricing.Removal, actor string) error {
	unlock, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	now := s.Now().UTC().Truncate(time.Microsecond)
	current := s.current.Load()
	r.Provider = current.book.ProviderID(r.Provider)
	if r.From.IsZero() {
		r.From = now
	}
	if !r.To.IsZero() && !r.From.Before(r.To) {
		return fault.Field("effectiveTo", "must be after effectiveFrom ("+r.From.Format(time.RFC3339Nano)+")")
	}
	remove, puts := pricing.Remove(current.own, r)
	if len(remove) == 0 {
		return fault.New(fault.NotFound, "There is no own price in force for %s %s in that time", usage.Shorten(r.Provider), usage.Shorten(r.Model))
	}
	next, err := s.with(remove, puts)
	if err != nil {
		return err
	}
	deleted := removal{selectedBy(r.Selector), r.From, r.To}
	detail := change{Deleted: &deleted, Removed: remove}
	if err := s.replace(ctx, next, remove, puts, entry{now, actor, "prices.delete", detail}); err != nil {
		return err
	}
	if r.From.Before(now) {
		s.Recheck()
	}
	return nil
}

// with is the current prices without some and with others.
func (s *Service) with(remove []string, puts []pricing.Own) (*prices, error) {
	next := *s.current.Load()
	next.own = slices.DeleteFunc(slices.Clone(next.own), func(o pricing.Own) bool { return slices.Contains(remove, o.ID) })
	next.own = append(next.own, puts...)
	var err error
	next.book, err = next.base.With(next.own)
	return &next, err
}

// replace makes a change durable and then puts it in force.
func (s *Service) replace(ctx context.Context, next *prices, remove []string, puts []pricing.Own, e entry) error {
	audit, err := e.audit()
	if err != nil {
		return err
	}
	if err := s.Catalog.ReplacePrices(ctx, remove, puts, audit); err != nil {
		return err
	}
	s.current.Store(next)
	return nil
}

// start is when a price without a start begins.
func (s *Service) start(ctx context.Context, own pricing.Own, now time.Time) (time.Time, error) {
	current := s.current.Load()
	quote, err := current.book.Quote(pricing.Call{
		Project: own.Project, Provider: own.Provider, Model: own.Model, At: now,
		ServiceTier: own.ServiceTier, Region: own.Region,
	})
	if err != nil {
		return time.Time{}, err
	}
	if quote.Source == usage.SourceCatalog {
		return now, nil
	}
	// Which calls it would price the book itself must say, so try it unbounded.
	trial, err := current.base.With(append(slices.Clone(current.own), own))
	if err != nil {
		return time.Time{}, fault.New(fault.Invalid, "The price cannot be used: %s", err)
	}
	first := now
	_, err = s.unpricedGroups(ctx, inProject(own.Project), 0, func(g *group) {
		quote, err := trial.Quote(g.call(g.First, own.ServiceTier, own.Region))
		if err == nil && quote.PriceID == own.ID && g.First.Before(first) {
			first = g.First
		}
	})
	if err != nil {
		return time.Time{}, err
	}
	return first, nil
}

// Lines are the price lines of a stored call: none when its cost is not ours,
// or when its version is lost (which is logged).
func (s *Service) Lines(ctx context.Context, r usage.Record) ([]pricing.Line, error) {
	if r.Source != usage.SourceCatalog {
		return nil, nil
	}
	book := s.Book()
	quote, err := book.Quote(pricing.Call{
		Project: r.Project, Provider: r.Provider, Model: r.Model, At: r.Timestamp,
		Counts: r.Counts, ServiceTier: r.ServiceTier, Region: r.Region,
	})
	if err == nil && quote.PriceID == r.PriceID {
		return quote.Lines, nil
	}
	// Another price is in force for such a call now.
	version, ok := book.Version(r.PriceID)
	if !ok {
		version, err = s.Catalog.GetVersion(ctx, r.PriceID)
		if fault.CodeOf(err) == fault.NotFound {
			s.Log.Warn("The price version of a stored call is not in the catalog", "event", r.ID, "price", r.PriceID)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return version.Lines(&r.Counts)
}

// History gives the costs that a stored call had before, newest first.
func (s *Service) History(ctx context.Context, r usage.Record) ([]store.PastCost, error) {
	return s.Ledger.History(ctx, store.EventKey{Timestamp: r.Timestamp, ID: r.ID})
}

// change is the detail of an audit entry about prices.
type change struct {
	Price   *pricing.Own `json:"price,omitempty"`
	Deleted *removal     `json:"deleted,omitempty"`
	// Removed are the ids of prices that were ended or replaced.
	Removed []string `json:"removed,omitempty"`
	JobID   string   `json:"jobId,omitempty"`
}

// removal is a pricing.Removal in the audit log.
type removal struct {
	selected
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

// selected is a pricing.Selector in the audit log and in a run's record.
type selected struct {
	Provider    string `json:"provider,omitempty"`
	Model       string `json:"model,omitempty"`
	Project     string `json:"project,omitempty"`
	ServiceTier string `json:"serviceTier,omitempty"`
	Region      string `json:"region,omitempty"`
}

func selectedBy(s pricing.Selector) selected {
	return selected{s.Provider, s.Model, s.Project, s.ServiceTier, s.Region}
}

func (s *selected) selector() pricing.Selector {
	return pricing.Selector{Provider: s.Provider, Model: s.Model, Project: s.Project, ServiceTier: s.ServiceTier, Region: s.Region}
}

type entry struct {
	at            time.Time
	actor, action string
	detail        any
}

func (e entry) audit() (store.AuditEntry, error) {
	return store.NewAuditEntry(e.at, e.actor, e.action, e.detail)
}
