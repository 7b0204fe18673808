// Package similar answers which prompts are like a given one, and which groups of
// prompts are nearly the same: it has the vectors of the ledger searched, and asks
// the ledger what they stand for. It makes no vectors but that of a prompt
// that is asked for before its turn.
package similar

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/prompts"
	"github.com/costprof/costprof/internal/prompts/index"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// widest is the most candidates that are looked at for one answer.
const widest = 2_000

// Ledger is what the service needs of an engine.
type Ledger interface {
	Get(ctx context.Context, id usage.ID, f analytics.Filter) (usage.Record, error)
	store.Texts
	GetVectors(ctx context.Context, ids []usage.ID, embedder string) (map[usage.ID][]float32, error)
	ListVectors(ctx context.Context, embedder string, after int64, limit int) ([]store.PromptVector, error)
	Events(ctx context.Context, q store.EventQuery) iter.Seq2[usage.Record, error]
	PromptUses(ctx context.Context, ids []usage.ID, f analytics.Filter) ([]store.PromptUse, error)
}

// Params are what a Service is made of.
type Params struct {
	Ledger Ledger
	// Nearest is the ledger's engine where it may search vectors itself; nil, or one
	// that cannot, has them searched in memory.
	Nearest  store.Nearest
	Embedder prompts.Embedder
	Log      *slog.Logger
}

// searcher finds the vectors that are most alike one.
type searcher interface {
	// search gives the most similar vectors, most similar first, then by id.
	// fault.Unavailable while there are vectors that it does not know yet.
	search(ctx context.Context, q query) ([]index.Match, error)
	// stored hears of a vector that is in the ledger now, gone of one that was found
	// and whose text is not there any more, and forget that some are gone.
	stored(v store.PromptVector)
	gone(project string, id usage.ID)
	forget()
	// indexed is how many vectors can be found, and whether those that the ledger had
	// at the start are among them.
	indexed() (n int, loaded bool)
	// run keeps up with the ledger until ctx ends.
	run(ctx context.Context) error
	// name is who it is, for people.
	name() string
}

// query is what to search for: the limit vectors of a project that are most like
// one, and at least as similar as least, without that of the prompt not. A holder
// takes no vector for that of the prompt not.
type query struct {
	project string
	vector  []float32
	not     usage.ID
	limit   int
	least   float32
}

// holder is a searcher that has the vectors at hand.
type holder interface {
	// holds gives the project of the prompt, in the given one or, with "", in any, if its vector
	// is at hand.
	holds(project string, id usage.ID) (in string, ok bool)
}

// Service may be used from many goroutines.
type Service struct {
	Params
	by searcher
}

// New makes a service that knows no vector yet; Run reads them.
func New(p Params) *Service {
	if p.Nearest != nil && p.Nearest.Searcher() != "" {
		return &Service{Params: p, by: newEngine(p)}
	}
	return &Service{Params: p, by: newMemory(p)}
}

// Searcher is the name of who searches: the engine's, or memory.
func (s *Service) Searcher() string { return s.by.name() }

// Forget says that texts were removed: what was erased must not stay in memory
// either.
func (s *Service) Forget() { s.by.forget() }

// Embedder is the name of who made the vectors.
func (s *Service) Embedder() string { return s.Params.Embedder.Name() }

// Run keeps up with the vectors of the ledger. It ends with ctx.
func (s *Service) Run(ctx context.Context) error { return s.by.run(ctx) }

// Stored hears of a vector that is in the ledger.
func (s *Service) Stored(v store.PromptVector) { s.by.stored(v) }

// Indexed is how many vectors can be found, and whether all that the ledger had
// at the start are among them.
func (s *Service) Indexed() (n int, loaded bool) { return s.by.indexed() }

// Request asks for prompts like one.
type Request struct {
	// ID is that of a prompt or of an event.
	ID usage.ID
	// Project limits where it may be found, "" is everywhere.
	Project string
	// Least is the lowest similarity, Limit the most answers.
	Least float32
	Limit int
	// SameFeature asks for uses in the feature of the event, or in that in which the
	// prompt was used last.
	SameFeature bool
}

// Found is a prompt that is like another.
type Found struct {
	store.PromptUse
	Similarity float32
	Text       string
}

var errNotKept = fault.New(fault.Conflict, "The text of this prompt is not kept, so it cannot be compared; turn it on for the project with costprof capture")

// Similar gives the prompts of the same project that are most like one, most
// similar first, without it. fault.NotFound when there is neither such an event nor such a
// prompt, fault.Conflict when its text is not kept, and fault.Unavailable while its
// vector is not made or the vectors are being read.
func (s *Service) Similar(ctx context.Context, r Request) ([]Found, error) {
	if h, ok := s.by.(holder); ok {
		if project, ok := h.holds(r.Project, r.ID); ok {
			// Without reading its text and vector first; complete sees whether it is there.
			out, err := s.likeHeld(ctx, r, project)
			if !errors.Is(err, index.ErrUnknown) {
				return out, err
			}
		}
	}
	prompt, feature, err := s.find(ctx, r)
	if err != nil {
		return nil, err
	}
	vector, err := s.vector(ctx, prompt)
	if err != nil {
		return nil, err
	}
	return s.like(ctx, r, query{project: prompt.Project, vector: vector, not: prompt.ID}, feature)
}

