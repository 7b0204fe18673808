package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/ingest"
	"github.com/costprof/costprof/internal/ingest/jsonevents"
)

func (s *server) ingestRoutes() []*route {
	batch := huma.MediaType{Schema: s.batchSchema()}
	return []*route{{
		id: "post-events", method: http.MethodPost, path: "/api/v1/events", alias: "/api/events", tag: "Events", need: auth.Send, pace: paceIngest,
		summary: "Store a batch of events",
		doc: "Answers 202 only after the events are durable. At most 500 events and 5 MiB, decompressed. " +
			"An event that is stored already counts as a duplicate, at any age, so a batch can be sent again. " +
			"Sent again with aggregate: true it becomes an aggregate and leaves all totals; the mark never goes away. " +
			"Bad input stores nothing and lists every problem; with partial=true the valid events are stored.",
		params: []param{
			{name: "partial", doc: "Store the valid events and list the others as rejected.", schema: withDefault(text("true", "false"), "false")},
			{name: "costs", doc: "Answer with the cost of each event at the prices in force, also of duplicates.", schema: withDefault(text("true", "false"), "false")},
		},
		body: &huma.RequestBody{
			Required: true, Description: "As it is, or with Content-Encoding gzip or zstd.",
			Content: map[string]*huma.MediaType{
				"application/json":     &batch,
				"application/x-ndjson": {Schema: &huma.Schema{Type: huma.TypeString, Description: "One event a line."}},
			},
		},
		status: http.StatusAccepted, answer: schemaOf[ingest.Result](s),
		errors: []int{http.StatusServiceUnavailable},
		raw:    s.postEvents,
	}}
}

// postEvents is a plain handler: everything else here is paid for by each batch.
func (s *server) postEvents(w http.ResponseWriter, r *http.Request) {
	result, err := s.ingestBatch(w, r)
	if err != nil {
		s.metrics.refused.Inc()
		if code := fault.CodeOf(err); (code == fault.Unavailable || code == fault.Internal) && r.Context().Err() == nil {
			s.metrics.failed.Inc()
		}
		s.fail(w, r, err)
		return
	}
	s.metrics.ingested(&result)
	s.write(w, r, http.StatusAccepted, &result)
}

func (s *server) ingestBatch(w http.ResponseWriter, r *http.Request) (ingest.Result, error) {
	var none ingest.Result
	q := queryOf(r, ingestParams)
	partial := q.oneOf("partial", "true", "false") == "true"
	costs := q.oneOf("costs", "true", "false") == "true"
	if err := q.err(); err != nil {
		return none, err
	}
	kind, err := mediaType(r, "application/json", "application/x-ndjson")
	if err != nil {
		return none, err
	}
	body, err := s.bodies.read(r.Context(), w, r, maxBody)
	if err != nil {
		return none, err
	}
	// What was decoded does not point into the body, but it is about as large, so
	// the share of the budget is held until the batch is stored.
	defer body.release()
	ctx, cancel := context.WithTimeout(r.Context(), s.timeout)
	defer cancel()
	format := jsonevents.JSON
	if kind == "application/x-ndjson" {
		format = jsonevents.NDJSON
	}
	start := time.Now()
	batch, err := jsonevents.Decode(body.bytes, format)
	if err != nil {
		return none, err
	}
	batch.Partial, batch.Costs = partial, costs
	confine(&batch, exchangeOf(r.Context()).who)
	result, err := s.ingest.Ingest(ctx, batch)
	if err == nil {
		s.metrics.storing.Observe(time.Since(start).Seconds())
	}
	return result, err
}

// confine says for which project an event is that names none, and which ones who
// sends it may write.
func confine(b *ingest.Batch, who auth.Principal) {
	if own := who.Project; own != "" {
		b.DefaultProject = own
		b.MayWrite = func(project string) bool { return project == own }
	}
}

var ingestParams = []param{{name: "partial"}, {name: "costs"}}

// batchSchema describes the wire form of a batch. Requests are judged by the
// decoder and the domain, which know more than a schema can say.
func (s *server) batchSchema() *huma.Schema {
	least, most := 1, ingest.MaxBatch
	return &huma.Schema{Type: huma.TypeObject, Required: []string{"events"}, Properties: map[string]*huma.Schema{
		"events": {Type: huma.TypeArray, MinItems: &least, MaxItems: &most, Items: completeEvents(schemaOf[WireEvent](s))},
	}}
}
