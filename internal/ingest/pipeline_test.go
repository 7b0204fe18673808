package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/usage"
)

func TestIngestStoresPricesAndAnnounces(t *testing.T) {
	r := newRig(nil)
	got, err := r.Ingest(t.Context(), Batch{Events: []Input{input("a"), input("b"), input("a")}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Result{Accepted: 2, Duplicates: 1}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again, err := r.Ingest(t.Context(), Batch{Events: []Input{input("b"), input("c")}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Result{Accepted: 1, Duplicates: 1}, again); diff != "" {
		t.Errorf("a partly repeated batch (-want +got):\n%s", diff)
	}
	var spans []string
	for _, a := range r.announced {
		spans = append(spans, a.SpanID)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, spans); diff != "" {
		t.Errorf("announced (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{1, 2}, r.commits); diff != "" {
		t.Errorf("commits announced (-want +got):\n%s", diff)
	}
	stored := r.ledger.all(t)
	if len(stored) != 3 {
		t.Fatalf("stored %d events, want 3", len(stored))
	}
	for _, s := range stored {
		if s.Project != "default" || s.PriceID != "p_known" || s.Total() != 7 || s.ProviderID != "p" ||
			s.ID != s.Event.Identity() || !s.ReceivedAt.Equal(noon.Add(time.Microsecond)) {
			t.Errorf("stored %+v", s)
		}
	}
	if diff := cmp.Diff([]string{"p_known"}, r.versions.puts); diff != "" {
		t.Errorf("versions kept (-want +got):\n%s", diff)
	}
}

func TestIngestAllOrNothing(t *testing.T) {
	r := newRig(func(p *Params) {
		p.OldestAllowed = func(project string) time.Time {
			if project == "short" {
				return noon.Add(-time.Minute)
			}
			return time.Time{}
		}
	})
	bad, old, huge, notObject := input("b"), input("o"), input("h"), NewInput()
	bad.Event.Counts[usage.Input] = -1
	bad.Event.TraceID = ""
	old.Event.Project = "short"
	huge.Event.Model = "huge"
	notObject.AddProblem("", "must be an object")
	events := []Input{input("a"), bad, old, huge, notObject}

	_, err := r.Ingest(t.Context(), Batch{Events: events})
	want := &fault.Error{Code: fault.Invalid, Message: "Validation failed", Details: map[string][]string{
		"events[1].inputTokens": {"must be 0 or more"},
		"events[1].traceId":     {"is required"},
		"events[2].timestamp":   {"is older than the project's retention"},
		"events[3].inputTokens": {"cost more than 9000000 USD"},
		"events[4]":             {"must be an object"},
	}}
	if diff := cmp.Diff(want, err); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := len(r.ledger.all(t)); n != 0 || len(r.announced) != 0 {
		t.Errorf("an invalid batch stored %d events and announced %d", n, len(r.announced))
	}

	got, err := r.Ingest(t.Context(), Batch{Events: events, Partial: true})
	if err != nil {
		t.Fatal(err)
	}
	wantResult := Result{Accepted: 1, Rejected: []Rejected{
		{1, map[string][]string{"inputTokens": {"must be 0 or more"}, "traceId": {"is required"}}},
		{2, map[string][]string{"timestamp": {"is older than the project's retention"}}},
		{3, map[string][]string{"inputTokens": {"cost more than 9000000 USD"}}},
		{4, map[string][]string{"event": {"must be an object"}}},
	}}
	if diff := cmp.Diff(wantResult, got); diff != "" {
		t.Errorf("partial (-want +got):\n%s", diff)
	}
	only, err := r.Ingest(t.Context(), Batch{Events: []Input{bad}, Partial: true})
	if err != nil || only.Accepted != 0 || len(only.Rejected) != 1 {
		t.Errorf("a partial batch without a valid event: %+v, %v", only, err)
	}
}

func TestIngestJudgesAFieldOnce(t *testing.T) {
	r := newRig(nil)
	in := input("a")
	in.Event.TraceID, in.Event.Feature = "", ""
	in.Event.Counts[usage.Input] = 0      // as a format leaves what it could not read
	in.Event.Counts[usage.CacheRead] = 10 // more than inputTokens, if that were 0
	in.Event.Counts[usage.Output] = -1
	in.AddProblem("traceId", "must be a string")
	in.AddProblem("inputTokens", "must be a number")
	_, err := r.Ingest(t.Context(), Batch{Events: []Input{in}})
	want := &fault.Error{Code: fault.Invalid, Message: "Validation failed", Details: map[string][]string{
		"events[0].traceId":      {"must be a string"},
		"events[0].inputTokens":  {"must be a number"},
		"events[0].feature":      {"is required"},
		"events[0].outputTokens": {"must be 0 or more"},
	}}
	if diff := cmp.Diff(want, err); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Sums are judged when all of their parts could be read, and only then.
func TestIngestJudgesSumsThatItKnows(t *testing.T) {
	r := newRig(nil)
	problems := func(change func(*Input)) map[string][]string {
		in := input("a")
		in.Event.Counts = usage.Counts{usage.Input: 5, usage.CacheRead: 10, usage.Images: 1}
		change(&in)
		_, err := r.Ingest(t.Context(), Batch{Events: []Input{in}})
		var e *fault.Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		return e.Details
	}
	for name, tt := range map[string]struct {
		change func(*Input)
		want   map[string][]string
	}{
		"another field could not be read": {
			func(in *Input) { in.AddProblem("userId", "must be a string") },
			map[string][]string{"events[0].userId": {"must be a string"}, "events[0].cachedTokens": {"must not be more than inputTokens"}},
		},
		"a part could not be read": {
			func(in *Input) {
				in.AddProblem("inputTokens", "must be a number")
				in.AddProblem("userId", "must be a string")
			},
			map[string][]string{"events[0].userId": {"must be a string"}, "events[0].inputTokens": {"must be a number"}},
		},
		"a unit could not be read, another is out of range": {
			func(in *Input) {
				in.AddProblem("userId", "must be a string")
				in.AddProblem("usage.pages", "must be a number")
				in.Event.Counts[usage.Messages] = usage.MaxCount + 1
			},
			map[string][]string{
				"events[0].userId": {"must be a string"}, "events[0].usage.pages": {"must be a number"},
				"events[0].usage.messages": {"must be at most 1000000000000"},
			},
		},
	} {
		if diff := cmp.Diff(tt.want, problems(tt.change)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestIngestCountsProblemsAtTheBound(t *testing.T) {
	r := newRig(nil)
	for n, want := range map[int]string{MaxProblems: "", MaxProblems + 1: "have 101 problems; the first 100 are listed"} {
		in := input("a")
		for i := range n {
			in.AddProblem(fmt.Sprint("x", i), "is wrong")
		}
		_, err := r.Ingest(t.Context(), Batch{Events: []Input{in}})
		var e *fault.Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		if got := strings.Join(e.Details["events"], ""); got != want {
			t.Errorf("%d problems: %q, want %q", n, got, want)
		}
		result, err := r.Ingest(t.Context(), Batch{Events: []Input{in}, Partial: true})
		if err != nil || len(result.Rejected) != 1 {
			t.Fatalf("%+v, %v", result, err)
		}
		more := ""
		if n > MaxProblems {
			more = "has 1 more problem"
		}
		if errs := result.Rejected[0].Errors; strings.Join(errs["event"], "") != more || len(errs) != min(n, MaxProblems)+len(errs["event"]) {
			t.Errorf("%d problems of a partial batch: %d are listed, and %q", n, len(errs), errs["event"])
		}
	}
}

func TestIngestBoundsProblems(t *testing.T) {
	r := newRig(nil)
	var events []Input
	for range 300 {
		in := NewInput() // lacks trace, span, feature, provider, model
		events = append(events, in)
	}
	for range 250 {
		events[299].AddProblem("x", "is wrong")
	}
	_, err := r.Ingest(t.Context(), Batch{Events: events})
	var got *fault.Error
	if !errors.As(err, &got) {
		t.Fatal(err)
	}
	listed := 0
	for field, rules := range got.Details {
		if field != "events" {
			listed += len(rules)
		}
	}
	if listed != 100 || got.Details["events"][0] != "have 1750 problems; the first 100 are listed" {
		t.Errorf("listed %d problems and said %q", listed, got.Details["events"])
	}

	result, err := r.Ingest(t.Context(), Batch{Events: events, Partial: true})
	if err != nil || len(result.Rejected) != 300 {
		t.Fatalf("rejected %d events, %v", len(result.Rejected), err)
	}
	listed = 0
	for _, rejected := range result.Rejected {
		if len(rejected.Errors) == 0 {
			t.Errorf("event %d is rejected without a reason", rejected.Index)
		}
		for _, rules := range rejected.Errors {
			listed += len(rules)
		}
	}
	if listed > 100+2*300 {
		t.Errorf("a partial answer lists %d problems", listed)
	}
	if got := result.Rejected[299].Errors["event"]; len(got) != 1 || got[0] != "has 254 more problems" {
		t.Errorf("the last event says %q", got)
	}
}

func TestIngestBatchSize(t *testing.T) {
	r := newRig(nil)
	for _, n := range []int{0, MaxBatch + 1} {
		_, err := r.Ingest(t.Context(), Batch{Events: make([]Input, n)})
		if diff := cmp.Diff(fault.Field("events", "must have 1 to 500 entries"), err); diff != "" {
			t.Errorf("%d events (-want +got):\n%s", n, diff)
		}
	}
	var most []Input
	for i := range MaxBatch {
		most = append(most, input(fmt.Sprint(i)))
	}
	if got, err := r.Ingest(t.Context(), Batch{Events: most}); err != nil || got.Accepted != MaxBatch {
		t.Errorf("%d events: %+v, %v", MaxBatch, got, err)
	}
}

func TestIngestProjects(t *testing.T) {
	r := newRig(nil)
	mine := func(project string) bool { return project == "mine" }
	a, b := input("a"), input("b")
	b.Event.Project = "theirs"
	for _, partial := range []bool{false, true} {
		_, err := r.Ingest(t.Context(), Batch{Events: []Input{a, b}, DefaultProject: "mine", MayWrite: mine, Partial: partial})
		if fault.CodeOf(err) != fault.Forbidden {
			t.Errorf("partial %v: %v, want forbidden", partial, err)
		}
	}
	if n := len(r.ledger.all(t)); n != 0 {
		t.Errorf("a forbidden batch stored %d events", n)
	}
	b.Event.Project = "mine"
	if _, err := r.Ingest(t.Context(), Batch{Events: []Input{a, b}, DefaultProject: "mine", MayWrite: mine}); err != nil {
		t.Error(err)
	}
	c := input("c")
	c.Event.Project = "any"
	if _, err := r.Ingest(t.Context(), Batch{Events: []Input{c}}); err != nil {
		t.Errorf("an open server refuses a project: %v", err)
	}
	projects := map[string]int{}
	for _, stored := range r.ledger.all(t) {
		projects[stored.Project]++
	}
	if diff := cmp.Diff(map[string]int{"mine": 2, "any": 1}, projects); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestIngestConflicts(t *testing.T) {
	r := newRig(nil)
	first, other := input("a"), input("a")
	first.Event.EventID, other.Event.EventID = "e", "e"
	other.Event.Counts[usage.Input] = 8
	bad := NewInput()
	got, err := r.Ingest(t.Context(), Batch{Events: []Input{bad, first, first, other}, Partial: true})
	if err != nil {
		t.Fatal(err)
	}
	id := r.ledger.all(t)[0].ID
	want := Result{Accepted: 1, Duplicates: 1, Conflicts: []Conflict{{Index: 3, ID: id}}}
	got.Rejected = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b, err := json.Marshal(got)
	if want := fmt.Sprintf(`{"accepted":1,"duplicates":1,"conflicts":[{"index":3,"id":"%s"}]}`, id); err != nil || string(b) != want {
		t.Errorf("got %s, %v, want %s", b, err, want)
	}
}

// An event that is sent again as an aggregate becomes one, whatever the order; what
// could not be marked is marked by the retry.
func TestIngestMarks(t *testing.T) {
	r := newRig(nil)
	sum := func(in Input) Input { in.Event.Aggregate = true; return in }
	own := input("own")
	own.Event.EventID = "e"
	ingest := func(want Result, ins ...Input) {
		t.Helper()
		got, err := r.Ingest(t.Context(), Batch{Events: ins})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
	calls := func(want int) {
		t.Helper()
		if n := len(r.ledger.all(t)); n != want {
			t.Fatalf("%d events count, want %d", n, want)
		}
	}
	ingest(Result{Accepted: 3}, input("a"), own, sum(input("s")))
	calls(2)
	ingest(Result{Accepted: 1, Duplicates: 4, Marked: 2}, sum(input("a")), sum(own), input("s"), input("b"), sum(own))
	calls(1)
	ingest(Result{Duplicates: 3}, input("a"), own, sum(own))
	calls(1)
	ingest(Result{Accepted: 1, Duplicates: 1, Marked: 1}, input("c"), sum(input("c")))
	calls(1)

	busy := &fault.Error{Code: fault.Unavailable, Message: "The ledger is behind", RetryAfter: time.Second}
	r.ledger.uncorrectable = busy
	both := []Input{sum(input("b")), input("d")}
	if _, err := r.Ingest(t.Context(), Batch{Events: both}); !errors.Is(err, busy) {
		t.Fatalf("the ledger's error became %v", err)
	}
	if n := len(r.announced); n != 6 {
		t.Fatalf("%d events announced, want 6: what is stored is told", n)
	}
	r.ledger.uncorrectable = nil
	ingest(Result{Duplicates: 2, Marked: 1}, both...)
	calls(1)
}

func TestIngestTimestampDefault(t *testing.T) {
	r := newRig(nil)
	in, ancient := input("a"), input("b")
	in.Event.Timestamp, in.Event.TimestampDefaulted = time.Time{}, true
	if _, err := r.Ingest(t.Context(), Batch{Events: []Input{in}}); err != nil {
		t.Fatal(err)
	}
	if got := r.ledger.all(t)[0]; !got.Timestamp.Equal(noon.Add(time.Microsecond)) || !got.TimestampDefaulted {
		t.Errorf("an event without a timestamp is stored at %v", got.Timestamp)
	}
	ancient.Event.Timestamp = time.Time{} // sent as 0001-01-01
	if _, err := r.Ingest(t.Context(), Batch{Events: []Input{ancient}}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("year 1 as a timestamp: %v", err)
	}
}

func TestIngestFailures(t *testing.T) {
	busy := &fault.Error{Code: fault.Unavailable, Message: "The ledger is behind", RetryAfter: time.Second}
	r := newRig(nil)
	r.ledger.err = busy
	if _, err := r.Ingest(t.Context(), Batch{Events: []Input{input("a")}}); !errors.Is(err, busy) {
		t.Errorf("the ledger's error became %v", err)
	}
	if len(r.announced) != 0 {
		t.Error("announced what is not stored")
	}

	r = newRig(nil)
	r.versions.err = busy
	if _, err := r.Ingest(t.Context(), Batch{Events: []Input{input("a")}}); !errors.Is(err, busy) {
		t.Errorf("the catalog's error became %v", err)
	}
	if n := len(r.ledger.all(t)); n != 0 {
		t.Errorf("%d events are stored whose price is not", n)
	}
	r.versions.err = nil
	if _, err := r.Ingest(t.Context(), Batch{Events: []Input{input("a")}}); err != nil || len(r.versions.puts) != 1 {
		t.Errorf("after a failure the version is kept %d times, %v", len(r.versions.puts), err)
	}

	r = newRig(nil)
	broken := input("a")
	broken.Event.Model = "broken"
	if _, err := r.Ingest(t.Context(), Batch{Events: []Input{broken, input("b")}, Partial: true}); err == nil || fault.CodeOf(err) != fault.Internal {
		t.Errorf("a pricing bug became %v", err)
	}
	if n := len(r.ledger.all(t)); n != 0 {
		t.Errorf("%d events are stored of a batch that could not be priced", n)
	}
}

func TestAnnounceCannotFailStoredEvents(t *testing.T) {
	r := newRig(func(p *Params) { p.Announce = func(int64, []usage.Record) { panic("no subscribers") } })
	got, err := r.Ingest(t.Context(), Batch{Events: []Input{input("a")}})
	if err != nil || got.Accepted != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	if !strings.Contains(r.log.String(), "no subscribers") {
		t.Errorf("the log does not tell: %s", r.log.String())
	}
}

func TestWarnings(t *testing.T) {
	r := newRig(nil)
	for unknown, want := range map[int]int{0: 1, 19: 20, 20: 21, 40: 21} {
		typo := input(fmt.Sprint(unknown))
		typo.Unknown.Add([]byte("cachedToken"))
		for range unknown {
			typo.Unknown.Add([]byte("x\n"))
		}
		got, err := r.Ingest(t.Context(), Batch{Events: []Input{input("b"), typo}})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Warnings) != want || got.Warnings[0] != "events[1].cachedToken: unknown field, ignored" ||
			want > 1 && got.Warnings[1] != "events[1].x?: unknown field, ignored" {
			t.Errorf("%d unknown fields: %d warnings, first %q", unknown+1, len(got.Warnings), got.Warnings[0])
		}
		if last := got.Warnings[len(got.Warnings)-1]; (last == "more unknown fields are not listed") != (want == 21) {
			t.Errorf("%d unknown fields: the last warning says %q", unknown+1, last)
		}
	}
}

// What stands beside the events is named first.
func TestWarningsBesideTheEvents(t *testing.T) {
	r := newRig(nil)
	typo := input("a")
	typo.Unknown.Add([]byte("cachedToken"))
	for unknown, last := range map[int]string{1: "events[0].cachedToken: unknown field, ignored", 20: "more unknown fields are not listed", 40: "more unknown fields are not listed"} {
		b := Batch{Events: []Input{typo}}
		for range unknown {
			b.Unknown.Add([]byte("project"))
		}
		got, err := r.Ingest(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(got.Warnings); n != min(unknown, 20)+1 || got.Warnings[0] != "project: unknown field, ignored" || got.Warnings[n-1] != last {
			t.Errorf("%d unknown members: %q", unknown, got.Warnings)
		}
	}
}

func TestUnpricedModelsAreNamedOnce(t *testing.T) {
	r := newRig(nil)
	for i := range 3000 {
		in := input(fmt.Sprint(i))
		in.Event.Model = fmt.Sprintf("new-%d", i%1500)
		if _, err := r.Ingest(t.Context(), Batch{Events: []Input{in}}); err != nil {
			t.Fatal(err)
		}
	}
	log := r.log.String()
	if n := strings.Count(log, "model=new-7\n"); n != 1 {
		t.Errorf("a model is named %d times", n)
	}
	if n := strings.Count(log, "\n"); n != maxWarned {
		t.Errorf("the log has %d lines, want %d", n, maxWarned)
	}
}

// An event priced with the old book while the book is swapped must be re-priced.
func TestIngestReportsAStaleBook(t *testing.T) {
	stale := 0
	r := newRig(func(p *Params) { p.Stale = func() { stale++ } })
	unpriced := func(span string) Batch {
		in := input(span)
		in.Event.Model = "new"
		return Batch{Events: []Input{in, input("priced" + span)}}
	}
	if _, err := r.Ingest(t.Context(), unpriced("a")); err != nil || stale != 0 {
		t.Errorf("with one book: stale %d times, %v", stale, err)
	}
	r.ledger.appended = func() { r.book = &fakeBook{also: "new"} }
	if _, err := r.Ingest(t.Context(), unpriced("b")); err != nil || stale != 1 {
		t.Errorf("with a book swapped during the append: stale %d times, %v", stale, err)
	}
	r.ledger.appended = func() { r.book = &fakeBook{} }
	if _, err := r.Ingest(t.Context(), Batch{Events: []Input{input("c")}}); err != nil || stale != 1 {
		t.Errorf("with priced events only: stale %d times, %v", stale, err)
	}
}

func TestIngestConcurrently(t *testing.T) {
	var mu sync.Mutex
	announced := 0
	r := newRig(func(p *Params) {
		p.Announce = func(_ int64, rs []usage.Record) { mu.Lock(); announced += len(rs); mu.Unlock() }
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 50 {
				if _, err := r.Ingest(t.Context(), Batch{Events: []Input{input(fmt.Sprint(i)), input(fmt.Sprint(i + 1))}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(r.ledger.all(t)); n != 51 || announced != 51 {
		t.Errorf("stored %d and announced %d, want 51 each", n, announced)
	}
}
