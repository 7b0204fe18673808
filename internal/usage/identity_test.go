package usage

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/money"
)

// vector is one entry of testdata/identity.json, which was written once, by
// another program than this one, and never changes.
type vector struct {
	Name  string `json:"name"`
	Event struct {
		Project, TraceID, SpanID, EventID string
		Timestamp                         time.Time
		Provider, Model                   string
		Feature, Operation                string
		LatencyMicros                     int64
		Counts                            map[string]int64
	} `json:"event"`
	Canonical string `json:"canonical"`
	ID        string `json:"id"`
}

func (v *vector) event(t *testing.T) *Event {
	t.Helper()
	in := &v.Event
	e := &Event{
		Project: in.Project, TraceID: in.TraceID, SpanID: in.SpanID, EventID: in.EventID, Timestamp: in.Timestamp,
		Provider: in.Provider, Model: in.Model, Feature: in.Feature, Operation: in.Operation,
		Latency: time.Duration(in.LatencyMicros) * time.Microsecond,
	}
	for name, n := range in.Counts {
		u, ok := UnitByCount(name)
		if !ok {
			t.Fatalf("%s: no count %q", v.Name, name)
		}
		e.Counts[u] = n
	}
	return e
}

func TestIdentityVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/identity.json")
	if err != nil {
		t.Fatal(err)
	}
	// The file itself is under guard: to mend a failing vector is to forget it.
	const fingerprint = "e7c62ffbfa7efda714c0c4da0b1df4f015f00b7d6ff76ddb373e55e2d559e6f4"
	if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != fingerprint {
		t.Errorf("testdata/identity.json was changed: it is %s, want %s", got, fingerprint)
	}
	var file struct {
		Vectors []vector `json:"vectors"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	counted := map[Unit]bool{}
	for _, v := range file.Vectors {
		e := v.event(t)
		if got := hex.EncodeToString(e.canonical(nil)); got != v.Canonical {
			t.Errorf("%s: canonical form\ngot  %s\nwant %s", v.Name, got, v.Canonical)
		}
		if got := e.Identity().String(); got != v.ID {
			t.Errorf("%s: id %s, want %s", v.Name, got, v.ID)
		}
		for u, n := range e.Counts {
			if n != 0 {
				counted[Unit(u)] = true
			}
		}
	}
	for u := range NumUnits {
		// A new unit gets a vector in a file of its own.
		if !counted[u] {
			t.Errorf("no vector holds %s", Units[u].Count)
		}
	}
}

func text() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "b", "inputTokens", "images", "\x01", "\x02a", "é", "e\u0301", "💸", strings.Repeat("x", 127), strings.Repeat("x", 128)}),
		rapid.String(),
	)
}

func anyEvent() *rapid.Generator[*Event] {
	return rapid.Custom(func(t *rapid.T) *Event {
		e := &Event{
			Project: text().Draw(t, "project"), TraceID: text().Draw(t, "trace"), SpanID: text().Draw(t, "span"),
			ParentSpanID: text().Draw(t, "parent"), Name: text().Draw(t, "name"),
			Timestamp: time.UnixMicro(rapid.Int64Range(1_577_836_800_000_000, 4_102_444_800_000_000).Draw(t, "timestamp")).UTC(),
			Feature:   text().Draw(t, "feature"), Provider: text().Draw(t, "provider"), Model: text().Draw(t, "model"),
			Operation: text().Draw(t, "operation"), ServiceTier: text().Draw(t, "tier"), UserID: text().Draw(t, "user"),
			Latency: time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "latency")) * time.Microsecond,
		}
		for range rapid.IntRange(0, 4).Draw(t, "counts") {
			e.Counts[rapid.IntRange(0, int(NumUnits)-1).Draw(t, "unit")] = rapid.Int64Range(0, MaxCount).Draw(t, "count")
		}
		return e
	})
}

// readCanonical reads the canonical form of a derived identity back.
func readCanonical(t *rapid.T, b []byte) *Event {
	str := func() string {
		n, used := binary.Uvarint(b)
		if used <= 0 || uint64(len(b)-used) < n {
			t.Fatalf("no text in % x", b)
		}
		s := string(b[used : used+int(n)])
		b = b[used+int(n):]
		return s
	}
	num := func() int64 {
		n, used := binary.Varint(b)
		if used <= 0 {
			t.Fatalf("no number in % x", b)
		}
		b = b[used:]
		return n
	}
	if form := str(); form != "costprof/event/1" {
		t.Fatalf("form %q", form)
	}
	e := &Event{Project: str(), TraceID: str(), SpanID: str(), Timestamp: time.UnixMicro(num()).UTC()}
	e.Provider, e.Model, e.Feature, e.Operation = str(), str(), str(), str()
	e.Latency = time.Duration(num()) * time.Microsecond
	last := ""
	for len(b) > 0 {
		name := str()
		u, ok := UnitByCount(name)
		if !ok || name <= last {
			t.Fatalf("count %q after %q", name, last)
		}
		last = name
		if e.Counts[u] = num(); e.Counts[u] == 0 {
			t.Fatalf("count %q is 0", name)
		}
	}
	return e
}

// The canonical form can be read back in one way only, so two events that differ
// in any of its fields have two forms.
func TestCanonicalFormIsUnambiguous(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent().Draw(t, "event")
		got := readCanonical(t, e.canonical(nil))
		want := &Event{
			Project: e.Project, TraceID: e.TraceID, SpanID: e.SpanID, Timestamp: e.Timestamp, Provider: e.Provider,
			Model: e.Model, Feature: e.Feature, Operation: e.Operation, Latency: e.Latency, Counts: e.Counts,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("want -, got +:\n%s", diff)
		}
	})
}

// changes names a change of each field of an event. The test below fails when a
// new field is missing here.
func changes() map[string]func(*Event) {
	usd := money.USD(5)
	m := map[string]func(*Event){
		"EventID":            func(e *Event) { e.EventID += "x" },
		"Project":            func(e *Event) { e.Project += "x" },
		"TraceID":            func(e *Event) { e.TraceID += "x" },
		"SpanID":             func(e *Event) { e.SpanID += "x" },
		"ParentSpanID":       func(e *Event) { e.ParentSpanID += "x" },
		"Name":               func(e *Event) { e.Name += "x" },
		"Timestamp":          func(e *Event) { e.Timestamp = e.Timestamp.Add(time.Microsecond) },
		"TimestampDefaulted": func(e *Event) { e.TimestampDefaulted = !e.TimestampDefaulted },
		"Feature":            func(e *Event) { e.Feature += "x" },
		"Provider":           func(e *Event) { e.Provider += "x" },
		"Model":              func(e *Event) { e.Model += "x" },
		"ProviderID":         func(e *Event) { e.ProviderID += "x" },
		"ModelID":            func(e *Event) { e.ModelID += "x" },
		"ServiceTier":        func(e *Event) { e.ServiceTier += "x" },
		"Region":             func(e *Event) { e.Region += "x" },
		"Latency":            func(e *Event) { e.Latency += time.Microsecond },
		"TimeToFirstToken":   func(e *Event) { e.TimeToFirstToken += time.Microsecond },
		"Billed":             func(e *Event) { e.Billed = &usd },
		"Estimated":          func(e *Event) { e.Estimated = &usd },
		"UserID":             func(e *Event) { e.UserID += "x" },
		"SessionID":          func(e *Event) { e.SessionID += "x" },
		"Department":         func(e *Event) { e.Department += "x" },
		"Environment":        func(e *Event) { e.Environment += "x" },
		"Operation":          func(e *Event) { e.Operation += "x" },
		"Tags":               func(e *Event) { e.Tags = map[string]string{"a": "b"} },
		"Streaming":          func(e *Event) { e.Streaming = !e.Streaming },
		"Error":              func(e *Event) { e.Error = !e.Error },
		"Aggregate":          func(e *Event) { e.Aggregate = !e.Aggregate },
		"ErrorCode":          func(e *Event) { e.ErrorCode += "x" },
		"RetryCount":         func(e *Event) { e.RetryCount++ },
		"Prompt":             func(e *Event) { e.Prompt += "x" },
		"Metadata":           func(e *Event) { e.Metadata = json.RawMessage(`{"a":1}`) },
		"PromptID":           func(e *Event) { e.PromptID[0]++ },
		"PromptBytes":        func(e *Event) { e.PromptBytes++ },
		"Sent":               func(e *Event) { e.Sent = &Fingerprints{1, 2} },
	}
	for u := range NumUnits {
		m["Counts "+Units[u].Count] = func(e *Event) { e.Counts[u]++ }
	}
	return m
}

func TestIdentityRestsOnItsFields(t *testing.T) {
	identifying := map[string]bool{
		"EventID": true, "Project": true, "TraceID": true, "SpanID": true, "Timestamp": true, "Feature": true,
		"Provider": true, "Model": true, "Latency": true, "Operation": true,
	}
	fields := reflect.TypeFor[Event]()
	for i := range fields.NumField() {
		if name := fields.Field(i).Name; name != "Counts" && changes()[name] == nil {
			t.Errorf("the field %s is not tested", name)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent().Draw(t, "event")
		id := e.Identity()
		for name, change := range changes() {
			other := *e
			change(&other)
			want := identifying[name] || strings.HasPrefix(name, "Counts ")
			if got := other.Identity() != id; got != want {
				t.Fatalf("changing %s changes the id: %v, want %v", name, got, want)
			}
		}
		// With an explicit id only project and id count.
		e.EventID = "explicit"
		id = e.Identity()
		for name, change := range changes() {
			other := *e
			change(&other)
			want := name == "EventID" || name == "Project"
			if got := other.Identity() != id; got != want {
				t.Fatalf("with an explicit id, changing %s changes the id: %v, want %v", name, got, want)
			}
		}
		// What a retry may change changes nothing.
		other := *e
		other.EventID = ""
		id = other.Identity()
		other.Timestamp = other.Timestamp.Add(999 * time.Nanosecond).In(time.FixedZone("x", 20700))
		if other.Identity() != id {
			t.Fatalf("nanoseconds or the zone change the id")
		}
	})
}

// Content tells every change of what was sent.
func TestContentTellsChanges(t *testing.T) {
	silent := map[string]bool{
		"EventID":    true,                  // what the comparison is under
		"ProviderID": true, "ModelID": true, // what pricing made of it
		"TimestampDefaulted": true,                      // tested below
		"PromptID":           true, "PromptBytes": true, // what a guard made of the prompt
	}
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent().Draw(t, "event")
		content := e.Content()
		for name, change := range changes() {
			if silent[name] {
				continue
			}
			other := *e
			change(&other)
			if other.Content() == content {
				t.Fatalf("changing %s is not told", name)
			}
		}
		e.TimestampDefaulted = true
		retried := *e
		retried.Timestamp = e.Timestamp.Add(time.Hour)
		if retried.Content() != e.Content() {
			t.Fatal("the time of arrival counts as content")
		}
	})
	// The ledger keeps the fingerprint: these were computed by another program,
	// and a change means that every retry with an eventId becomes a conflict.
	amounts := [2]money.USD{5, 7}
	full := &Event{
		Project: "p", TraceID: "t", SpanID: "s", ParentSpanID: "r", Name: "n", Timestamp: time.Date(2026, 3, 20, 12, 34, 56, 789_012_000, time.UTC),
		Provider: "openai", Model: "gpt-4o", Feature: "chat", Operation: "op", Latency: 1_234_567 * time.Microsecond,
		Counts: Counts{Input: 1000, Output: 200, Images: 3}, ServiceTier: "flex", Region: "eu", UserID: "u", SessionID: "se", Department: "d",
		Environment: "e", ErrorCode: "429", Prompt: "hi", Metadata: json.RawMessage(`{"a":1}`), TimeToFirstToken: 120 * time.Microsecond,
		RetryCount: 2, Billed: &amounts[0], Estimated: &amounts[1], Streaming: true, Error: true, Aggregate: true, Tags: map[string]string{"b": "2", "a": "1"},
	}
	least := Event{Project: "p", TraceID: "t", SpanID: "s", TimestampDefaulted: true, TimeToFirstToken: -1}
	other := least
	other.Error, other.Estimated = true, new(money.USD)
	for want, e := range map[uint64]*Event{11164518622276556578: full, 15720298637578409344: &least, 372004597957713038: &other} {
		if got := e.Content(); got != want {
			t.Errorf("content %d, want %d of %+v", got, want, e)
		}
	}
	var zero money.USD
	sent, absent := &Event{Billed: &zero}, &Event{}
	if sent.Content() == absent.Content() {
		t.Error("an amount of 0 is told from none")
	}
	// Counts must not be readable as the fields behind them.
	counted, named := &Event{}, &Event{ParentSpanID: "images", Name: "\x00\x00"}
	counted.Counts[Images] = 1 // a 2 in the form: the length of the name
	if counted.Content() == named.Content() {
		t.Error("a count reads like a name")
	}
}

func TestParseID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		for _, s := range []string{want.String(), strings.ToUpper(want.String())} {
			if got, err := ParseID(s); err != nil || got != want {
				t.Fatalf("%q: %v, %v", s, got, err)
			}
		}
		if b, err := want.MarshalText(); err != nil || string(b) != want.String() {
			t.Fatalf("MarshalText %q, %v", b, err)
		}
	})
	for _, s := range []string{"", "0", strings.Repeat("0", 31), strings.Repeat("0", 33), strings.Repeat("g", 32), strings.Repeat("0", 31) + " ", strings.Repeat("é", 16)} {
		if id, err := ParseID(s); err != ErrID || id != (ID{}) {
			t.Errorf("%q: %v, %v; want ErrID", s, id, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("9591340a6d93bf00b5038d328f78f0ea")
	f.Add("9591340A6D93BF00B5038D328F78F0EA")
	f.Add("")
	f.Add("zz")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err == nil && id.String() != strings.ToLower(s) || err != nil && id != (ID{}) {
			t.Fatalf("%q: %v, %v", s, id, err)
		}
	})
}

func TestUnitsAreNamedOnce(t *testing.T) {
	if got := slices.Sorted(maps.Keys(byCount)); len(got) != int(NumUnits) {
		t.Errorf("%d names of counts for %d units: %v", len(got), NumUnits, got)
	}
	if got := slices.Sorted(maps.Keys(byPrice)); len(got) != int(NumUnits) {
		t.Errorf("%d names of prices for %d units: %v", len(got), NumUnits, got)
	}
	for u := range NumUnits {
		if got, ok := UnitByCount(Units[u].Count); !ok || got != u {
			t.Errorf("count %s is unit %d, want %d", Units[u].Count, got, u)
		}
		if got, ok := UnitByPrice(Units[u].Price); !ok || got != u {
			t.Errorf("price %s is unit %d, want %d", Units[u].Price, got, u)
		}
		// Looking for a price always ends.
		steps := 0
		for w := u; w != None; w = Units[w].Wider {
			if steps++; steps > int(NumUnits) {
				t.Fatalf("%s is wider than itself", Units[u].Price)
			}
		}
		if Units[u].Per <= 0 {
			t.Errorf("%s is priced per %d", Units[u].Price, Units[u].Per)
		}
	}
}

// What is taken out of a sealed event makes no other content of it, and its mark
// still may come later.
func TestSeal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent().Draw(t, "event")
		e.EventID = "own"
		call, aggregate := *e, *e
		call.Aggregate, aggregate.Aggregate = false, true
		want := e.Content()
		e.Seal()
		e.Prompt, e.Metadata, e.Tags, e.ErrorCode = "", nil, nil, "[email]"
		e.Seal() // of what is sealed changes nothing
		if e.Content() != want || !e.SameContent(call.Content()) || !e.SameContent(aggregate.Content()) || !call.SameContent(e.Content()) {
			t.Fatal("another content")
		}
		if other := *e; other.SameContent(want ^ 1) {
			t.Fatal("any content is the same")
		}
	})
	derived := Event{Prompt: "x"}
	if derived.Seal(); derived.Sent != nil {
		t.Error("an event without an id of its own was sealed")
	}
}
