package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/prompts"
	"github.com/costprof/costprof/internal/prompts/similar"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// fakeSimilar remembers what it was asked.
type fakeSimilar struct {
	state    Embedding
	asked    similar.Request
	clusters similar.ClustersRequest
	found    []similar.Found
	groups   similar.Clusters
	err      error
}

func (f *fakeSimilar) Similar(_ context.Context, r similar.Request) ([]similar.Found, error) {
	f.asked = r
	return f.found, f.err
}

func (f *fakeSimilar) Clusters(_ context.Context, r similar.ClustersRequest) (similar.Clusters, error) {
	f.clusters = r
	return f.groups, f.err
}

func (f *fakeSimilar) Embedding() Embedding { return f.state }

func TestSimilarPrompts(t *testing.T) {
	f := setup(t)
	id := usage.ID{0xab}
	f.similar.state = Embedding{Status: prompts.Status{Embedder: "lexical-1", Waiting: 4}, Searcher: "pgvector"}
	f.similar.found = []similar.Found{{
		PromptUse:  store.PromptUse{ID: usage.ID{1}, Event: usage.ID{2}, Calls: 3, Cost: money.TotalOf(412_500_000), Feature: "chat", Model: "gpt-4o", Last: noon},
		Similarity: 0.912345, Text: "Hello [email]",
	}}
	for _, path := range []string{"/api/v1/prompts/", "/api/prompts/", "/api/v1/analytics/prompts/", "/api/analytics/prompts/"} {
		a := f.get(path + id.String() + "/similar")
		want := `{"data":[{"id":"02000000000000000000000000000000","promptId":"01000000000000000000000000000000","similarity":0.9123,"prompt":"Hello [email]","feature":"chat","model":"gpt-4o","occurrences":3,"totalCost":0.0004125}],"meta":{"embedder":"lexical-1","waiting":4,"searcher":"pgvector"}}`
		if a.status != http.StatusOK || strings.TrimSpace(string(a.body)) != want {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
		if r := f.similar.asked; r.ID != id || r.Least != 0.8 || r.Limit != 10 || !r.SameFeature || r.Project != "" {
			t.Errorf("asked %+v", r)
		}
	}
	f.get("/api/v1/prompts/" + id.String() + "/similar?threshold=0.25&limit=100&feature=any")
	if r := f.similar.asked; r.Least != 0.25 || r.Limit != 100 || r.SameFeature {
		t.Errorf("asked %+v", r)
	}
	for query, field := range map[string]string{
		"threshold=1.01": "threshold", "threshold=-0.1": "threshold", "threshold=NaN": "threshold", "threshold=x": "threshold",
		"limit=0": "limit", "limit=101": "limit", "feature=other": "feature", "what=1": "what",
	} {
		if a := f.get("/api/v1/prompts/" + id.String() + "/similar?" + query); a.status != http.StatusBadRequest || !strings.Contains(string(a.body), `"`+field+`"`) {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
	if a := f.get("/api/v1/prompts/none/similar"); a.status != http.StatusNotFound {
		t.Errorf("an id that is none: %d", a.status)
	}
	for err, status := range map[error]int{
		fault.New(fault.NotFound, "x"): 404, fault.New(fault.Conflict, "not kept"): 409, fault.New(fault.Unavailable, "wait"): 503,
	} {
		f.similar.err = err
		if a := f.get("/api/v1/prompts/" + id.String() + "/similar"); a.status != status {
			t.Errorf("%v: %d", err, a.status)
		}
	}
}

func TestPromptClusters(t *testing.T) {
	f := setup(t)
	f.similar.groups = similar.Clusters{Calls: 12, Cut: true, Left: 1, Unembedded: 2, Groups: []similar.Cluster{{
		Project: "default", Feature: "chat", Prompts: 2, Calls: 5, Cost: money.TotalOf(5), Least: 0.9,
		Members:  []similar.Member{{ID: usage.ID{1}, Calls: 4, Cost: money.TotalOf(4), Similarity: 1, Text: "a b"}, {ID: usage.ID{2}, Calls: 1, Cost: money.TotalOf(1), Similarity: 0.9}},
		Template: prompts.MineTemplate([]string{"a b", "a cc"}), Exact: prompts.ResponseCache{Calls: 5, Hits: 2, Saved: money.TotalOf(3)},
		Prefix: prompts.PromptCache{Calls: 5, Writes: 1, Reads: 4, Recorded: money.TotalOf(1), Simulated: money.TotalOf(3), Without: money.TotalOf(2)},
	}}}
	for _, path := range []string{"/api/v1/analytics/prompt-clusters", "/api/analytics/prompt-clusters"} {
		a := f.get(path + "?feature=chat&threshold=0.7&ttlMinutes=5&limit=3")
		for _, want := range []string{
			`"kind":"near-duplicates"`, `"template":[{"text":"a "},{"minBytes":1,"maxBytes":2}]`, `"exactCache":{"hits":2,"saved":0.000000000003}`, `"prefixShare":0.5`,
			`"saved":-0.000000000002`, `"savedAlready":0.000000000001`, `"callCount":12,"more":true,"promptsLeftOut":1,"promptsWithoutVector":2`, `"ttlMinutes":5`,
		} {
			if a.status != http.StatusOK || !strings.Contains(string(a.body), want) {
				t.Errorf("%d without %s: %s", a.status, want, a.body)
			}
		}
		if r := f.similar.clusters; r.Least != 0.7 || r.TTL != 5*time.Minute || r.Limit != 3 || len(r.Any) == 0 || r.Prices == nil {
			t.Errorf("asked %+v", r)
		}
	}
	if a := f.get("/api/v1/analytics/prompt-clusters?ttlMinutes=0"); a.status != http.StatusBadRequest {
		t.Error(a.status)
	}
}

func TestClustersAsFiles(t *testing.T) {
	f := setup(t)
	f.similar.groups = similar.Clusters{Calls: 12, Groups: []similar.Cluster{{
		Project: "default", Feature: "=chat", Prompts: 2, Calls: 5, Cost: money.TotalOf(5_000_000_000_000), Least: 0.9126,
		Members:  []similar.Member{{ID: usage.ID{1}, Calls: 4, Cost: money.TotalOf(4), Similarity: 1, Text: "-a b"}, {ID: usage.ID{2}, Calls: 1}},
		Template: prompts.MineTemplate([]string{"a b", "a cc"}), Exact: prompts.ResponseCache{Hits: 2, Saved: money.TotalOf(3)}, Near: prompts.ResponseCache{Hits: 3, Saved: money.TotalOf(4)},
		Prefix: prompts.PromptCache{Calls: 5, Writes: 1, Reads: 3, TooShort: 1, Minimum: 2048, MinimumKnown: true, Recorded: money.TotalOf(1), Simulated: money.TotalOf(3), Without: money.TotalOf(2)},
	}, {
		Project: "default", Feature: "label", Prompts: 1, Calls: 2, Members: []similar.Member{{ID: usage.ID{3}}},
	}}}
	const header = "project,feature,kind,prompts,callCount,totalCost,similarity,exactCacheHits,exactCacheSaved,nearCacheHits,nearCacheSaved,prefixShare,promptCacheReads,promptCacheWrites,tooShortCalls,minimumTokens,minimumKnown," +
		"promptCacheCost,promptCacheRecorded,promptCacheSaved,promptCacheSavedAlready,unpricedCalls,promptId,prompt,template\r\n"
	for _, path := range []string{"/api/v1/export/clusters", "/api/export/clusters"} {
		a := f.get(path + "?feature=chat&threshold=0.7&ttlMinutes=5&" + november).want(200)
		want := header +
			"default,'=chat,near-duplicates,2,5,5,0.913,2,0.000000000003,3,0.000000000004,0.5,3,1,1,2048,true,0.000000000003,0.000000000001,-0.000000000002,0.000000000001,0,01000000000000000000000000000000,'-a b,a {1-2}\r\n" +
			"default,label,duplicates,1,2,0,0,0,0,0,0,0,0,0,0,0,false,0,0,0,0,0,03000000000000000000000000000000,,\r\n"
		if string(a.body) != want || a.header.Get(totalHeader) != "2" || a.header.Get(cursorTrailer) != "" ||
			a.header.Get("Content-Disposition") != `attachment; filename="costprof-clusters-2026-11-01-2026-11-30.csv"` {
			t.Errorf("%s\n%v", a.body, a.header)
		}
		if r := f.similar.clusters; r.Least != 0.7 || r.TTL != 5*time.Minute || r.Limit != 1_000_000 || len(r.Any) == 0 || r.Prices == nil {
			t.Errorf("asked %+v", r)
		}
	}
	f.get("/api/v1/export/clusters?format=json&limit=7&"+november).want(200).says(`"similarity":0.913`, `"minimumTokens":2048,"minimumKnown":true`, `"nextCursor":null`)
	if f.similar.clusters.Limit != 7 {
		t.Error(f.similar.clusters.Limit)
	}
	if n := bytes.Count(f.get("/api/v1/export/clusters?format=ndjson&"+november).want(200).body, []byte("\n")); n != 2 {
		t.Errorf("%d lines", n)
	}
	if file := f.get("/api/v1/export/clusters?format=parquet&" + november).want(200).body; !bytes.HasPrefix(file, []byte("PAR1")) {
		t.Errorf("%q", file)
	}
	f.get("/api/v1/export/clusters?format=focus").want(400).says("format", "focus is for events only")
	f.get("/api/v1/export/clusters?cursor=x").want(400).says("cursor")
	f.get("/api/v1/export/clusters?threshold=2&ttlMinutes=0").want(400).says("threshold", "ttlMinutes")
	f.similar.err = fault.New(fault.Unavailable, "down")
	f.get("/api/v1/export/clusters").want(503)
}

func TestHealthSaysWhoEmbeds(t *testing.T) {
	f := setup(t)
	for want, state := range map[string]Embedding{
		"local": {}, "ok": {Charged: true}, "degraded": {Charged: true, Status: prompts.Status{Error: "down"}},
	} {
		f.similar.state = state
		if a := f.get("/health"); a.status != http.StatusOK || !strings.Contains(string(a.body), `"ai":"`+want+`"`) || !strings.Contains(string(a.body), `"status":"ok"`) {
			t.Errorf("want %s: %d %s", want, a.status, a.body)
		}
	}
	f.similar.state.Waiting = 17
	if a := f.get("/metrics"); !strings.Contains(string(a.body), "costprof_embedding_queued_prompts 17\n") {
		t.Errorf("%s", a.body)
	}
}
