package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/prompts"
)

const key = "sk-test-0123456789abcdef"

// fake embeds the same text in the same vector, and does what it is told first.
type fake struct {
	// do is asked before each answer; true is that it answered.
	do  func(w http.ResponseWriter, texts []string) bool
	dim int

	// An answer that breaks off does not wait for who asked.
	mu     sync.Mutex
	inputs [][]string
	header http.Header
	model  string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Model string
		Input []string
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.URL.Path != "/v1/embeddings" {
		http.Error(w, "bad", http.StatusNotFound)
		return
	}
	f.mu.Lock()
	f.inputs, f.header, f.model = append(f.inputs, in.Input), r.Header, in.Model
	f.mu.Unlock()
	if f.do != nil && f.do(w, in.Input) {
		return
	}
	answer(w, in.Input, max(f.dim, 4))
}

func answer(w http.ResponseWriter, texts []string, dim int) {
	type item struct {
		Index     int       `json:"index"`
		Embedding []float64 `json:"embedding"`
	}
	var items []item
	tokens := 0
	for i, text := range texts {
		v := make([]float64, dim)
		for j := range v {
			h := fnv.New32a()
			fmt.Fprint(h, j, text)
			v[j] = float64(h.Sum32())/math.MaxUint32 - 0.5
		}
		tokens += len(strings.Fields(text))
		items = append([]item{{i, v}}, items...) // in the wrong order: index counts
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"object": "list", "data": items, "usage": map[string]int{"prompt_tokens": tokens, "total_tokens": tokens}})
}

