package rating

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
)

// openList reads the list that takes the place of the shipped book. A shipped
// book that was listed later than it is put into it, as a newer list is.
func (s *Service) openList(ctx context.Context) (*pricing.Book, store.PriceList, error) {
	for {
		list, err := s.Catalog.GetList(ctx)
		if err != nil {
			return nil, list, fmt.Errorf("read the price list: %w", err)
		}
		if list.Book == nil {
			return s.Shipped, list, nil
		}
		base, err := pricing.Load(list.Book)
		if err != nil {
			return nil, list, fmt.Errorf("make the price book of the loaded list: %w", err)
		}
		if base.Info().Listed >= s.Shipped.Info().Listed {
			return base, list, nil
		}
		now := s.Now().UTC().Truncate(time.Microsecond)
		updated, err := base.Update(s.Shipped.Data(), pricing.Updating{At: now})
		if err != nil {
			s.Log.Warn("The program's newer price book does not fit the loaded list, which stays in force", "list", base.Info().String(), "error", err)
			return base, list, nil
		}
		text, err := pricing.Encode(updated.Data)
		if err != nil {
			return nil, list, err
		}
		detail := listChange{List: &updated.Data.Provenance, Before: base.Info().Provenance, counts: countsOf(&updated.Difference)}
		audit, err := entry{now, "costprof", actionList, detail}.audit()
		if err != nil {
			return nil, list, err
		}
		err = s.Catalog.ReplaceList(ctx, list.Number, text, audit)
		if fault.CodeOf(err) == fault.Conflict && err != nil {
			continue // another server was faster
		}
		if err != nil {
			return nil, list, fmt.Errorf("store the newer price list: %w", err)
		}
		s.Log.Info("The program's newer price book is in force", "list", updated.Data.Provenance.String(), "before", base.Info().String())
	}
}

// The actions in the audit log.
const (
	actionList   = "prices.update"
	actionUnlist = "prices.reset"
)

// listChange is the detail of an audit entry about a list.
type listChange struct {
	List   *pricing.Provenance `json:"list,omitempty"`
	Before pricing.Provenance  `json:"before"`
	counts
	JobID string `json:"jobId,omitempty"`
}

type counts struct {
	Added   int `json:"added"`
	Changed int `json:"changed"`
	Removed int `json:"removed"`
}

func countsOf(d *pricing.Difference) counts { return counts{d.Added, d.Changed, d.Removed} }

// ListInfo describes the list in force.
type ListInfo struct {
	pricing.Info
	// Loaded says that it took the place of the shipped book, at Since.
	Loaded bool
	Since  time.Time
	// Shipped describes the program's own book.
	Shipped pricing.Info
}

// List describes the price list in force.
func (s *Service) List() ListInfo {
	c := s.current.Load()
	out := ListInfo{Info: c.base.Info(), Loaded: c.list.Book != nil, Shipped: s.Shipped.Info()}
	if out.Loaded {
		out.Since = c.list.Made
	}
	return out
}

// ListUpdate asks for a newer list.
type ListUpdate struct {
	// Book is the list in pricing's form.
	Book []byte
	// Partial says that what it does not have stays.
	Partial bool
	// Expect is the Digest of the difference that was looked at; "" is any.
	Expect string
	// Apply puts it in force; else the difference is only told.
	Apply bool
	Actor string
}

// ListResult is what a newer list changes, or changed.
type ListResult struct {
	pricing.Difference
	List, Before pricing.Provenance
	// Digest stands for the list and what it was compared with.
	Digest  string
	Applied bool
	// JobID is the run that prices the calls that had no price.
	JobID string
}

