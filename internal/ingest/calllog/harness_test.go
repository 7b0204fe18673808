package calllog_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/ingest/calllog"
	"github.com/costprof/costprof/internal/ingest/calllog/claudecode"
	"github.com/costprof/costprof/internal/ingest/calllog/codex"
	"github.com/costprof/costprof/internal/ingest/calllog/langfuse"
	"github.com/costprof/costprof/internal/ingest/calllog/litellm"
	"github.com/costprof/costprof/internal/ingest/calllog/responses"
	"github.com/costprof/costprof/internal/ingest/jsonevents"
	"github.com/costprof/costprof/internal/usage"
)

// changed is when the sources of the tests were written.
var changed = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func allKinds() []calllog.Kind {
	return []calllog.Kind{claudecode.Kind(), codex.Kind(), litellm.Kind(), langfuse.Kind(), responses.Kind()}
}

// result is what a source came to.
type result struct {
	events []usage.Event
	bad    []string
	calllog.Tally
}

// load reads a source as the command does: recognised, surveyed, read, and each
// event judged as the server judges it.
func load(t testing.TB, text string, change ...func(*calllog.Options)) result {
	t.Helper()
	kind, ok := calllog.Recognise([]byte(text), allKinds())
	if !ok {
		t.Fatalf("not recognised: %.300s", text)
	}
	o := calllog.Options{Kind: kind, Changed: changed, Head: []byte(text)}
	for _, c := range change {
		c(&o)
	}
	return loadAs(t, text, o)
}

func loadAs(t testing.TB, text string, o calllog.Options) result {
	t.Helper()
	if o.Kind.Survey != nil {
		if err := calllog.Survey(strings.NewReader(text), o); err != nil {
			t.Fatal(err)
		}
	}
	var r result
	reader := calllog.Open(strings.NewReader(text), o)
	for e, err := range reader.Events() {
		if err != nil {
			r.bad = append(r.bad, err.Error())
			continue
		}
		batch, err := jsonevents.Decode([]byte(`{"events":[`+string(e.JSON)+`]}`), jsonevents.JSON)
		if err != nil {
			t.Fatalf("%s: %v", e.JSON, err)
		}
		in := batch.Events[0]
		if len(in.Problems) > 0 || len(in.Unknown) > 0 {
			t.Fatalf("%s: problems %v, unknown %v", e.JSON, in.Problems, in.Unknown)
		}
		r.events = append(r.events, in.Event)
	}
	r.Tally = reader.Tally()
	if sum := r.Calls + r.Parts + r.NoUsage + r.Malformed + r.Unknown + r.Unfinished; sum != r.Records {
		t.Errorf("%d records, but the outcomes are %d: %+v", r.Records, sum, r.Tally)
	}
	if r.Calls != len(r.events) || r.Malformed != len(r.bad) {
		t.Errorf("%d events and %d errors, tally %+v", len(r.events), len(r.bad), r.Tally)
	}
	return r
}

// valid judges the events as the server does.
func (r result) valid(t testing.TB) result {
	t.Helper()
	for i := range r.events {
		e := r.events[i]
		e.Project = "default"
		if problems := e.Validate(changed); len(problems) > 0 {
			t.Errorf("event %d: %v", i, problems)
		}
	}
	if len(r.bad) > 0 {
		t.Errorf("errors %q", r.bad)
	}
	return r
}

func (r result) only(t testing.TB) usage.Event {
	t.Helper()
	if len(r.events) != 1 {
		t.Fatalf("%d events, want 1; errors %q, %+v", len(r.events), r.bad, r.Tally)
	}
	return r.events[0]
}

// counts names the counts that are not 0.
func counts(e usage.Event) map[string]int64 {
	m := map[string]int64{}
	for u, n := range e.Counts {
		if n != 0 {
			m[usage.Units[u].Count] = n
		}
	}
	return m
}

func growing(o *calllog.Options) { o.Growing = true }

func set(t testing.TB, fields map[string]any) func(*calllog.Options) {
	t.Helper()
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return func(o *calllog.Options) { o.Set = text }
}

func ids(events []usage.Event) map[string]bool {
	m := map[string]bool{}
	for _, e := range events {
		m[e.EventID] = true
	}
	return m
}
