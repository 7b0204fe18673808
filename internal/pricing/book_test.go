package pricing

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/usage"
)

func TestShippedBook(t *testing.T) {
	b := shippedBook(t)
	info := b.Info()
	want := Info{
		Provenance: Provenance{
			Source: "@pydantic/genai-prices", Version: "0.1.8", Listed: "2026-09-23", License: "MIT",
			URL: "https://github.com/pydantic/genai-prices",
		},
		Providers: 43, Models: 1694, Versions: 1728,
	}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
	if ids := b.Providers(); len(ids) != 43 || !slices.IsSorted(ids) {
		t.Errorf("providers %v", ids)
	}
	for _, p := range b.providers {
		for _, m := range p.models {
			for _, v := range m.versions {
				if got, ok := b.Version(v.ID); !ok || !cmp.Equal(got, v.Version) || v.Source != "@pydantic/genai-prices 0.1.8" {
					t.Fatalf("%s %s: version %s", p.id, m.id, v.ID)
				}
			}
		}
	}
	// The file is what the encoder writes: a diff of it is a diff of figures.
	d, err := Decode(shipped)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Encode(d)
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(shipped) {
		t.Error("book.json is not as the encoder writes it; rebuild it")
	}
}

// Ids are stored with events: they must not change with the code.
func TestVersionIDsAreFixed(t *testing.T) {
	b := shippedBook(t)
	for call, want := range map[[3]string]string{
		{"openai", "gpt-4o", "2026-01-01T00:00:00Z"}:            "p_29d0c657c345e0bb",
		{"deepseek", "deepseek-v4-pro", "2026-11-20T02:00:00Z"}: "p_23d702b151cb426a",
		{"google", "gemini-2.5-pro", "2026-01-01T00:00:00Z"}:    "p_20abfbef9ee370de",
		{"groq", "whisper-large-v3", "2026-01-01T00:00:00Z"}:    "p_a31e2a510ef6cd74",
	} {
		q := mustQuote(t, b, Call{Provider: call[0], Model: call[1], At: instant(t, call[2])})
		if q.PriceID != want {
			t.Errorf("%v: id %s, want %s", call, q.PriceID, want)
		}
	}
	v := Version{
		Provider: "p", Model: "m", Project: "x", ServiceTier: "batch", Region: "eu", From: time.Unix(1, 0), To: time.Unix(2, 0),
		Window: &Window{Start: time.Hour, End: 2 * time.Hour, Weekdays: []time.Weekday{time.Monday}, Zone: "Asia/Tokyo"},
		Rates:  []Rate{{Unit: usage.Output, Price: 7}, {Unit: usage.AudioMilliseconds, Price: 5, Minimum: 6, Above: []Step{{1, 2}}}},
	}
	base := v.sealed().ID
	for name, change := range map[string]func(*Version){
		"provider": func(v *Version) { v.Provider = "q" }, "model": func(v *Version) { v.Model = "q" },
		"project": func(v *Version) { v.Project = "" }, "tier": func(v *Version) { v.ServiceTier = "flex" },
		"region": func(v *Version) { v.Region = "us" }, "from": func(v *Version) { v.From = time.Time{} },
		"to": func(v *Version) { v.To = time.Unix(3, 0) }, "no window": func(v *Version) { v.Window = nil },
		"window":   func(v *Version) { v.Window = &Window{Start: time.Hour, End: 3 * time.Hour} },
		"weekdays": func(v *Version) { w := *v.Window; w.Weekdays = nil; v.Window = &w },
		"zone":     func(v *Version) { w := *v.Window; w.Zone = ""; v.Window = &w },
		"price":    func(v *Version) { v.Rates = []Rate{{Unit: usage.Output, Price: 8}, v.Rates[1]} },
		"unit":     func(v *Version) { v.Rates = []Rate{{Unit: usage.Input, Price: 7}, v.Rates[1]} },
		"minimum": func(v *Version) {
			v.Rates = []Rate{v.Rates[0], {Unit: usage.AudioMilliseconds, Price: 5, Above: []Step{{1, 2}}}}
		},
		"cliff": func(v *Version) {
			v.Rates = []Rate{v.Rates[0], {Unit: usage.AudioMilliseconds, Price: 5, Minimum: 6, Above: []Step{{1, 3}}}}
		},
	} {
		changed := v
		change(&changed)
		if changed.sealed().ID == base {
			t.Errorf("another %s has the same id", name)
		}
	}
	same := v
	same.Source, same.ServiceTier, same.Region, same.Rates = "elsewhere", " BATCH ", "EU", []Rate{v.Rates[1], v.Rates[0]}
	if got := same.sealed().ID; got != base {
		t.Errorf("the same price written otherwise has id %s, not %s", got, base)
	}
}

