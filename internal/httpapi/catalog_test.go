package httpapi

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/rating"
	"github.com/costprof/costprof/internal/store"
)

// memoryCatalog is a rating.Catalog in memory.
type memoryCatalog struct {
	mu       sync.Mutex
	own      []pricing.Own
	versions map[string]pricing.Version
	audit    []store.AuditEntry
	runs     []store.Run
	list     store.PriceList
	keys     []store.Key
	settings map[string][]byte
	ended    []store.EndedSession
	keeping  []store.Retention
}

func (c *memoryCatalog) ListRetention(context.Context) ([]store.Retention, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.keeping), nil
}

func (c *memoryCatalog) PutRetention(_ context.Context, r store.Retention, entry store.AuditEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keeping = append(slices.DeleteFunc(c.keeping, func(was store.Retention) bool { return was.Project == r.Project }), r)
	c.audit = append(c.audit, entry)
	return nil
}

func (c *memoryCatalog) GetList(context.Context) (store.PriceList, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list, nil
}

func (c *memoryCatalog) ReplaceList(_ context.Context, was int64, book []byte, entry store.AuditEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list.Number != was {
		return fault.New(fault.Conflict, "The price list was changed meanwhile")
	}
	c.list = store.PriceList{Number: was + 1, Made: entry.At, Book: book}
	c.audit = append(c.audit, entry)
	return nil
}

var _ rating.Catalog = (*memoryCatalog)(nil)

func (c *memoryCatalog) ListPrices(context.Context) ([]pricing.Own, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.own), nil
}

func (c *memoryCatalog) ReplacePrices(_ context.Context, remove []string, puts []pricing.Own, entry store.AuditEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = slices.DeleteFunc(c.own, func(o pricing.Own) bool { return slices.Contains(remove, o.ID) })
	c.own = append(c.own, puts...)
	c.audit = append(c.audit, entry)
	return nil
}

func (c *memoryCatalog) PutVersions(_ context.Context, versions []pricing.Version) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.versions == nil {
		c.versions = map[string]pricing.Version{}
	}
	for _, v := range versions {
		c.versions[v.ID] = v
	}
	return nil
}

func (c *memoryCatalog) GetVersion(_ context.Context, id string) (pricing.Version, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.versions[id]; ok {
		return v, nil
	}
	return pricing.Version{}, fault.New(fault.NotFound, "There is no price with this id")
}

func (c *memoryCatalog) AppendAudit(_ context.Context, entry store.AuditEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.audit = append(c.audit, entry)
	return nil
}

func (c *memoryCatalog) ListAudit(_ context.Context, below int64, limit int) ([]store.AuditEntry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []store.AuditEntry
	for i := len(c.audit) - 1; i >= 0 && len(out) < limit; i-- {
		if e := c.audit[i]; below == 0 || int64(i+1) < below {
			e.ID = int64(i + 1)
			out = append(out, e)
		}
	}
	return out, nil
}

func (c *memoryCatalog) PutRun(_ context.Context, run store.Run) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs = slices.DeleteFunc(c.runs, func(r store.Run) bool { return r.ID == run.ID })
	c.runs = append(c.runs, run)
	return nil
}

func (c *memoryCatalog) GetRun(_ context.Context, id string) (store.Run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.runs {
		if r.ID == id {
			return r, nil
		}
	}
	return store.Run{}, fault.New(fault.NotFound, "There is no job with this id")
}

func (c *memoryCatalog) ListRuns(_ context.Context, state string, limit int) ([]store.Run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []store.Run
	for _, r := range c.runs {
		if state == "" || r.State == state {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b store.Run) int {
		return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(b.ID, a.ID))
	})
	return out[:min(limit, len(out))], nil
}

func (c *memoryCatalog) ListKeys(context.Context) ([]store.Key, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.keys), nil
}

func (c *memoryCatalog) PutKey(_ context.Context, k store.Key, entry store.AuditEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.IndexFunc(c.keys, func(o store.Key) bool { return o.ID == k.ID })
	if at < 0 {
		c.keys = append(c.keys, k)
	} else {
		c.keys[at] = k
	}
	c.audit = append(c.audit, entry)
	return nil
}

func (c *memoryCatalog) TouchKeys(context.Context, map[string]time.Time) error { return nil }

func (c *memoryCatalog) EndSession(_ context.Context, ended store.EndedSession, entry store.AuditEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = append(c.ended, ended)
	c.audit = append(c.audit, entry)
	return nil
}

func (c *memoryCatalog) ListEndedSessions(context.Context) ([]store.EndedSession, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ended), nil
}

func (c *memoryCatalog) GetSetting(_ context.Context, name string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.settings[name]; ok {
		return v, nil
	}
	return nil, fault.New(fault.NotFound, "there is no setting %q", name)
}

func (c *memoryCatalog) ReplaceSetting(_ context.Context, name string, _, now []byte, e store.AuditEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settings[name] = now
	c.audit = append(c.audit, e)
	return nil
}

func (c *memoryCatalog) InitSetting(_ context.Context, name string, value []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settings == nil {
		c.settings = map[string][]byte{}
	}
	if _, ok := c.settings[name]; !ok {
		c.settings[name] = value
	}
	return c.settings[name], nil
}