// likeHeld is Similar for a prompt whose vector is at hand; index.ErrUnknown when
// it was removed.
func (s *Service) likeHeld(ctx context.Context, r Request, project string) ([]Found, error) {
	feature := ""
	if r.SameFeature {
		uses, err := s.Ledger.PromptUses(ctx, []usage.ID{r.ID}, ofProject(project))
		if err != nil {
			return nil, err
		}
		if len(uses) > 0 {
			feature = uses[0].Feature
		}
	}
	return s.like(ctx, r, query{project: project, not: r.ID}, feature)
}

// like answers a request with what the query finds.
func (s *Service) like(ctx context.Context, r Request, q query, feature string) ([]Found, error) {
	f := ofProject(q.project)
	if r.SameFeature {
		f.Any[analytics.Feature] = []string{feature}
	}
	q.least = r.Least
	// Which of the nearest are used in the feature the ledger knows; where too few
	// are, more are looked at.
	for wide := 2*r.Limit + 1; ; wide *= 4 {
		q.limit = min(wide, widest)
		near, err := s.by.search(ctx, q)
		if err != nil {
			return nil, err
		}
		out, err := s.complete(ctx, q, near, r.Limit, f)
		if err != nil || len(out) == r.Limit || len(near) < wide || wide >= widest {
			return out, err
		}
	}
}

func ofProject(project string) analytics.Filter {
	return analytics.Filter{Any: map[analytics.Dimension][]string{analytics.Project: {project}}}
}

// find gives the prompt that is asked for, and the feature it is asked in.
func (s *Service) find(ctx context.Context, r Request) (store.Prompt, string, error) {
	p, err := store.GetPrompt(ctx, s.Ledger, r.Project, r.ID)
	if err == nil {
		uses, err := s.Ledger.PromptUses(ctx, []usage.ID{p.ID}, ofProject(p.Project))
		if err != nil || len(uses) == 0 {
			return p, "", err
		}
		return p, uses[0].Feature, nil
	}
	if fault.CodeOf(err) != fault.NotFound {
		return p, "", err
	}
	f := analytics.Filter{}
	if r.Project != "" {
		f = ofProject(r.Project)
	}
	event, err := s.Ledger.Get(ctx, r.ID, f)
	if fault.CodeOf(err) == fault.NotFound {
		// A prompt whose text is not kept is known by its uses.
		uses, failed := s.Ledger.PromptUses(ctx, []usage.ID{r.ID}, f)
		if failed == nil && len(uses) > 0 {
			failed = errNotKept
		}
		if failed != nil {
			return p, "", failed
		}
	}
	if err != nil {
		return p, "", err
	}
	if event.PromptID == (usage.ID{}) {
		return p, "", errNotKept
	}
	p, err = store.GetPrompt(ctx, s.Ledger, event.Project, event.PromptID)
	if fault.CodeOf(err) == fault.NotFound {
		err = errNotKept
	}
	return p, event.Feature, err
}

// vector is that of the ledger; one that is not made yet is made now where that
// costs nothing.
func (s *Service) vector(ctx context.Context, p store.Prompt) ([]float32, error) {
	stored, err := s.Ledger.GetVectors(ctx, []usage.ID{p.ID}, s.Embedder())
	if err != nil || stored[p.ID] != nil {
		return stored[p.ID], err
	}
	if s.Params.Embedder.Charged() {
		return nil, &fault.Error{Code: fault.Unavailable, Message: "this prompt waits to be embedded; try again", RetryAfter: 5 * time.Second}
	}
	got, err := s.Params.Embedder.Embed(ctx, []string{p.Text})
	if err != nil {
		return nil, err
	}
	return got.Vectors[0], nil
}

// complete says of the first limit that are used as the filter says what they are.
// index.ErrUnknown when the prompt that is asked for is not there any more.
func (s *Service) complete(ctx context.Context, q query, near []index.Match, limit int, f analytics.Filter) ([]Found, error) {
	out := []Found{}
	ids := make([]usage.ID, len(near))
	for i, m := range near {
		ids[i] = m.ID
	}
	list, err := s.Ledger.PromptUses(ctx, ids, f)
	if err != nil {
		return nil, err
	}
	uses := make(map[usage.ID]store.PromptUse, len(list))
	for _, u := range list {
		uses[u.ID] = u
	}
	used := slices.DeleteFunc(slices.Clone(near), func(m index.Match) bool { _, ok := uses[m.ID]; return !ok })
	for asked := q.vector != nil; !asked || len(used) > 0 && len(out) < limit; asked = true {
		some := used[:min(len(used), limit-len(out))]
		used = used[len(some):]
		var ids []usage.ID
		for _, m := range some {
			ids = append(ids, m.ID)
		}
		if !asked {
			ids = append(ids, q.not)
		}
		texts, err := s.Ledger.GetPrompts(ctx, q.project, ids)
		if err != nil {
			return nil, err
		}
		if _, kept := texts[q.not]; !kept && !asked {
			s.by.gone(q.project, q.not)
			return nil, index.ErrUnknown
		}
		for _, m := range some {
			p, kept := texts[m.ID]
			if !kept {
				s.by.gone(q.project, m.ID) // removed since, here or by another server
				continue
			}
			out = append(out, Found{PromptUse: uses[m.ID], Similarity: m.Similarity, Text: p.Text})
		}
	}
	return out, nil
}