func TestVersionAsJSON(t *testing.T) {
	v := Version{
		Provider: "p", Model: "m", Project: "x", ServiceTier: "batch", Region: "eu", Source: "own",
		From: instant(t, "2026-01-01T00:00:00Z"), To: instant(t, "2026-02-01T00:00:00.000001Z"),
		Window: &Window{Start: 90 * time.Minute, End: 24 * time.Hour, Weekdays: []time.Weekday{time.Sunday, time.Friday}, Zone: "Europe/Berlin"},
		Rates: []Rate{
			{Unit: usage.Input, Price: usd(t, "2.5"), Above: []Step{{200_000, usd(t, "5")}}},
			{Unit: usage.Output, Price: usd(t, "0.000000000001")},
			{Unit: usage.AudioMilliseconds, Price: usd(t, "0.111"), Minimum: 10_000},
		},
	}.sealed()
	o := Own{Version: v, PutAt: instant(t, "2026-01-01T12:00:00Z")}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"` + v.ID + `","provider":"p","model":"m","project":"x","serviceTier":"batch","region":"eu",` +
		`"effectiveFrom":"2026-01-01T00:00:00Z","effectiveTo":"2026-02-01T00:00:00.000001Z",` +
		`"window":{"start":"01:30","end":"24:00","weekdays":["sun","fri"],"zone":"Europe/Berlin"},` +
		`"prices":{"input":{"price":2.5,"above":[{"inputTokens":200000,"price":5}]},"output":0.000000000001,` +
		`"audioHours":{"price":0.111,"minimum":10000}},"source":"own","putAt":"2026-01-01T12:00:00Z"}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("as JSON (-want +got):\n%s", diff)
	}
	var back Own
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(o, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	for _, bad := range []string{
		`{"prices":{"input":"2.5"}}`, `{"prices":{"input":-1}}`, `{"prices":{"input":0.0000000000001}}`, `{"prices":{"inputt":1}}`,
		`{"prices":{"input":{"base":1}}}`, `{"prices":{"input":{"above":[]}}}`, `{"prices":[]}`, `{"price":{}}`, `{"prices":{"input":null}}`,
		`{"prices":{"input":1,"input":2}}`, `{"window":{"start":"1:00","end":"02:00"}}`, `{"window":{"start":"01:00","end":"24:01"}}`,
		`{"window":{"start":"01:60","end":"02:00"}}`, `{"window":{"start":"01:00","end":"02:00","weekdays":["Mon"]}}`, `{}{}`,
	} {
		if err := json.Unmarshal([]byte(bad), new(Version)); err == nil {
			t.Errorf("accepted %s", bad)
		}
	}
}

