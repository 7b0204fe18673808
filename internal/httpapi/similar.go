package httpapi

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/prompts"
	"github.com/costprof/costprof/internal/prompts/similar"
	"github.com/costprof/costprof/internal/usage"
)

// Similar compares prompts.
type Similar interface {
	Similar(ctx context.Context, r similar.Request) ([]similar.Found, error)
	Clusters(ctx context.Context, r similar.ClustersRequest) (similar.Clusters, error)
	Embedding() Embedding
}

// Embedding says how far the work that makes prompts comparable is.
type Embedding struct {
	prompts.Status
	// Charged says that somebody charges for it.
	Charged bool
	// Indexed is how many prompts can be found, Loaded that all that were embedded
	// before the start are among them.
	Indexed int64
	Loaded  bool
	// Searcher is who finds them: pgvector or memory.
	Searcher string
}

const (
	defaultLikeness = 0.8
	defaultSimilar  = 10
	maxSimilar      = 100
	defaultClusters = 20
	maxClusters     = 100
	// Of answers, in minutes: an hour, and thirty days.
	defaultAnswerTTL = 60
	maxAnswerTTL     = 43_200
)

// likeness is a similarity, written with at most four decimals.
type likeness float32

// MarshalJSON writes a decimal number.
func (l likeness) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, math.Round(float64(l)*10_000)/10_000, 'f', -1, 64), nil
}

// Schema tells the document what that is.
func (likeness) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeNumber} }

type similarPrompt struct {
	ID          string      `json:"id" doc:"The latest event with this prompt."`
	PromptID    string      `json:"promptId"`
	Similarity  likeness    `json:"similarity" doc:"1 is the same; off by some thousandths at most."`
	Prompt      string      `json:"prompt" doc:"The text, redacted."`
	Feature     string      `json:"feature" doc:"Of the latest call."`
	Model       string      `json:"model"`
	Occurrences int64       `json:"occurrences" doc:"Calls with it; with feature=same, in that feature."`
	TotalCost   money.Total `json:"totalCost" doc:"Of these calls."`
}

// SimilarMeta says what was compared with what.
type SimilarMeta struct {
	Embedder string `json:"embedder" doc:"Who makes the vectors that are compared, and with which model."`
	Waiting  int64  `json:"waiting" doc:"Prompts that are not embedded yet and cannot be found."`
}

type searchMeta struct {
	SimilarMeta
	Searcher string `json:"searcher" enum:"pgvector,memory" doc:"Who searches the vectors: the database, or the server in its memory."`
}

func thresholdParam() param {
	zero, one := 0.0, 1.0
	return param{name: "threshold", doc: "The lowest similarity.", schema: &huma.Schema{Type: huma.TypeNumber, Minimum: &zero, Maximum: &one, Default: defaultLikeness}}
}

// clusterParams say which prompts are alike, and what is simulated.
func clusterParams() []param {
	return []param{thresholdParam(), {name: "ttlMinutes", doc: "How long a cache of answers would keep one.", schema: wholeNumber(defaultAnswerTTL, 1, maxAnswerTTL)}}
}

// clusters reads what a question of groups has beside its filter and limit.
func (q *query) clusters(s *server) similar.ClustersRequest {
	ttl := q.whole("ttlMinutes", defaultAnswerTTL, 1, maxAnswerTTL)
	return similar.ClustersRequest{Least: q.likeness("threshold"), TTL: time.Duration(ttl) * time.Minute, Prices: s.prices.Book()}
}

// likeness reads a similarity.
func (q *query) likeness(name string) float32 {
	if !q.has(name) {
		return defaultLikeness
	}
	v, err := strconv.ParseFloat(q.text(name), 32)
	if err != nil || !(v >= 0 && v <= 1) {
		q.bad(name, "must be a number between 0 and 1")
	}
	return float32(v)
}

