package httpapi

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/costprof/costprof/internal/export"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/prompts"
	"github.com/costprof/costprof/internal/prompts/similar"
)

// clusterRow is a group of prompts as a row of a table.
type clusterRow struct {
	Project      string      `json:"project"`
	Feature      string      `json:"feature"`
	Kind         string      `json:"kind" enum:"duplicates,near-duplicates"`
	Prompts      int64       `json:"prompts"`
	CallCount    int64       `json:"callCount"`
	TotalCost    money.Total `json:"totalCost"`
	Similarity   thousandths `json:"similarity"`
	ExactHits    int64       `json:"exactCacheHits"`
	ExactSaved   money.Total `json:"exactCacheSaved"`
	NearHits     int64       `json:"nearCacheHits"`
	NearSaved    money.Total `json:"nearCacheSaved"`
	PrefixShare  thousandths `json:"prefixShare"`
	Reads        int64       `json:"promptCacheReads"`
	Writes       int64       `json:"promptCacheWrites"`
	TooShort     int64       `json:"tooShortCalls"`
	Minimum      int64       `json:"minimumTokens"`
	MinimumKnown bool        `json:"minimumKnown"`
	Cost         money.Total `json:"promptCacheCost"`
	Recorded     money.Total `json:"promptCacheRecorded"`
	Saved        money.Total `json:"promptCacheSaved"`
	SavedAlready money.Total `json:"promptCacheSavedAlready"`
	Unpriced     int64       `json:"unpricedCalls"`
	PromptID     string      `json:"promptId" doc:"The first prompt of the group."`
	Prompt       string      `json:"prompt" doc:"Its text, redacted; empty where it is not kept."`
	Template     string      `json:"template" doc:"What the texts have in common, with {least-most} for the bytes of what varies."`
}

func (s *server) clustersExport() exportOf {
	type row = similar.Cluster
	amount := export.Money[row]
	whole := export.Whole[row]
	words := export.Text[row]
	table := []export.Column[row]{
		words("project", func(r *row) string { return r.Project }),
		words("feature", func(r *row) string { return r.Feature }),
		words("kind", clusterKind),
		whole("prompts", func(r *row) int64 { return int64(r.Prompts) }),
		whole("callCount", func(r *row) int64 { return r.Calls }),
		amount("totalCost", func(r *row) money.Total { return r.Cost }),
		export.Decimal("similarity", 3, func(r *row) int64 { return int64(r.Least*1000 + 0.5) }),
		whole("exactCacheHits", func(r *row) int64 { return r.Exact.Hits }),
		amount("exactCacheSaved", func(r *row) money.Total { return r.Exact.Saved }),
		whole("nearCacheHits", func(r *row) int64 { return r.Near.Hits }),
		amount("nearCacheSaved", func(r *row) money.Total { return r.Near.Saved }),
		export.Decimal("prefixShare", 3, func(r *row) int64 { return r.Template.PrefixPerMille() }),
		whole("promptCacheReads", func(r *row) int64 { return r.Prefix.Reads }),
		whole("promptCacheWrites", func(r *row) int64 { return r.Prefix.Writes }),
		whole("tooShortCalls", func(r *row) int64 { return r.Prefix.TooShort }),
		whole("minimumTokens", func(r *row) int64 { return r.Prefix.Minimum }),
		export.Flag("minimumKnown", func(r *row) bool { return r.Prefix.MinimumKnown }),
		amount("promptCacheCost", func(r *row) money.Total { return r.Prefix.Simulated }),
		amount("promptCacheRecorded", func(r *row) money.Total { return r.Prefix.Recorded }),
		amount("promptCacheSaved", func(r *row) money.Total { return r.Prefix.Saved() }),
		amount("promptCacheSavedAlready", func(r *row) money.Total { return r.Prefix.SavedByRecorded() }),
		whole("unpricedCalls", func(r *row) int64 { return r.Prefix.Unpriced }),
		words("promptId", func(r *row) string { return r.Members[0].ID.String() }),
		words("prompt", func(r *row) string { return r.Members[0].Text }),
		words("template", func(r *row) string { return templateText(r.Template) }),
	}
	return exportOf{
		what: "clusters", summary: "Groups of the same and nearly the same prompts as a file",
		doc: "The groups of /api/v1/analytics/prompt-clusters, all of them in one answer: there is no cursor. It rests on the newest 50,000 calls of the range, and on the 1,000 dearest prompts of each feature. " +
			exportFile + "An export that fails on the way breaks the connection: what ends well is whole.",
		formats: formatNames(false), csv: tableCSV + columnsDoc(table) + ".", row: schemaOf[clusterRow](s), params: clusterParams(), whole: true,
		ask: func(ctx context.Context, in *exportRequest) (*exported, error) {
			r := in.query.clusters(s)
			if err := in.query.err(); err != nil {
				return nil, err
			}
			r.Filter, r.Limit = in.filter, in.limit
			found, err := s.similar.Clusters(ctx, r)
			if err != nil {
				return nil, fmt.Errorf("group prompts: %w", err)
			}
			rows := func(yield func(*row, error) bool) {
				for i := range found.Groups {
					if !yield(&found.Groups[i], nil) {
						return
					}
				}
			}
			none := func() string { return "" }
			total := int64(len(found.Groups))
			if len(found.Groups) == in.limit {
				total = -1 // there may be more
			}
			return &exported{in.filter.From, in.filter.To, total, time.Time{}, func(ctx context.Context, w io.Writer) error {
				return writeRows(ctx, export.Table(in.format, table, w, in.options), rows, none)
			}, none}, nil
		},
	}
}

// templateText writes a template as a text.
func templateText(t prompts.Template) (text string) {
	for _, p := range t.Parts {
		if p.Varies() {
			text += fmt.Sprintf("{%d-%d}", p.Least, p.Most)
		} else {
			text += p.Text
		}
	}
	return text
}
