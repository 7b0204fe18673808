package rating

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// modelDifference is what a preview says of one model, under the names that
// questions have for it.
type modelDifference struct {
	Provider   string      `json:"provider"`
	Model      string      `json:"model"`
	Calls      int64       `json:"calls"`
	OldCost    money.Total `json:"oldCost"`
	NewCost    money.Total `json:"newCost"`
	Difference money.Total `json:"difference"`
}

const (
	// keptModels bounds the models that are told apart while a preview looks, shown
	// how many it tells of; the rest are one row.
	keptModels, shownModels = 5000, 200
	// saveEvery is after how many pages a preview writes down how far it is.
	saveEvery = 50
)

// otherModels is the name of the row that sums up the rest.
const otherModels = "(other)"

// redo finishes a run, well or not. An error means that it must be tried again.
func (s *Service) redo(ctx context.Context, t *rerun) error {
	work := s.preview
	if t.Input.Apply {
		work = s.apply
	}
	err := work(ctx, t)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil || fault.CodeOf(err) == fault.Unavailable:
		return err
	}
	failure := "it failed after " + fmt.Sprint(t.Result.Calls) + " calls; the log says why"
	if fault.CodeOf(err) == fault.Conflict {
		failure = err.Error()
	} else {
		s.Log.Error("Rerating stored calls failed", "run", t.ID, "error", err)
	}
	if t.Input.Apply && t.Result.Calls+t.Result.Aggregates > 0 {
		known, err := s.audited(ctx, RerateName, t.ID)
		if err == nil && !known {
			err = s.auditRerun(ctx, t, failure)
		}
		if err != nil {
			return err
		}
	}
	return s.saveRerun(ctx, t, "failed", failure)
}

// page is some events of a window with what changes of them.
type page struct {
	changes []repriced
	// names are the changes' provider and model as questions name them.
	names   []names
	scanned int64
	refused int64
	last    *store.EventKey
}

// rescan looks at the events of a window as of one moment, newest first, page by
// page. Memory is bounded by the page.
func (s *Service) rescan(ctx context.Context, book *pricing.Book, filter analytics.Filter, after *store.EventKey, f func(*page) error) error {
	for {
		p := &page{last: after}
		for r, err := range s.Ledger.Events(ctx, store.EventQuery{Filter: filter, After: after, Limit: s.pageSize}) {
			if err != nil {
				return fmt.Errorf("read stored calls: %w", err)
			}
			p.scanned++
			p.last = &store.EventKey{Timestamp: r.Timestamp, ID: r.ID}
			e := r.Event
			now, err := book.Price(&e)
			if err != nil {
				p.refused++
				continue
			}
			if sameCost(&now, &r.Costing) {
				continue
			}
			p.changes = append(p.changes, repriced{
				CostChange: store.CostChange{ID: r.ID, Timestamp: r.Timestamp, WasSource: r.Source, WasPriceID: r.PriceID, Now: now},
				old:        r.Total(), aggregate: r.Aggregate,
			})
			p.names = append(p.names, names{provider: r.ProviderID, model: r.ModelID})
		}
		if p.scanned == 0 {
			return nil
		}
		after = p.last
		if err := f(p); err != nil {
			return err
		}
		if p.scanned < int64(s.pageSize) {
			return nil
		}
	}
}

// sameCost says that nothing that anybody sees in a total or a class changes. The
// version may be another one with the same figures: then the call keeps its own.
func sameCost(a, b *usage.Costing) bool {
	return a.Classes == b.Classes && a.CacheSaving == b.CacheSaving && a.Source == b.Source && a.Fallback == b.Fallback
}

// moment asks how many events there are to look at, and as of when.
func (s *Service) moment(ctx context.Context, filter analytics.Filter) (events, asOf, revision int64, err error) {
	t, err := s.Ledger.Query(ctx, analytics.Query{Filter: filter, Stored: true})
	if err != nil {
		return 0, 0, 0, fmt.Errorf("count stored calls: %w", err)
	}
	return t.Calls, t.AsOf, t.Revision, nil
}