func (s *server) similarRoutes() []*route {
	like := func(id, path string) *route {
		return &route{
			id: id, method: http.MethodGet, path: "/api/v1/" + path, alias: "/api/" + path, tag: "Analytics", need: auth.Read,
			summary: "Prompts that are like one",
			doc: "Of the same project, most similar first, without the prompt itself. id is that of an event or of a prompt. 409 when its text is not kept, " +
				"503 while its vector is not made yet, or the vectors are being read after a start, or indexed for the first time.",
			params: []param{
				thresholdParam(),
				{name: "limit", doc: "The most prompts.", schema: wholeNumber(defaultSimilar, 1, maxSimilar)},
				{name: "feature", doc: "same: those used in the feature of the event, or in that in which the prompt was used last; any: all.", schema: withDefault(text("same", "any"), "same")},
			},
			status: http.StatusOK, answer: s.envelope(arrayOf(schemaOf[similarPrompt](s)), schemaOf[searchMeta](s)),
			errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable}, weigh: weighChart, serve: s.similarTo,
		}
	}
	return []*route{
		like("get-similar-prompts", "prompts/{id}/similar"),
		like("get-similar-prompts-of", "analytics/prompts/{id}/similar"),
		{
			id: "get-prompt-clusters", method: http.MethodGet, path: "/api/v1/analytics/prompt-clusters", alias: "/api/analytics/prompt-clusters", tag: "Analytics", need: auth.Read,
			summary: "Groups of the same and nearly the same prompts, and what caches would have saved",
			doc: "Of each feature, groups with two calls or more; what a cache of answers would save most of comes first. Savings are simulated over the times of the calls and at the prices of each: nothing is extrapolated. " +
				"An answer rests on the newest 50,000 calls of the range, and on the 1,000 dearest prompts of each feature.",
			params: concat(windowParams, filterParams, clusterParams(), []param{
				{name: "limit", doc: "The most groups.", schema: wholeNumber(defaultClusters, 1, maxClusters)},
			}),
			status: http.StatusOK, answer: s.envelope(arrayOf(schemaOf[promptCluster](s)), schemaOf[clustersMeta](s)),
			weigh: weighChart, serve: s.promptClusters,
		},
	}
}

func (s *server) similarTo(c *call) (*reply, error) {
	r := similar.Request{Least: c.q.likeness("threshold"), Limit: c.q.whole("limit", defaultSimilar, 1, maxSimilar), Project: c.who().Project}
	r.SameFeature = c.q.oneOf("feature", "same", "any") != "any"
	if err := c.q.err(); err != nil {
		return nil, err
	}
	var err error
	if r.ID, err = usage.ParseID(c.PathValue("id")); err != nil {
		return nil, errNoThing
	}
	found, err := s.similar.Similar(c, r)
	if err != nil {
		return nil, notFound(err)
	}
	data := make([]similarPrompt, len(found))
	for i, f := range found {
		data[i] = similarPrompt{
			ID: f.Event.String(), PromptID: f.ID.String(), Similarity: likeness(f.Similarity), Prompt: f.Text,
			Feature: f.Feature, Model: f.Model, Occurrences: f.Calls, TotalCost: f.Cost,
		}
	}
	return &reply{Data: data, Meta: searchMeta{s.similarMeta(), s.similar.Embedding().Searcher}}, nil
}

func (s *server) similarMeta() SimilarMeta {
	st := s.similar.Embedding()
	return SimilarMeta{Embedder: st.Embedder, Waiting: max(0, st.Waiting)}
}

type promptCluster struct {
	Project     string          `json:"project"`
	Feature     string          `json:"feature"`
	Kind        string          `json:"kind" enum:"duplicates,near-duplicates" doc:"duplicates: one prompt, sent again and again."`
	Prompts     int             `json:"prompts" doc:"Different prompts in the group."`
	CallCount   int64           `json:"callCount"`
	TotalCost   money.Total     `json:"totalCost"`
	Similarity  likeness        `json:"similarity" doc:"The lowest of a prompt to the first of the group."`
	Examples    []clusterPrompt `json:"examples" doc:"The dearest prompts, at most five."`
	Template    []templatePart  `json:"template" doc:"What the texts (ten at most) have in common and what differs, in order; empty where no text is kept."`
	ExactCache  answersCache    `json:"exactCache" doc:"A cache of answers to the very same prompt."`
	NearCache   answersCache    `json:"nearCache" doc:"A cache of answers that takes all prompts of the group for the same. Whether their answers would be, it cannot know."`
	PromptCache prefixCache     `json:"promptCache" doc:"The provider's cache of what the prompts begin with, for five minutes after each use."`
}

type clusterPrompt struct {
	PromptID   string      `json:"promptId"`
	Prompt     string      `json:"prompt,omitempty" doc:"Redacted; absent where it is not kept."`
	CallCount  int64       `json:"callCount"`
	TotalCost  money.Total `json:"totalCost"`
	Similarity likeness    `json:"similarity"`
}

type templatePart struct {
	Text     string `json:"text,omitempty" doc:"What all have; absent of a part that varies."`
	MinBytes int    `json:"minBytes,omitempty" doc:"Of a part that varies: its length."`
	MaxBytes int    `json:"maxBytes,omitempty"`
}