// UpdateList compares a newer list with the one in force and, if asked, puts it
// in its place. fault.Invalid when the list is broken or older; fault.Conflict
// when the prices are no longer what Expect was made of. Own prices stay.
func (s *Service) UpdateList(ctx context.Context, u ListUpdate) (ListResult, error) {
	data, err := pricing.Decode(u.Book)
	if err != nil {
		return ListResult{}, &fault.Error{Code: fault.Invalid, Message: "The list cannot be used: " + err.Error()}
	}
	unlock, err := s.change(ctx)
	if err != nil {
		return ListResult{}, err
	}
	defer unlock()
	now := s.Now().UTC().Truncate(time.Microsecond)
	if err := pricing.CheckList(data, now); err != nil {
		return ListResult{}, err
	}
	current := s.current.Load()
	before := current.base.Info().Provenance
	if data.Listed < before.Listed {
		return ListResult{}, fault.New(fault.Conflict, "The list is of %s and the one in force, %s, is newer", data.Listed, before.String())
	}
	updated, err := current.base.Update(data, pricing.Updating{At: now, Partial: u.Partial})
	if err != nil {
		return ListResult{}, err
	}
	result := ListResult{Difference: updated.Difference, List: data.Provenance, Before: before, Digest: digest(current.base, &u)}
	if u.Expect != "" && u.Expect != result.Digest {
		return ListResult{}, fault.New(fault.Conflict, "The prices were changed since the difference was shown; look at it again")
	}
	if !u.Apply || len(result.Changes) == 0 && data.Provenance == before {
		return result, nil
	}
	text, err := pricing.Encode(updated.Data)
	if err != nil {
		return ListResult{}, err
	}
	next := *current
	if next.base, err = pricing.Load(text); err == nil {
		next.book, err = next.base.With(next.own)
	}
	if err != nil {
		return ListResult{}, fault.New(fault.Invalid, "The list cannot be used: %s", err)
	}
	next.list = store.PriceList{Number: current.list.Number + 1, Made: now, Book: text}
	detail := listChange{List: &data.Provenance, Before: before, counts: countsOf(&result.Difference)}
	result.JobID, err = s.putList(ctx, &next, listing{now, u.Actor, actionList, detail})
	result.Applied = err == nil
	return result, err
}

// ResetList puts the shipped book in force again, as if no list had ever been
// loaded; fault.Conflict when none is.
func (s *Service) ResetList(ctx context.Context, actor string) error {
	unlock, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	current := s.current.Load()
	if current.list.Book == nil {
		return fault.New(fault.Conflict, "The shipped price book is in force: no list was loaded")
	}
	now := s.Now().UTC().Truncate(time.Microsecond)
	next := *current
	next.base = s.Shipped
	if next.book, err = next.base.With(next.own); err != nil {
		return err
	}
	next.list = store.PriceList{Number: current.list.Number + 1, Made: now}
	_, err = s.putList(ctx, &next, listing{now, actor, actionUnlist, listChange{Before: current.base.Info().Provenance}})
	return err
}

type listing struct {
	at            time.Time
	actor, action string
	detail        listChange
}

// putList makes a list durable, puts it in force, and starts the run that prices
// what had no price.
func (s *Service) putList(ctx context.Context, next *prices, c listing) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make a run's id: %w", err)
	}
	run := task{ID: id.String(), Name: BackfillName, Started: c.at, Input: input{Reason: reasonList, Actor: c.actor}}
	if err := s.save(ctx, &run, "running"); err != nil {
		return "", err
	}
	c.detail.JobID = run.ID
	audit, err := entry{c.at, c.actor, c.action, c.detail}.audit()
	if err == nil {
		err = s.Catalog.ReplaceList(ctx, next.list.Number-1, next.list.Book, audit)
	}
	if err != nil {
		run.Error = "the price list was not stored"
		if saved := s.save(context.WithoutCancel(ctx), &run, "failed"); saved != nil {
			s.Log.Warn("A run of a price list that was not stored stays; it will change nothing", "run", run.ID, "error", saved)
		}
		return "", err
	}
	s.current.Store(next)
	s.signal()
	return run.ID, nil
}

func digest(base *pricing.Book, u *ListUpdate) string {
	h := sha256.New()
	fmt.Fprintf(h, "costprof/list/1 %s %v\n", base.Fingerprint(), u.Partial)
	h.Write(u.Book)
	return hex.EncodeToString(h.Sum(nil)[:16])
}
