package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/rating"
)

// PriceLists puts newer price lists in the place of the shipped book.
type PriceLists interface {
	List() rating.ListInfo
	UpdateList(ctx context.Context, u rating.ListUpdate) (rating.ListResult, error)
	ResetList(ctx context.Context, actor string) error
}

func (s *server) priceListRoutes() []*route {
	book := &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: true, Required: []string{"format", "source", "version", "listed", "providers"},
		Description: "A price book in the form " + pricing.Format + ", which docs/pricing.md describes.",
	}
	return []*route{
		{
			id: "get-price-list", method: http.MethodGet, path: "/api/v1/prices/list", tag: "Prices", need: auth.Read, summary: "The price list in force",
			status: http.StatusOK, answer: s.envelope(schemaOf[priceList](s), nil), serve: s.getPriceList,
		},
		{
			id: "put-price-list", method: http.MethodPut, path: "/api/v1/prices/list", tag: "Prices", need: auth.Administer, everywhere: true, summary: "Put a newer price list in the place of the one in force",
			doc: "Own prices stay over it. A price with a start date applies from that date, one without from now; before that the old one stays. " +
				"A model that the list does not have any more ends now when its price is from the same source. A list that is broken, cut off or in another unit changes nothing. " +
				"Stored calls keep their cost, except those without a price, which a background job prices.",
			params: []param{
				{name: "dryRun", schema: withDefault(text("true", "false"), "false"), doc: "true only tells what would change."},
				{name: "partial", schema: withDefault(text("true", "false"), "false"), doc: "true: the list is a part, what it does not have stays."},
				{name: "expect", schema: text(), doc: "The digest of the difference that was looked at; if anything moved since, the answer is 409."},
			},
			body:   jsonBody(book),
			status: http.StatusOK, answer: s.envelope(schemaOf[listAnswer](s), nil),
			errors: []int{http.StatusConflict, http.StatusServiceUnavailable}, weigh: weighBook, serve: s.putPriceList,
		},
		{
			id: "delete-price-list", method: http.MethodDelete, path: "/api/v1/prices/list", tag: "Prices", need: auth.Administer, everywhere: true, summary: "Put the shipped price book in force again",
			doc:    "As if no list had ever been loaded: the prices of the time since are the shipped ones too. Stored calls keep their cost until a rerate.",
			status: http.StatusNoContent, errors: []int{http.StatusConflict, http.StatusServiceUnavailable}, serve: s.deletePriceList,
		},
	}
}

// bookShare is what comparing two books holds.
const bookShare = 32 << 20

func weighBook(a *answers, _ *query) (*budget, int64) { return a.lists, bookShare }

// ListName names a price list.
type ListName struct {
	Source  string `json:"source" doc:"Where the figures come from."`
	Version string `json:"version"`
	Listed  string `json:"listed" format:"date" doc:"The day it was published."`
}

func listNameOf(p *pricing.Provenance) ListName { return ListName{p.Source, p.Version, p.Listed} }

// BookInfo describes a price book.
type BookInfo struct {
	ListName
	License   string `json:"license,omitempty"`
	URL       string `json:"url,omitempty"`
	Providers int    `json:"providers"`
	Models    int    `json:"models"`
	Versions  int    `json:"versions" doc:"Dated prices, ended ones included."`
}

func bookInfoOf(i *pricing.Info) BookInfo {
	return BookInfo{listNameOf(&i.Provenance), i.License, i.URL, i.Providers, i.Models, i.Versions}
}

type priceList struct {
	BookInfo
	Loaded  bool      `json:"loaded" doc:"It was loaded over the shipped book."`
	Since   time.Time `json:"since,omitzero" doc:"When it was loaded."`
	Shipped BookInfo  `json:"shipped" doc:"The program's own book."`
}

func (s *server) getPriceList(c *call) (*reply, error) {
	if err := c.q.err(); err != nil {
		return nil, err
	}
	i := s.prices.List()
	return &reply{Data: priceList{bookInfoOf(&i.Info), i.Loaded, i.Since, bookInfoOf(&i.Shipped)}}, nil
}

type listAnswer struct {
	Applied bool         `json:"applied" doc:"It is in force now; else nothing was changed."`
	List    ListName     `json:"list"`
	Before  ListName     `json:"before" doc:"The list that was in force."`
	Added   int          `json:"added" doc:"Models that had no price."`
	Changed int          `json:"changed"`
	Removed int          `json:"removed" doc:"Models whose price ends."`
	Same    int          `json:"same"`
	Changes []listChange `json:"changes" doc:"At most 5,000."`
	Total   int          `json:"totalChanges"`
	Digest  string       `json:"digest" doc:"Stands for this difference; send it as expect to apply it."`
	JobID   string       `json:"jobId,omitempty" doc:"The job that prices stored calls that had no price."`
}

type listChange struct {
	Provider      string       `json:"provider"`
	Model         string       `json:"model"`
	Kind          string       `json:"kind" enum:"added,changed,removed"`
	ServiceTier   string       `json:"serviceTier,omitempty"`
	Region        string       `json:"region,omitempty"`
	Window        *priceWindow `json:"window,omitempty"`
	EffectiveFrom time.Time    `json:"effectiveFrom,omitzero" doc:"Absent: at all times."`
	EffectiveTo   time.Time    `json:"effectiveTo,omitzero"`
	Old           *unitPrices  `json:"old,omitempty" doc:"Absent: there was no price."`
	New           *unitPrices  `json:"new,omitempty" doc:"Absent: there is no price any more."`
}

// maxListChanges bounds one answer.
const maxListChanges = 5000

func listChanges(changes []pricing.Change) []listChange {
	out := make([]listChange, 0, min(len(changes), maxListChanges))
	for i := range changes[:cap(out)] {
		c := &changes[i]
		l := listChange{
			Provider: c.Provider, Model: c.Model, Kind: c.Kind, ServiceTier: c.ServiceTier, Region: c.Region,
			Window: windowJSON(c.Window), EffectiveFrom: c.From, EffectiveTo: c.To,
		}
		for _, side := range []struct {
			from *pricing.Version
			to   **unitPrices
		}{{c.Old, &l.Old}, {c.New, &l.New}} {
			if side.from != nil {
				p := unitPrices(side.from.Rates)
				*side.to = &p
			}
		}
		out = append(out, l)
	}
	return out
}

func (s *server) putPriceList(c *call) (*reply, error) {
	if _, err := mediaType(c.Request, "application/json"); err != nil {
		return nil, err
	}
	u := rating.ListUpdate{
		Apply: c.q.oneOf("dryRun", "true", "false") != "true", Partial: c.q.oneOf("partial", "true", "false") == "true",
		Expect: c.q.text("expect"), Actor: c.who().Actor,
	}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	b, err := s.bodies.read(c.Context, c.w, c.Request, maxBody)
	if err != nil {
		return nil, err
	}
	defer b.release()
	u.Book = b.bytes // nothing of it is kept
	res, err := s.prices.UpdateList(c, u)
	if err != nil {
		return nil, err
	}
	return &reply{Data: listAnswer{
		Applied: res.Applied, List: listNameOf(&res.List), Before: listNameOf(&res.Before),
		Added: res.Added, Changed: res.Changed, Removed: res.Removed, Same: res.Same,
		Changes: listChanges(res.Changes), Total: len(res.Changes), Digest: res.Digest, JobID: res.JobID,
	}}, nil
}

func (s *server) deletePriceList(c *call) (*reply, error) {
	if err := c.q.err(); err != nil {
		return nil, err
	}
	return &reply{status: http.StatusNoContent}, s.prices.ResetList(c, c.who().Actor)
}
