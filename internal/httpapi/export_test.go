package httpapi

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/ingest/csvevents"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/report"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// hostile are texts that break naive writers and readers of files.
var hostile = rapid.OneOf(
	rapid.SampledFrom([]string{
		"=1+2", "+x", "-1", "@cmd", "'=x", "''x", "'x", "'", "\ttab", "\rreturn", "a\r\nb", `q"uo"te`, ",", ";", " x ", "null", "true", "0012", "é\u2028ü", "\ufeff", "=\"\n", "\\", "{}", "𝄞",
	}),
	rapid.StringOfN(rapid.RuneFrom([]rune("=+-@\t\r\n'\",;x {}\\é\u2029")), 1, 20, -1),
)

func hostileEvent(t *rapid.T, n int) string {
	text := func(name string) string { return hostile.Draw(t, name) }
	e := map[string]any{
		"traceId": text("trace"), "spanId": fmt.Sprint("s", n, text("span")), "timestamp": time.Date(2026, 11, 3, 1, 2, n%60, 1000*n, time.UTC).Format(time.RFC3339Nano),
		"feature": text("feature"), "provider": "openai", "model": "gpt-4o", "inputTokens": 1000 + n, "outputTokens": 7 * n,
		"cachedTokens": n, "latencyMs": json.Number(rapid.SampledFrom([]string{"0", "12.5", "0.001", "1000.25"}).Draw(t, "latency")),
	}
	maybe := func(name string, v any) {
		if rapid.Bool().Draw(t, name) {
			e[name] = v
		}
	}
	for _, name := range []string{"parentSpanId", "name", "userId", "sessionId", "department", "environment", "operation", "errorCode", "region", "serviceTier", "project"} {
		maybe(name, text(name))
	}
	maybe("eventId", fmt.Sprint(text("eventId"), n))
	maybe("model", text("model"))
	maybe("provider", text("provider"))
	maybe("tags", map[string]string{text("tag"): text("value"), "empty": "", "a.b": text("value2")})
	maybe("usage", map[string]int{"webSearches": 1 + n, "inputAudioTokens": 1})
	maybe("metadata", map[string]any{text("key"): []any{nil, 1.5, text("deep")}})
	maybe("billedCostUsd", json.Number(rapid.SampledFrom([]string{"0", "0.000000000001", "8999999.999999999999"}).Draw(t, "billed")))
	maybe("estimatedCostUsd", json.Number("0.123456789012"))
	maybe("timeToFirstTokenMs", 0)
	maybe("retryCount", 3)
	for _, name := range []string{"isError", "isStreaming", "aggregate"} {
		maybe(name, true)
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func hostileEvents(seed int) []string {
	return rapid.Custom(func(t *rapid.T) []string {
		events := make([]string, 25)
		for i := range events {
			events[i] = hostileEvent(t, i)
		}
		return events
	}).Example(seed)
}

// events gives all events as the API shows them, but for when they arrived.
func (f *fixture) events() []map[string]any {
	f.Helper()
	var page struct{ Data []map[string]any }
	f.get("/api/v1/events?limit=1000&" + november).want(200).into(&page)
	for _, e := range page.Data {
		delete(e, "receivedAt")
	}
	return page.Data
}

// What an export says, imported into an empty ledger, is the same ledger.
func TestExportsComeBack(t *testing.T) {
	for seed := range 6 {
		f := setup(t)
		events := hostileEvents(seed)
		f.post("/api/v1/events", batch(events...)).want(202)
		want := f.events()
		if len(want) != len(events) {
			t.Fatalf("%d events of %d", len(want), len(events))
		}
		for _, query := range []string{"format=csv", "format=csv&bom=true", "format=ndjson"} {
			file := f.get("/api/export/events?" + query + "&" + november).want(200)
			back := setup(t)
			reader, err := csvevents.Open(bytes.NewReader(file.body), csvevents.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var again []string
			for e, err := range reader.Events() {
				if err != nil {
					t.Fatalf("%s: %v\n%s", query, err, file.body)
				}
				again = append(again, string(e.JSON))
			}
			if len(reader.Ignored()) > 0 {
				t.Errorf("the importer does not know %q", reader.Ignored())
			}
			back.post("/api/v1/events", batch(again...)).want(202)
			if diff := cmp.Diff(want, back.events()); diff != "" {
				t.Fatalf("%s (-want +got):\n%s\n%s", query, diff, file.body)
			}
		}
		var document struct {
			Data       []map[string]any
			NextCursor *string
		}
		f.get("/api/v1/export/events?format=json&" + november).want(200).into(&document)
		for _, e := range document.Data {
			delete(e, "receivedAt")
		}
		if diff := cmp.Diff(want, document.Data); diff != "" || document.NextCursor != nil {
			t.Fatalf("json (-want +got):\n%s", diff)
		}
		// No cell begins a formula, whatever reads it.
		rows, err := csv.NewReader(bytes.NewReader(f.get("/api/v1/export/events?" + november).want(200).body)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows[1:] {
			for i, cell := range row {
				if name := rows[0][i]; cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) && name != "cacheSavings" {
					t.Errorf("%s is %q", name, cell)
				}
			}
		}
	}
}

func TestExportPages(t *testing.T) {
	f := setup(t)
	fill(f)
	const path = "/api/v1/export/events?" + november
	whole := f.get(path).want(200)
	total := strings.Count(string(whole.body), "\r\n") - 1
	if got := whole.header.Get("X-Total-Count"); got != fmt.Sprint(total) || total < 4 {
		t.Fatalf("%s in all, %d rows", got, total)
	}
	if got := whole.header.Get("Content-Disposition"); got != `attachment; filename="costprof-events-2026-11-01-2026-11-30.csv"` {
		t.Errorf("it is named %s", got)
	}
	var pages []byte
	query, n := path+"&limit=2", 0
	for {
		a := f.get(query).want(200)
		pages = append(pages, a.body...)
		next := a.header.Get("X-Next-Cursor")
		if n++; next == "" {
			break
		}
		if n == 1 { // what comes in between is not of the moment
			f.post("/api/v1/events", batch(event(77, `{"timestamp":"2026-11-02T00:00:00Z"}`))).want(202)
		}
		query = path + "&limit=2&header=false&cursor=" + next
	}
	if !bytes.Equal(whole.body, pages) || n != (total+1)/2 {
		t.Errorf("%d pages:\n%s\nwant\n%s", n, pages, whole.body)
	}
	a := f.get(path + "&format=ndjson&limit=1").want(200)
	lines := strings.Split(strings.TrimSpace(string(a.body)), "\n")
	if want := fmt.Sprintf(`{"nextCursor":%q}`, a.header.Get("X-Next-Cursor")); len(lines) != 2 || lines[1] != want {
		t.Errorf("ndjson ends with %s, want %s", lines[len(lines)-1], want)
	}
	f.get(path+"&format=xml").want(400).says("format", "csv, json, ndjson, parquet, focus")
	f.get(path + "&limit=1000001").want(400).says("limit")
	f.get(path+"&bom=1").want(400).says("bom", "true or false")
	f.get(path + "&feature=other&cursor=" + a.header.Get("X-Next-Cursor")).want(400).says("cursor")
	f.get(path + "&feature=never").want(200)
	f.do(http.MethodHead, path, "").want(200)
	empty := setup(t).get("/api/v1/export/events?format=json&" + november).want(200)
	if string(empty.body) != "{\"data\":[\n],\"nextCursor\":null}\n" {
		t.Errorf("of an empty ledger: %s", empty.body)
	}
}

// The mandatory columns of FOCUS 1.2, from its published list.
var focusMandatory = []string{
	"BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass",
	"ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity",
	"PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
}

// The costs of a FOCUS export add up to those of the ledger, to the last digit.
func TestFocusSums(t *testing.T) {
	for seed := range 6 {
		f := setup(t)
		f.post("/api/v1/events", batch(hostileEvents(seed)...)).want(202)
		var totals struct {
			Meta struct {
				TotalCost json.Number
				CallCount int
			}
		}
		f.get("/api/v1/analytics/features?" + november).want(200).into(&totals)
		rows, err := csv.NewReader(bytes.NewReader(f.get("/api/v1/export/events?format=focus&" + november).want(200).body)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		at := map[string]int{}
		for i, name := range rows[0] {
			at[name] = i
		}
		for _, name := range focusMandatory {
			if _, ok := at[name]; !ok {
				t.Errorf("the column %s is missing", name)
			}
		}
		calls := map[string]bool{}
		for _, cost := range []string{"BilledCost", "EffectiveCost", "ListCost", "ContractedCost"} {
			var sum money.Total
			for _, row := range rows[1:] {
				d, ok := money.ParseDecimal([]byte(row[at[cost]]), 12)
				if !ok || !d.Exact {
					t.Fatalf("%s is %q", cost, row[at[cost]])
				}
				sum = sum.Add(money.USD(d.Value))
				calls[row[at["x_EventId"]]] = true
				for _, name := range focusMandatory {
					if row[at[name]] == "" && name != "ChargeClass" {
						t.Errorf("%s is empty", name)
					}
				}
			}
			if sum.String() != totals.Meta.TotalCost.String() {
				t.Errorf("%s adds up to %s, want %s", cost, sum.String(), totals.Meta.TotalCost)
			}
		}
		if len(calls) != totals.Meta.CallCount {
			t.Errorf("%d calls, want %d", len(calls), totals.Meta.CallCount)
		}
	}
}

// endless is a ledger with events without end, or that fails after some.
type endless struct {
	store.Ledger
	fail int
	left chan error
}

func (l *endless) Events(ctx context.Context, _ store.EventQuery) iter.Seq2[usage.Record, error] {
	return func(yield func(usage.Record, error) bool) {
		r := usage.Record{Event: usage.Event{Feature: strings.Repeat("f", 100), Timestamp: noon, TimeToFirstToken: -1}}
		for n := 0; n != l.fail; n++ {
			if err := ctx.Err(); err != nil {
				l.left <- err
				yield(r, err)
				return
			}
			if !yield(r, nil) {
				l.left <- nil
				return
			}
		}
		yield(r, fault.New(fault.Internal, "hunter2"))
	}
}

func served(t *testing.T, l *endless) (*fixture, *httptest.Server) {
	f := setup(t, func(p *Params) {
		l.Ledger = p.Reports.(*report.Service).Ledger
		p.Reports = &report.Service{Ledger: l, Now: p.Now}
		p.RequestTimeout = 100 * time.Millisecond
	})
	fill(f)
	server := httptest.NewServer(f.api)
	t.Cleanup(server.Close)
	return f, server
}

func TestExportFailsLoudly(t *testing.T) {
	for format := range slices.Values([]string{"csv", "json", "ndjson", "parquet", "focus"}) {
		_, server := served(t, &endless{fail: 60_000})
		resp, err := http.Get(server.URL + "/api/v1/export/events?format=" + format) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || err == nil {
			t.Errorf("%s: status %d, %d bytes, %v; want a broken connection", format, resp.StatusCode, len(body), err)
		}
	}
	// Before anything is out, it is an error like any other.
	_, server := served(t, &endless{fail: 3})
	resp, err := http.Get(server.URL + "/api/v1/export/events") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 500 || resp.Header.Get("Content-Disposition") != "" || bytes.Contains(body, []byte("hunter2")) {
		t.Errorf("status %d, %v, %s", resp.StatusCode, resp.Header, body)
	}
}

func TestExportEndsWithItsReader(t *testing.T) {
	l := &endless{fail: -1, left: make(chan error, 10)}
	_, server := served(t, l)
	open := func() (*http.Response, context.CancelFunc) {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/export/events?format=ndjson", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp, cancel
	}
	var leave []context.CancelFunc
	for range maxExports {
		resp, cancel := open()
		defer resp.Body.Close()
		leave = append(leave, cancel)
	}
	resp, cancel := open()
	defer cancel()
	defer resp.Body.Close()
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one more export: %d", resp.StatusCode)
	}
	for _, cancel := range leave {
		cancel()
	}
	for range leave {
		if err := <-l.left; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the question ended with %v", err)
		}
	}
}