type answersCache struct {
	Hits  int64       `json:"hits"`
	Saved money.Total `json:"saved"`
}

type prefixCache struct {
	PrefixShare   thousandths `json:"prefixShare" doc:"Part of the input that the beginning is taken to be: of the text, in bytes."`
	Reads         int64       `json:"reads"`
	Writes        int64       `json:"writes"`
	Cost          money.Total `json:"cost" doc:"What the calls would have cost with it."`
	Recorded      money.Total `json:"recorded" doc:"What they cost with the cached tokens that were recorded, at the same prices."`
	Saved         money.Total `json:"saved" doc:"Against recorded; negative when it would have cost more."`
	SavedAlready  money.Total `json:"savedAlready" doc:"By the recorded use of a cache against none; negative when it cost more."`
	UnpricedCalls int64       `json:"unpricedCalls" doc:"Left out: there is no price for them."`
	TooShort      int64       `json:"tooShortCalls" doc:"Calls whose beginning is shorter than what their model caches."`
	MinimumTokens int64       `json:"minimumTokens" doc:"The shortest beginning that is cached, of the model of these calls that asks for the longest; 0 where none has a price."`
	MinimumKnown  bool        `json:"minimumKnown" doc:"The providers have published it of every model of these calls. Where they have not, 1,024 tokens are taken, as most ask for."`
}

type clustersMeta struct {
	WindowMeta
	SimilarMeta
	Threshold  likeness `json:"threshold"`
	TTLMinutes int      `json:"ttlMinutes"`
	CallCount  int64    `json:"callCount" doc:"Calls that the answer rests on."`
	More       bool     `json:"more" doc:"There are older calls in the range, which were not looked at."`
	Left       int      `json:"promptsLeftOut" doc:"Prompts that were not compared: their feature has too many."`
	Unembedded int      `json:"promptsWithoutVector" doc:"Prompts that are like nothing but themselves, for want of a vector."`
}

func (s *server) promptClusters(c *call) (*reply, error) {
	w := c.q.window(s.now())
	r := c.q.clusters(s)
	r.Filter, r.Limit = c.q.filter(w), c.q.whole("limit", defaultClusters, 1, maxClusters)
	if err := c.q.err(); err != nil {
		return nil, err
	}
	found, err := s.similar.Clusters(c, r)
	if err != nil {
		return nil, fmt.Errorf("group prompts: %w", err)
	}
	data := make([]promptCluster, len(found.Groups))
	for i := range found.Groups {
		data[i] = clusterJSON(&found.Groups[i])
	}
	return &reply{Data: data, Meta: clustersMeta{
		WindowMeta: w.meta(), SimilarMeta: s.similarMeta(), Threshold: likeness(r.Least), TTLMinutes: int(r.TTL / time.Minute),
		CallCount: found.Calls, More: found.Cut, Left: found.Left, Unembedded: found.Unembedded,
	}}, nil
}

func clusterKind(g *similar.Cluster) string {
	if g.Prompts == 1 {
		return "duplicates"
	}
	return "near-duplicates"
}

func clusterJSON(g *similar.Cluster) promptCluster {
	out := promptCluster{
		Project: g.Project, Feature: g.Feature, Prompts: g.Prompts, CallCount: g.Calls, TotalCost: g.Cost, Similarity: likeness(g.Least),
		Examples: make([]clusterPrompt, len(g.Members)), Template: make([]templatePart, len(g.Template.Parts)),
		ExactCache: answersCache{g.Exact.Hits, g.Exact.Saved}, NearCache: answersCache{g.Near.Hits, g.Near.Saved},
		PromptCache: prefixCache{
			PrefixShare: thousandths(g.Template.PrefixPerMille()), Reads: g.Prefix.Reads, Writes: g.Prefix.Writes, Cost: g.Prefix.Simulated,
			Recorded: g.Prefix.Recorded, Saved: g.Prefix.Saved(), SavedAlready: g.Prefix.SavedByRecorded(), UnpricedCalls: g.Prefix.Unpriced,
			TooShort: g.Prefix.TooShort, MinimumTokens: g.Prefix.Minimum, MinimumKnown: g.Prefix.MinimumKnown,
		},
	}
	out.Kind = clusterKind(g)
	for i, m := range g.Members {
		out.Examples[i] = clusterPrompt{m.ID.String(), m.Text, m.Calls, m.Cost, likeness(m.Similarity)}
	}
	for i, p := range g.Template.Parts {
		out.Template[i] = templatePart{p.Text, p.Least, p.Most}
	}
	return out
}