func TestBrokenBooks(t *testing.T) {
	book := func(providers string) string {
		return `{"format":"costprof/book/1","source":"s","version":"1","listed":"2026-01-01","license":"MIT","providers":[` + providers + `]}`
	}
	if _, err := Load([]byte(book(`{"id":"a","models":[{"id":"m","versions":[{"prices":{"input":1}}]}]}`))); err != nil {
		t.Fatalf("the valid one: %v", err)
	}
	for name, text := range map[string]string{
		"empty":              ``,
		"not JSON":           `{`,
		"another format":     `{"format":"costprof/book/2","source":"s","version":"1","listed":"","license":"","providers":[]}`,
		"unknown member":     book(`{"id":"a","models":[],"price":1}`),
		"member twice":       book(`{"id":"a","id":"b","models":[]}`),
		"provider twice":     book(`{"id":"a","models":[]},{"id":"A","models":[]}`),
		"alias twice":        book(`{"id":"a","models":[]},{"id":"b","aliases":["a"],"models":[]}`),
		"no provider id":     book(`{"id":"","models":[]}`),
		"spaced provider id": book(`{"id":" a","models":[]}`),
		"model twice":        book(`{"id":"a","models":[{"id":"m","versions":[{"prices":{}}]},{"id":"M","versions":[{"prices":{}}]}]}`),
		"no prices":          book(`{"id":"a","models":[{"id":"m","versions":[]}]}`),
		"unknown price":      book(`{"id":"a","models":[{"id":"m","versions":[{"prices":{"inputs":1}}]}]}`),
		"too fine":           book(`{"id":"a","models":[{"id":"m","versions":[{"prices":{"input":1e-13}}]}]}`),
		"too high":           book(`{"id":"a","models":[{"id":"m","versions":[{"prices":{"input":100001}}]}]}`),
		"same price twice":   book(`{"id":"a","models":[{"id":"m","versions":[{"prices":{}},{"prices":{}}]}]}`),
		"version with model": book(`{"id":"a","models":[{"id":"m","versions":[{"model":"n","prices":{}}]}]}`),
		"empty rule":         book(`{"id":"a","models":[{"id":"m","match":{},"versions":[{"prices":{}}]}]}`),
		"rule of two":        book(`{"id":"a","models":[{"id":"m","match":{"equals":"x","contains":"y"},"versions":[{"prices":{}}]}]}`),
		"rule of none":       book(`{"id":"a","models":[{"id":"m","match":{"or":[]},"versions":[{"prices":{}}]}]}`),
		"bad expression":     book(`{"id":"a","models":[{"id":"m","match":{"regex":"(?!x)"},"versions":[{"prices":{}}]}]}`),
		"deep rule":          book(`{"id":"a","match":` + strings.Repeat(`{"not":`, 20) + `{"equals":"x"}` + strings.Repeat(`}`, 20) + `,"models":[]}`),
		"unknown fallback":   book(`{"id":"a","fallback":["b"],"models":[]}`),
		"own fallback":       book(`{"id":"a","fallback":["a"],"models":[]}`),
		"bad zone":           book(`{"id":"a","models":[{"id":"m","versions":[{"window":{"start":"00:00","end":"01:00","zone":"X/Y"},"prices":{}}]}]}`),
	} {
		if _, err := Load([]byte(text)); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"format":"costprof/book/1","source":"s","version":"1","listed":"2026-01-01","license":"MIT","gateways":["g"],"providers":[` +
		`{"id":"a","aliases":["b"],"match":{"or":[{"contains":"x"},{"not":{"regex":"^y"}}]},"fallback":[],"regional":true,"models":[` +
		`{"id":"m","match":{"and":[{"starts_with":"m"},{"ends_with":"n"}]},"versions":[{"prices":{"input":{"price":1,"above":[{"inputTokens":5,"price":2}]}}},` +
		`{"effectiveFrom":"2026-01-01T00:00:00Z","window":{"start":"23:00","end":"01:00","weekdays":["mon"],"zone":"Asia/Kolkata"},"prices":{"audioHours":{"price":1,"minimum":5}}}]}]}]}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		b, err := Load(file)
		if err != nil {
			return
		}
		// A book that loads prices, lists and explains every model it has, and is
		// written as it was read.
		for _, p := range b.providers {
			for _, m := range p.models {
				c := Call{Provider: p.id, Model: m.id, At: time.Unix(1_800_000_000, 0), Counts: usage.Counts{usage.Input: 7, usage.Output: 3}}
				if _, err := b.Quote(c); err != nil {
					t.Fatalf("%q %q: %v", p.id, m.id, err)
				}
				b.Explain(c)
			}
		}
		b.List(ListQuery{})
		d, err := Decode(file)
		if err != nil {
			t.Fatal(err)
		}
		text, err := Encode(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if _, err := build(again); err != nil {
			t.Fatalf("written and read: %v", err)
		}
	})
}

