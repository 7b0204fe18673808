package similar

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/prompts"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

const (
	// maxCalls is how many calls, the newest, an answer rests on.
	maxCalls = 50_000
	// maxPrompts is how many prompts of a feature, those with the dearest calls, are
	// compared with each other.
	maxPrompts = 1_000
	// maxMembers is how many prompts of a group are shown, maxTexts how many of its
	// texts are looked at for what they have in common.
	maxMembers, maxTexts = 5, 10
	// promptTTL is how long providers keep a prompt that is not used.
	promptTTL = 5 * time.Minute
)

// ClustersRequest asks for groups of prompts.
type ClustersRequest struct {
	analytics.Filter
	Least float32
	// TTL is how long a cache of answers would keep one.
	TTL   time.Duration
	Limit int
	// Prices are those in force.
	Prices prompts.Quoter
}

// Clusters are the groups, those that a cache of answers would save most of first, then by cost.
type Clusters struct {
	Groups []Cluster
	// Calls is how many calls the answer rests on, Cut that there are more; Left is
	// how many prompts were not compared, for there are too many, and Unembedded how many
	// have no vector (yet) and are like nothing but themselves.
	Calls      int64
	Cut        bool
	Left       int
	Unembedded int
}

// Cluster is a group of prompts of one feature that are nearly the same, with two
// calls or more.
type Cluster struct {
	Project, Feature string
	// Members are the dearest prompts, the leader first; Prompts is how many there are.
	Members []Member
	Prompts int
	Calls   int64
	Cost    money.Total
	// Least is the lowest similarity of a prompt to the leader.
	Least float32
	// Exact is what a cache of answers to the very same prompt would have done, Near
	// one that takes all prompts of the group for the same.
	Exact, Near prompts.ResponseCache
	// Template is what the texts have in common; Texts is 0 where none are kept.
	Template prompts.Template
	// Prefix is what a provider's cache of the common beginning would have done.
	Prefix prompts.PromptCache

	calls []prompts.Call
}

// Member is a prompt of a group.
type Member struct {
	ID         usage.ID
	Calls      int64
	Cost       money.Total
	Similarity float32
	// Text is "" where it is not kept.
	Text string
}

// use is a prompt with its calls.
type use struct {
	id    usage.ID
	calls []prompts.Call
	cost  money.Total
}

type group struct{ project, feature string }

// Clusters groups the prompts of the selected calls, feature by feature, and simulates caches over the
// times of these calls. Which prompts are compared, and so the groups, depends on
// the calls and vectors alone.
func (s *Service) Clusters(ctx context.Context, r ClustersRequest) (Clusters, error) {
	out := Clusters{Groups: []Cluster{}}
	features, err := s.uses(ctx, r, &out)
	if err != nil {
		return out, err
	}
	for g, uses := range features {
		found, err := s.cluster(ctx, r, g, uses, &out)
		if err != nil {
			return out, err
		}
		out.Groups = append(out.Groups, found...)
	}
	slices.SortFunc(out.Groups, func(a, b Cluster) int {
		return cmp.Or(b.Near.Saved.Cmp(a.Near.Saved), b.Cost.Cmp(a.Cost), cmp.Compare(a.Project, b.Project), cmp.Compare(a.Feature, b.Feature),
			slices.Compare(a.Members[0].ID[:], b.Members[0].ID[:]))
	})
	out.Groups = out.Groups[:min(len(out.Groups), r.Limit)]
	for i := range out.Groups {
		if err := s.describe(ctx, r, &out.Groups[i]); err != nil {
			return out, err
		}
	}
	return out, nil
}

