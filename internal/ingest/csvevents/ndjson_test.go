package csvevents

import (
	"encoding/csv"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/ingest/jsonevents"

	"github.com/costprof/costprof/internal/ingest/textrows"
)

func TestOwnNDJSON(t *testing.T) {
	const event = `{"traceId":"t","spanId":"s","timestamp":"2026-01-01T00:00:00Z","feature":"f","provider":"p","model":"m","inputTokens":1,"outputTokens":2,"latencyMs":842.5,"billedCostUsd":0.000012,"isError":true,"metadata":{"id":1,"deep":{"x":null}},"usage":{"webSearches":2},"tags":{"a.b":"1","c":"x"}}`
	exported := strings.Replace(event, `"traceId"`, `"id":"00","cost":0.1,"costSource":"billed","priceId":"","receivedAt":"2026-01-01T00:00:00Z","lines":[{"unit":"input"}],"sessionId":null,"traceId"`, 1)
	r := open(t, "\xef\xbb\xbf\n"+exported+"\r\n"+exported+"\n"+`{"nextCursor":"abc"}`+"\n", Options{})
	var got []string
	for e, err := range r.Events() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(e.JSON))
	}
	if diff := cmp.Diff([]string{event, event}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(r.Ignored()) > 0 {
		t.Errorf("ignored %q", r.Ignored())
	}
}

func TestForeignNDJSON(t *testing.T) {
	r := open(t, `{"ts":1700158623,"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12},"req":{"model":"gpt"},"user":42,"arr":[1]}
{"ts":"x","usage":[],"req":"none"}
[1]
{"ts":1,
{"ts":1}{}
`, Options{
		Map:  map[string]string{"timestamp": "ts", "inputTokens": "usage.prompt_tokens", "outputTokens": "usage.completion_tokens", "model": "req.model", "userId": "user", "tags.list": "arr"},
		Set:  map[string]string{"feature": "f", "provider": "openai"},
		Time: UnixSeconds,
	})
	var got []string
	for e, err := range r.Events() {
		if err != nil {
			got = append(got, err.Error())
			continue
		}
		got = append(got, string(e.JSON))
	}
	want := []string{
		`line 1: tags.list must not be an object or array`,
		`line 2: timestamp must be a number of seconds or milliseconds since 1970, not "x"; model is missing; inputTokens is missing; outputTokens is missing`,
		`line 3: is not a JSON object`,
		`line 4: is not a JSON object: unexpected EOF`,
		`line 5: is not a JSON object: the line goes on after it`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"usage.total_tokens", "usage", "req"}, r.Ignored()); diff != "" {
		t.Errorf("ignored (-want +got):\n%s", diff)
	}
}

func TestOwnCSVIsUnescaped(t *testing.T) {
	const columns = "id,timestamp,feature,model,inputTokens,outputTokens,cost,latency,provider,userId\n"
	got := read(t, columns+"00,2026-01-01T00:00:00Z,'=f,m,1,2,0.5,12.5,p,'x\n", Options{})
	if len(got) != 1 || !strings.Contains(got[0], `"feature":"=f"`) || !strings.Contains(got[0], `"userId":"'x"`) ||
		!strings.Contains(got[0], `"latencyMs":12.5`) || strings.Contains(got[0], "cost") {
		t.Errorf("got %q", got)
	}
}

// A large file does not have to fit in memory.
func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	const rows = 50_000
	row := "2026-01-01T00:00:00Z,f,p,m,1,2," + strings.Repeat("u", 1000) + "\n"
	r := open(t, head+strings.Repeat(row, rows), Options{})
	n := 0
	for _, err := range r.Events() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if most := 256 << 10; n != rows || r.rows.Held() > most {
		t.Errorf("%d rows took a window of %d bytes, want %d and at most %d", n, r.rows.Held(), rows, most)
	}
}

func TestHugeRows(t *testing.T) {
	const good = "2026-01-01T00:00:00Z,f,p,m,1,2,u\n"
	long := strings.Repeat("x", 3<<20)
	for name, source := range map[string]string{
		"long line":   head + good + "a," + long + "\n" + good,
		"stray quote": head + good + "a,\"" + "\n" + strings.Repeat(strings.Repeat("y", 99)+"\n", 30_000) + good,
		"no newline":  head + good + good + long,
	} {
		var events, bad int
		for _, err := range open(t, source, Options{}).Events() {
			if err != nil {
				bad++
			} else {
				events++
			}
		}
		if events != 2 || bad == 0 {
			t.Errorf("%s: %d events, %d broken rows", name, events, bad)
		}
	}
}

// FuzzReader holds the reader against the standard library's where both accept a
// file, and the events against the server's decoder.
func FuzzReader(f *testing.F) {
	f.Add(head + "2026-01-01T00:00:00Z,f,p,m,1,2,\"a\"\"b\nc\"\r\n\r\n,,,,,,\n")
	f.Add("a;b\n\"1\";2\n")
	f.Add("\xef\xbb\xbf" + head + "x\"y,\"z\n")
	f.Add(`{"timestamp":"2026-01-01T00:00:00Z","feature":"f","provider":"p","model":"m","inputTokens":1e2,"outputTokens":0,"tags":{"a":null,"b":{"c":1}}}` + "\n{")
	set := map[string]string{"timestamp": "2026-01-01T00:00:00Z", "feature": "f", "provider": "p", "model": "m", "inputTokens": "1", "outputTokens": "1"}
	f.Fuzz(func(t *testing.T, source string) {
		for _, o := range []Options{{}, {Set: set}, {Set: set, Format: NDJSON}} {
			r, err := Open(strings.NewReader(source), o)
			if err != nil {
				if fault.CodeOf(err) != fault.Invalid {
					t.Fatal(err)
				}
				continue
			}
			line := 0
			for e, err := range r.Events() {
				var bad *RowError
				if errors.As(err, &bad) {
					e.Line = bad.Line
				} else if err != nil {
					t.Fatal(err)
				}
				if e.Line <= line {
					t.Fatalf("line %d after line %d", e.Line, line)
				}
				line = e.Line
				if err != nil {
					continue
				}
				batch, err := jsonevents.Decode(e.JSON, jsonevents.NDJSON)
				inputs := batch.Events
				if err != nil || len(inputs) != 1 {
					t.Fatalf("%s: %v", e.JSON, err)
				}
				for _, p := range inputs[0].Problems {
					// What needs no knowledge of the server's ranges must be right.
					if !strings.Contains(p.Field, "Usd") && p.Field != "metadata" {
						t.Errorf("%s: %s %s", e.JSON, p.Field, p.Rule)
					}
				}
			}
		}
		against(t, source)
	})
}

func against(t *testing.T, source string) {
	std := csv.NewReader(strings.NewReader(source))
	std.FieldsPerRecord = -1
	want, err := std.ReadAll()
	// The standard library drops carriage returns inside of quoted cells.
	if err != nil || !utf8.ValidString(source) || strings.Contains(source, "\r") {
		return
	}
	ours := textrows.New(strings.NewReader(source), maxRow)
	var got [][]string
	for {
		if _, err := ours.Next(); err != nil {
			break
		}
		var record []string
		for _, cell := range ours.Cells() {
			record = append(record, string(cell))
		}
		got = append(got, record)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%q: (-encoding/csv +rows):\n%s", source, diff)
	}
}