func TestList(t *testing.T) {
	at := instant(t, "2026-11-22T12:00:00Z")
	b := with(t, shippedBook(t),
		own(t, Version{Provider: "azure-openai", Model: "my-deployment"}, "1"),
		own(t, Version{Provider: "openai", Model: "gpt-4o", From: instant(t, "2026-06-01T00:00:00Z")}, "2"),
		own(t, Version{Provider: "openai", Model: "gpt-4o", Project: "p"}, "3"),
		own(t, Version{Provider: "openai", Model: "gpt-4o", ServiceTier: "batch"}, "4"),
		own(t, Version{Provider: "openai", Model: "o3", To: instant(t, "2026-06-01T00:00:00Z")}, "5"),
	)
	brief := func(vs []Version) []string {
		var out []string
		for _, v := range vs {
			out = append(out, strings.Join([]string{v.Provider, v.Model, v.Project, v.ServiceTier, v.Rates[0].Price.String()}, " "))
		}
		return out
	}
	for _, tt := range []struct {
		name string
		q    ListQuery
		want []string
	}{
		{
			"a shipped price gives way to an own one",
			ListQuery{Provider: "openai", Model: "gpt-4o", At: at},
			[]string{"openai gpt-4o   2", "openai gpt-4o  batch 4", "openai gpt-4o p  3"},
		},
		{
			"before the own one",
			ListQuery{Provider: "openai", Model: "gpt-4o", At: instant(t, "2026-05-31T00:00:00Z")},
			[]string{"openai gpt-4o   2.5", "openai gpt-4o  batch 4", "openai gpt-4o p  3"},
		},
		{
			"of another project",
			ListQuery{Provider: "openai", Model: "gpt-4o", Project: "q", At: at},
			[]string{"openai gpt-4o   2", "openai gpt-4o  batch 4"},
		},
		{
			"by another name",
			ListQuery{Provider: "OpenAI", Model: "openai/gpt-4o-2024-08-06", At: at},
			[]string{"openai gpt-4o   2", "openai gpt-4o  batch 4", "openai gpt-4o p  3"},
		},
		{"ended", ListQuery{Provider: "openai", Model: "o3", At: at}, []string{"openai o3   2"}},
		{
			"windows",
			ListQuery{Provider: "deepseek", Model: "deepseek-v4-pro", At: at},
			[]string{"deepseek deepseek-v4-pro   0.66", "deepseek deepseek-v4-pro   1.32", "deepseek deepseek-v4-pro   1.32"},
		},
		{"own only", ListQuery{Provider: "azure", Model: "my-deployment", At: at}, []string{"azure-openai my-deployment   1"}},
		{"nothing", ListQuery{Provider: "self-hosted", At: at}, nil},
	} {
		if diff := cmp.Diff(tt.want, brief(b.List(tt.q))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	all := b.List(ListQuery{At: at})
	if !slices.IsSortedFunc(all, compareVersions) || len(all) < 1_694 {
		t.Errorf("%d prices, sorted: %v", len(all), slices.IsSortedFunc(all, compareVersions))
	}
	if everywhere := b.List(ListQuery{Model: "claude-opus-4-7", At: at}); len(everywhere) < 3 {
		t.Errorf("a model of any provider: %v", brief(everywhere))
	}
}

func TestExplain(t *testing.T) {
	b := with(t, shippedBook(t), own(t, Version{Provider: "openai", Model: "gpt-4o", Project: "p", From: instant(t, "2026-06-01T00:00:00Z")}, "1"))
	at := instant(t, "2026-11-22T12:00:00Z")
	for _, tt := range []struct {
		call Call
		want []string // parts of Because
		by   string
	}{
		{Call{Provider: "openai", Model: "gpt-4o"}, []string{"openai lists gpt-4o (@pydantic/genai-prices 0.1.8), found by id"}, "id"},
		{Call{Provider: "openai", Model: "gpt-4o", Project: "p"}, []string{"an own price for openai gpt-4o in project p"}, "id"},
		{
			Call{Provider: "azure-openai", Model: "azure/gpt-4o", ServiceTier: "flex", Region: "eu"},
			[]string{"found by id", `after taking off path: "gpt-4o"`, "azure serves it at that price", "service tier", "region"},
			"alias",
		},
		{Call{Provider: "amazon-bedrock-runtime", Model: "us.amazon.nova-lite-v1:0"}, []string{`the name contains "amazon.nova-lite"`}, "rule"},
		{Call{Provider: "litellm", Model: "openai/gpt-4o"}, []string{"openai lists gpt-4o"}, "gateway"},
		{Call{Provider: "vllm", Model: "gpt-4o"}, []string{`no provider "vllm"`, "put an own price"}, "unknown"},
		{Call{Provider: "openai", Model: "gpt-99"}, []string{`no model "gpt-99" of provider openai`}, "id"},
		{Call{Model: "gpt-4o"}, []string{"needs a provider"}, "unknown"},
	} {
		tt.call.At = at
		e := b.Explain(tt.call)
		for _, part := range tt.want {
			if !strings.Contains(e.Because, part) {
				t.Errorf("%s %s: %q does not say %q", tt.call.Provider, tt.call.Model, e.Because, part)
			}
		}
		if e.ProviderBy != tt.by {
			t.Errorf("%s: recognised by %q, want %q", tt.call.Provider, e.ProviderBy, tt.by)
		}
		chosen := 0
		for _, c := range e.Candidates {
			if c.Chosen {
				chosen++
			}
			if c.Why == "" || c.Chosen != (c.Version.ID == e.PriceID) {
				t.Errorf("%s %s: candidate %+v", tt.call.Provider, tt.call.Model, c)
			}
		}
		if (chosen == 1) != (e.Source == "catalog") {
			t.Errorf("%s %s: %d chosen, source %s", tt.call.Provider, tt.call.Model, chosen, e.Source)
		}
		if _, err := json.Marshal(e); err != nil {
			t.Error(err)
		}
	}
	e := b.Explain(Call{Model: "claude-opus-4-7", At: at})
	if len(e.Listed) < 2 || e.Listed[0] != "anthropic" {
		t.Errorf("listed by %v, want anthropic first", e.Listed)
	}
	for path, first := range map[string]string{"openai": "openai", "github-copilot": "github-copilot", "azure": "openai"} {
		e := b.Explain(Call{Model: path + "/gpt-4o", At: at})
		if len(e.Listed) < 2 || e.Listed[0] != first {
			t.Errorf("%s/gpt-4o: listed by %v, want %s first", path, e.Listed, first)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	b := shippedBook(t)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				p := b.providers[(g+i)%len(b.providers)]
				m := p.models[i%len(p.models)]
				e := usage.Event{Provider: p.id, Model: m.id, Counts: counts(map[usage.Unit]int64{usage.Input: int64(i), usage.Output: 5})}
				if _, err := b.Price(&e); err != nil {
					t.Error(err)
				}
				if _, err := b.With([]Own{own(t, Version{Provider: p.id, Model: m.id}, "1")}); i%100 == 0 && err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