// uses gathers the prompts of each feature with their calls.
func (s *Service) uses(ctx context.Context, r ClustersRequest, out *Clusters) (map[group]map[usage.ID]*use, error) {
	features := map[group]map[usage.ID]*use{}
	r.Aggregates = false
	for rec, err := range s.Ledger.Events(ctx, store.EventQuery{Filter: r.Filter, Limit: maxCalls + 1}) {
		if err != nil {
			return nil, err
		}
		if out.Cut = out.Calls == maxCalls; out.Cut {
			break
		}
		out.Calls++
		if rec.PromptID == (usage.ID{}) {
			continue
		}
		g := group{rec.Project, rec.Feature}
		if features[g] == nil {
			features[g] = map[usage.ID]*use{}
		}
		u := features[g][rec.PromptID]
		if u == nil {
			u = &use{id: rec.PromptID}
			features[g][rec.PromptID] = u
		}
		u.calls = append(u.calls, callOf(&rec))
		u.cost = u.cost.Add(rec.Total())
	}
	return features, nil
}

func callOf(rec *usage.Record) prompts.Call {
	return prompts.Call{
		ID: rec.ID, PromptID: rec.PromptID, At: rec.Timestamp, Latency: rec.Latency, Project: rec.Project, Provider: rec.Provider, Model: rec.Model,
		ServiceTier: rec.ServiceTier, Region: rec.Region, Counts: rec.Counts, Cost: rec.Total(), Error: rec.Error,
	}
}

// cluster makes the groups of one feature that have two calls or more.
func (s *Service) cluster(ctx context.Context, r ClustersRequest, g group, uses map[usage.ID]*use, out *Clusters) ([]Cluster, error) {
	list := make([]*use, 0, len(uses))
	for _, u := range uses {
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b *use) int { return cmp.Or(b.cost.Cmp(a.cost), slices.Compare(a.id[:], b.id[:])) })
	if len(list) > maxPrompts {
		out.Left += len(list) - maxPrompts
		list = list[:maxPrompts]
	}
	ids := make([]usage.ID, len(list))
	for i, u := range list {
		ids[i] = u.id
	}
	vectors, err := s.Ledger.GetVectors(ctx, ids, s.Embedder())
	if err != nil {
		return nil, err
	}
	out.Unembedded += len(ids) - len(vectors)
	items := make([]prompts.Item, len(list))
	for i, id := range ids {
		items[i] = prompts.Item{ID: id, Vector: vectors[id]}
	}
	var found []Cluster
	for _, m := range prompts.Cluster(items, r.Least) {
		c := Cluster{Project: g.project, Feature: g.feature, Prompts: len(m.Members), Least: m.Least}
		var all, asOne []prompts.Call
		for n, i := range m.Members {
			u := list[i]
			c.Calls += int64(len(u.calls))
			c.Cost = c.Cost.Plus(u.cost)
			for _, one := range u.calls {
				all = append(all, one)
				one.PromptID = list[m.Members[0]].id
				asOne = append(asOne, one)
			}
			if n < maxTexts {
				c.Members = append(c.Members, Member{ID: u.id, Calls: int64(len(u.calls)), Cost: u.cost, Similarity: prompts.Similarity(items[m.Members[0]], items[i])})
			}
		}
		if c.Calls < 2 {
			continue
		}
		c.Exact, c.Near = prompts.SimulateResponses(all, r.TTL), prompts.SimulateResponses(asOne, r.TTL)
		c.calls = all
		found = append(found, c)
	}
	return found, nil
}

// describe adds what only the groups that are shown need.
func (s *Service) describe(ctx context.Context, r ClustersRequest, c *Cluster) error {
	ids := make([]usage.ID, len(c.Members))
	for i := range c.Members {
		ids[i] = c.Members[i].ID
	}
	kept, err := s.Ledger.GetPrompts(ctx, c.Project, ids)
	if err != nil {
		return err
	}
	var texts []string
	for i := range c.Members {
		if p, ok := kept[c.Members[i].ID]; ok {
			c.Members[i].Text = p.Text
			texts = append(texts, p.Text)
		}
	}
	c.Template = prompts.MineTemplate(texts)
	c.Members = c.Members[:min(len(c.Members), maxMembers)]
	share := c.Template.PrefixPerMille()
	c.Prefix, err = prompts.SimulatePromptCache(c.calls, prompts.PromptCacheParams{Prices: r.Prices, TTL: promptTTL, PrefixPerMille: share})
	return err
}