func open(t *testing.T, f *fake) *Embedder {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	e, err := New(Params{Key: key, BaseURL: s.URL + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEmbed(t *testing.T) {
	t.Setenv("OPENAI_ORG_ID", "not-ours") // is not read behind our back
	f := &fake{}
	e := open(t, f)
	long := strings.Repeat("ä", prompts.MaxEmbedRunes+10)
	got, err := e.Embed(t.Context(), []string{"one two", "", long, "one two"})
	if err != nil {
		t.Fatal(err)
	}
	if got.InputTokens != 5 || got.Provider != "openai" || got.Model != DefaultModel || f.model != DefaultModel || e.Name() != "openai/"+DefaultModel {
		t.Errorf("got %d tokens of %s %s, named %s", got.InputTokens, got.Provider, got.Model, e.Name())
	}
	if f.header.Get("Authorization") != "Bearer "+key || f.header.Get("OpenAI-Organization") != "" {
		t.Error("headers", f.header)
	}
	if in := f.inputs[0]; in[1] == "" || len([]rune(in[2])) != prompts.MaxEmbedRunes {
		t.Errorf("sent %q and %d characters", in[1], len([]rune(in[2])))
	}
	same, other := 0.0, 0.0
	for i := range got.Vectors[0] {
		same += float64(got.Vectors[0][i] * got.Vectors[3][i])
		other += float64(got.Vectors[0][i] * got.Vectors[2][i])
	}
	if math.Abs(same-1) > 1e-5 || math.Abs(other) > 0.999 {
		t.Errorf("cosine of the same %v, of another %v", same, other)
	}
}

func TestEmbedFails(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(w http.ResponseWriter, texts []string) bool
		want prompts.EmbedError
		text string
	}{
		"too many": {func(w http.ResponseWriter, _ []string) bool {
			w.Header().Set("Retry-After", "17")
			http.Error(w, `{"error":{"message":"you sent `+key+`"}}`, http.StatusTooManyRequests)
			return true
		}, prompts.EmbedError{RetryAfter: 17 * time.Second}, "answered 429"},
		"down": {func(w http.ResponseWriter, _ []string) bool {
			http.Error(w, "oops "+key, http.StatusInternalServerError)
			return true
		}, prompts.EmbedError{}, "answered 500"},
		"bad text": {func(w http.ResponseWriter, _ []string) bool {
			http.Error(w, `{"error":{"message":"too long"}}`, http.StatusBadRequest)
			return true
		}, prompts.EmbedError{Permanent: true}, "answered 400"},
		"wrong key": {func(w http.ResponseWriter, _ []string) bool {
			http.Error(w, `{"error":{"message":"Incorrect API key `+key+`"}}`, http.StatusUnauthorized)
			return true
		}, prompts.EmbedError{}, "answered 401"},
		"wrong count": {func(w http.ResponseWriter, texts []string) bool {
			answer(w, texts[1:], 4)
			return true
		}, prompts.EmbedError{}, "gave 1 vectors for 2 texts"},
		"wrong dimension": {func(w http.ResponseWriter, texts []string) bool {
			answer(w, texts, 7)
			return true
		}, prompts.EmbedError{}, "a vector of 7 numbers after one of 4"},
		"no JSON": {func(w http.ResponseWriter, _ []string) bool {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"data":[`+key)
			return true
		}, prompts.EmbedError{}, "not one"},
		"a page": {func(w http.ResponseWriter, _ []string) bool {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<p>"+key)
			return true
		}, prompts.EmbedError{}, "not one"},
		"redirect": {func(w http.ResponseWriter, _ []string) bool {
			w.Header().Set("Location", "http://192.0.2.1/"+key)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}, prompts.EmbedError{}, "redirects"},
		"cut off": {func(w http.ResponseWriter, _ []string) bool {
			panic(http.ErrAbortHandler)
		}, prompts.EmbedError{}, "cannot be reached"},
	} {
		f := &fake{}
		e := open(t, f)
		if _, err := e.Embed(t.Context(), []string{"so that the dimension is known"}); err != nil {
			t.Fatal(err)
		}
		f.do = c.do
		_, err := e.Embed(t.Context(), []string{"a secret text", "b"})
		if err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.text)
			continue
		}
		var got *prompts.EmbedError
		if !errors.As(err, &got) {
			got = &prompts.EmbedError{}
		}
		if got.Permanent != c.want.Permanent || got.RetryAfter != c.want.RetryAfter {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if all := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(all, key) || strings.Contains(all, "secret text") {
			t.Errorf("%s: the error tells a secret: %s", name, all)
		}
		f.mu.Lock()
		n := len(f.inputs)
		f.mu.Unlock()
		if n != 2 {
			t.Errorf("%s: asked %d times", name, n-1)
		}
	}
}

// A slow server is given up when the context ends.
func TestEmbedSlow(t *testing.T) {
	asked := make(chan bool, 1)
	f := &fake{}
	e := open(t, f)
	release := make(chan bool)
	defer close(release)
	f.do = func(http.ResponseWriter, []string) bool {
		asked <- true
		<-release
		return true
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := e.Embed(ctx, []string{"x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestRetryAfterDates(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	e, err := New(Params{Key: key, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]time.Duration{
		"": 0, "x": 0, "-3": 0, "0": 0, "5": 5 * time.Second, "99999999999": longestRetryAfter, "999999999999999999999": 0,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second, "Sun, 01 Mar 2026 11:00:00 GMT": 0,
	} {
		if got := e.retryAfter(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestNew(t *testing.T) {
	for _, bad := range []string{"x", "ftp://host/v1", "https://", "https://user:" + key + "@host/v1", "https://host/v1?key=" + key, "https://ho st:" + key} {
		if _, err := New(Params{BaseURL: bad}); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for base, want := range map[string]string{
		"": "openai/m", "http://localhost:11434/v1": "openai/m", "https://my.openai.azure.com/x": "azure/m", "https://openrouter.ai/api/v1": "openrouter/m",
		"https://notopenrouter.ai/v1": "openai/m",
	} {
		if e, err := New(Params{BaseURL: base, Model: "m"}); err != nil || e.Name() != want {
			t.Errorf("%s: %v, want %s", base, err, want)
		}
	}
}