// preview finds what would change and writes it down with its token.
func (s *Service) preview(ctx context.Context, t *rerun) error {
	book := s.Book()
	filter := s.rerateFilter(&t.Input, 0)
	t.Result = rerateResult{}
	res := &t.Result
	var err error
	if res.Total, filter.AsOf, res.Revision, err = s.moment(ctx, filter); err != nil {
		return err
	}
	res.AsOf, res.Book = filter.AsOf, book.Fingerprint()
	var diff difference
	models := make(map[names]*modelDifference)
	rest := &modelDifference{Provider: otherModels, Model: otherModels}
	pages := 0
	err = s.rescan(ctx, book, filter, nil, func(p *page) error {
		res.Scanned += p.scanned
		res.Refused += p.refused
		for i := range p.changes {
			c := &p.changes[i]
			diff.add(c)
			if c.aggregate {
				res.Aggregates++
				continue
			}
			m := models[p.names[i]]
			if m == nil {
				if m = rest; len(models) < keptModels {
					m = &modelDifference{Provider: p.names[i].provider, Model: p.names[i].model}
					models[p.names[i]] = m
				}
			}
			m.Calls++
			m.OldCost, m.NewCost = m.OldCost.Add(c.old), m.NewCost.Add(c.Now.Total())
			res.count(c)
		}
		if pages++; pages%saveEvery == 0 {
			return s.saveRerun(ctx, t, "running", "")
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, _, revision, err := s.moment(ctx, filter)
	if err != nil {
		return err
	}
	if revision != res.Revision {
		res.Revision = 0
	}
	res.Digest = diff.String()
	res.Token = t.ID + "." + res.Digest
	res.Models = ranked(models, rest)
	return s.saveRerun(ctx, t, "done", "")
}

func (r *rerateResult) count(c *repriced) {
	r.Calls++
	r.OldCost, r.NewCost = r.OldCost.Add(c.old), r.NewCost.Add(c.Now.Total())
	if c.WasSource != usage.SourceCatalog {
		r.UnpricedBefore++
	}
	if c.Now.Source != usage.SourceCatalog {
		r.UnpricedAfter++
	}
}

// ranked lists the models that change most.
func ranked(models map[names]*modelDifference, rest *modelDifference) []modelDifference {
	var out []modelDifference
	for _, m := range models {
		out = append(out, *m)
	}
	for i := range out {
		out[i].Difference = out[i].NewCost.Sub(out[i].OldCost)
	}
	slices.SortFunc(out, func(a, b modelDifference) int {
		return cmp.Or(magnitude(b.Difference).Cmp(magnitude(a.Difference)), cmp.Compare(b.Calls, a.Calls),
			cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
	if len(out) > shownModels {
		for _, m := range out[shownModels:] {
			rest.Calls += m.Calls
			rest.OldCost, rest.NewCost = rest.OldCost.Plus(m.OldCost), rest.NewCost.Plus(m.NewCost)
		}
		out = out[:shownModels]
	}
	if rest.Calls > 0 {
		rest.Difference = rest.NewCost.Sub(rest.OldCost)
		out = append(out, *rest)
	}
	return out
}

func magnitude(t money.Total) money.Total {
	if t.Sign() < 0 {
		return t.Neg()
	}
	return t
}

// apply puts the previewed costs into the records.
func (s *Service) apply(ctx context.Context, t *rerun) error {
	if err := s.settleRerun(ctx, t); err != nil {
		return err
	}
	book := s.Book()
	if err := s.sameBook(t, book); err != nil {
		return err
	}
	filter := s.rerateFilter(&t.Input, t.Input.AsOf)
	if t.Input.AsOf == 0 {
		t.Result.Verified = true // the preview saw an empty ledger
		return s.finishRerun(ctx, t)
	}
	if !t.Result.Verified {
		if err := s.verify(ctx, t, book, filter); err != nil {
			return err
		}
	}
	var after *store.EventKey
	if k := t.Result.After; k != nil {
		id, err := usage.ParseID(k.ID)
		if err != nil {
			return fmt.Errorf("read where run %s goes on: %w", t.ID, err)
		}
		after = &store.EventKey{Timestamp: k.Timestamp, ID: id}
	}
	kept := make(map[string]bool)
	err := s.rescan(ctx, book, filter, after, func(p *page) error {
		// Prices that are no longer in force are not applied any more.
		if err := s.sameBook(t, s.Book()); err != nil {
			return err
		}
		done := &batchDone{After: &eventKey{p.last.Timestamp, p.last.ID.String()}, Scanned: p.scanned, Refused: p.refused}
		if len(p.changes) == 0 {
			t.Result.take(done)
			return nil
		}
		if err := s.keepVersions(ctx, book, p.changes, kept); err != nil {
			return err
		}
		return s.correctRerun(ctx, t, p.changes, done)
	})
	if err != nil {
		return err
	}
	return s.finishRerun(ctx, t)
}

// finishRerun writes the audit entry and then ends the run.
func (s *Service) finishRerun(ctx context.Context, t *rerun) error {
	known, err := s.audited(ctx, RerateName, t.ID)
	if err != nil {
		return err
	}
	if !known {
		if err := s.auditRerun(ctx, t, ""); err != nil {
			return err
		}
	}
	s.Log.Info("Rerated stored calls", "run", t.ID, "calls", t.Result.Calls,
		"oldCost", t.Result.OldCost.String(), "newCost", t.Result.NewCost.String())
	return s.saveRerun(ctx, t, "done", "")
}

func (s *Service) sameBook(t *rerun, book *pricing.Book) error {
	if book.Fingerprint() == t.Input.Book {
		return nil
	}
	res := &t.Result
	if res.Calls+res.Aggregates == 0 {
		return fault.New(fault.Conflict, "The prices were changed since the preview, and nothing was applied; ask for another preview")
	}
	return fault.New(fault.Conflict, "The prices were changed while this was applied, and it stopped: %d of %d calls have their new cost (%s USD before, %s now), the others their old one; another preview shows what is left",
		res.Calls, t.Input.Calls, res.OldCost, res.NewCost)
}

// verify makes sure that applying does what the preview said.
func (s *Service) verify(ctx context.Context, t *rerun, book *pricing.Book, filter analytics.Filter) error {
	total, _, revision, err := s.moment(ctx, filter)
	if err != nil {
		return err
	}
	t.Result.Total = total
	if revision != t.Input.Revision {
		// Something was corrected since; whether it matters the changes say.
		var diff difference
		err := s.rescan(ctx, book, filter, nil, func(p *page) error {
			for i := range p.changes {
				diff.add(&p.changes[i])
			}
			return nil
		})
		if err != nil {
			return err
		}
		if diff.String() != t.Input.Digest {
			return fault.New(fault.Conflict, "The stored costs were changed since the preview, and nothing was applied; ask for another preview")
		}
	}
	t.Result.Verified = true
	return s.saveRerun(ctx, t, "running", "")
}

// correctRerun applies one page and sums it up exactly.
func (s *Service) correctRerun(ctx context.Context, t *rerun, changes []repriced, done *batchDone) error {
	done.sum(changes)
	t.Result.Pending = done
	if err := s.saveRerun(ctx, t, "running", ""); err != nil {
		return err
	}
	correction := store.Correction{Reason: "rerate " + t.ID, At: s.Now().UTC().Truncate(time.Microsecond)}
	for i := range changes {
		correction.Changes = append(correction.Changes, changes[i].CostChange)
	}
	applied, err := s.Ledger.Correct(ctx, correction)
	if err != nil {
		return fmt.Errorf("correct costs: %w", err)
	}
	if applied != int64(len(changes)) {
		there := changes[:0:0]
		for _, c := range changes {
			ok, err := s.costs(ctx, c.ID, probeOf(&c.Now))
			if err != nil {
				return err
			}
			if ok {
				there = append(there, c)
			}
		}
		done.sum(there)
	}
	t.Result.take(done)
	return nil
}

func (d *batchDone) sum(changes []repriced) {
	d.batch, d.Before, d.Later = *sum(changes), 0, 0
	for i := range changes {
		c := &changes[i]
		if i == 0 {
			d.Probe = probeOf(&c.Now)
		}
		if c.aggregate {
			continue
		}
		if c.WasSource != usage.SourceCatalog {
			d.Before++
		}
		if c.Now.Source != usage.SourceCatalog {
			d.Later++
		}
	}
}

func (r *rerateResult) take(d *batchDone) {
	r.Calls += d.Calls
	r.Aggregates += d.Aggregates
	r.OldCost, r.NewCost = r.OldCost.Plus(d.OldCost), r.NewCost.Plus(d.NewCost)
	r.Scanned += d.Scanned
	r.Refused += d.Refused
	r.UnpricedBefore += d.Before
	r.UnpricedAfter += d.Later
	r.After, r.Pending = d.After, nil
}

// settleRerun adds the batch that an interruption left pending, when it was
// applied; else the run goes on before it.
func (s *Service) settleRerun(ctx context.Context, t *rerun) error {
	pending := t.Result.Pending
	if pending == nil {
		return nil
	}
	id, err := usage.ParseID(pending.batch.Probe)
	if err != nil {
		return fmt.Errorf("read the pending batch of run %s: %w", t.ID, err)
	}
	ok, err := s.costs(ctx, id, pending.Probe)
	if err != nil {
		return err
	}
	if ok {
		t.Result.take(pending)
	}
	t.Result.Pending = nil
	return s.saveRerun(ctx, t, "running", "")
}

// costs says whether an event costs this by now.
func (s *Service) costs(ctx context.Context, id usage.ID, want probe) (bool, error) {
	r, err := s.Ledger.Get(ctx, id, everything)
	if fault.CodeOf(err) == fault.NotFound {
		return false, nil //nolint:nilerr // that there is none is the answer
	}
	return err == nil && probeOf(&r.Costing) == want, err
}

func (s *Service) auditRerun(ctx context.Context, t *rerun, failure string) error {
	res := t.Result
	res.Difference = res.NewCost.Sub(res.OldCost)
	res.Pending, res.After = nil, nil
	audit, err := entry{s.Now().UTC().Truncate(time.Microsecond), t.Input.Actor, RerateName, struct {
		JobID string `json:"jobId"`
		rerateInput
		Result rerateResult `json:"result"`
		Error  string       `json:"error,omitempty"`
	}{t.ID, t.Input, res, failure}}.audit()
	if err != nil {
		return err
	}
	return s.Catalog.AppendAudit(ctx, audit)
}
