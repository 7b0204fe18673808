package crash

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/testserver"
)

const (
	embedKills = 4
	embedDim   = 256
)

var embedPrompts = flag.Int("prompts", 2_000, "how many prompts are embedded; a provider is asked for 160 a second")

// embedder is a server that speaks the interface of OpenAI, charges a token a
// word, and makes of the same text the same vector.
type embedder struct {
	mu       sync.Mutex
	tokens   int64
	requests int
	largest  int64 // tokens of a request
	words    map[string][]float64
	key      string
}

func (e *embedder) vector(text string) []float64 {
	v := make([]float64, embedDim)
	for word := range strings.FieldsSeq(text) {
		e.mu.Lock()
		w := e.words[word]
		if w == nil {
			h := fnv.New64a()
			h.Write([]byte(word))
			random := rand.New(rand.NewPCG(h.Sum64(), 1))
			w = make([]float64, embedDim)
			for i := range w {
				w[i] = random.NormFloat64()
			}
			e.words[word] = w
		}
		e.mu.Unlock()
		for i := range v {
			v[i] += w[i]
		}
	}
	return v
}

func (e *embedder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct{ Input []string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Header.Get("Authorization") != "Bearer "+e.key {
		http.Error(w, "bad", http.StatusUnauthorized)
		return
	}
	type item struct {
		Index     int       `json:"index"`
		Embedding []float64 `json:"embedding"`
	}
	var items []item
	tokens := int64(0)
	for i, text := range in.Input {
		items = append(items, item{i, e.vector(text)})
		tokens += int64(len(strings.Fields(text)))
	}
	e.mu.Lock()
	e.requests++
	e.tokens += tokens
	e.largest = max(e.largest, tokens)
	turn := e.requests
	e.mu.Unlock()
	if turn%9 == 5 { // and now and then it has no time
		e.mu.Lock()
		e.tokens -= tokens
		e.mu.Unlock()
		w.Header().Set("Retry-After", "1")
		http.Error(w, "later", http.StatusTooManyRequests)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"data": items, "usage": map[string]int64{"prompt_tokens": tokens, "total_tokens": tokens}})
}

// Prompts are embedded by a server that is killed again and again: all of them
// are in the end, what that cost is recorded but for the requests under way at
// the kills, and similar prompts are those of a brute force.
func TestKillDuringEmbedding(t *testing.T) {
	bin := testserver.Binary(t)
	t.Run("embedded", func(t *testing.T) {
		dir := t.TempDir()
		killDuringEmbedding(t, func(addr string) *process { return startServer(t, bin, dir, addr) })
	})
	t.Run("postgres", func(t *testing.T) {
		database := testserver.Database(t)
		killDuringEmbedding(t, func(addr string) *process { return startOn(t, bin, database, addr) })
	})
}

func killDuringEmbedding(t *testing.T, start func(addr string) *process) {
	e := &embedder{words: map[string][]float64{}, key: "sk-test-4711-not-for-logs"}
	fake := httptest.NewServer(e)
	defer fake.Close()
	t.Setenv("OPENAI_API_KEY", e.key)
	t.Setenv("OPENAI_BASE_URL", fake.URL+"/v1")
	t.Setenv("COSTPROF_CAPTURE_PROMPTS", "true")
	addr := freeAddress(t)
	base := "http://" + addr
	p := start(addr)
	defer func() { p.kill() }()
	waitReady(t, base, p)

	texts := make([]string, *embedPrompts)
	for i := range texts {
		family := i / 8
		texts[i] = fmt.Sprintf("family%d topic%d asks word%d and word%d about variant%d of thing%d", family, family%40, family*3, family*7, i%8, i)
	}
	for from := 0; from < len(texts); from += size {
		var b bytes.Buffer
		b.WriteString(`{"events":[`)
		for i, text := range texts[from : from+size] {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"traceId":"t%d","spanId":"s","timestamp":"2026-06-01T00:00:00Z","feature":"f","provider":"openai","model":"gpt-4o","inputTokens":10,"outputTokens":7,"latencyMs":12,"prompt":%q}`, from+i, text)
		}
		b.WriteString(`]}`)
		for !post(t.Context(), base, b.Bytes()) {
			time.Sleep(10 * time.Millisecond)
		}
	}
	requests := func() int {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.requests
	}
	for kill := range embedKills {
		for was := requests(); requests() < was+6; {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(rand.N(60 * time.Millisecond))
		p.kill()
		if strings.Contains(p.log.String(), e.key) {
			t.Fatalf("the key is in the log")
		}
		p = start(addr)
		waitReady(t, base, p)
		t.Logf("kill %d after %d requests", kill+1, requests())
	}

	// All are embedded and can be found.
	begin := time.Now()
	for {
		res, err := http.Get(base + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		_, _ = b.ReadFrom(res.Body)
		res.Body.Close()
		if strings.Contains(b.String(), fmt.Sprintf("costprof_embedding_indexed_prompts %d\n", *embedPrompts)) && strings.Contains(b.String(), "costprof_embedding_queued_prompts 0\n") {
			break
		}
		if time.Since(begin) > patience {
			t.Fatalf("not all are embedded after %v:\n%s", patience, p.log.String())
		}
		time.Sleep(20 * time.Millisecond)
	}

	var spent struct {
		Data []struct {
			InputTokens, CallCount int64
			TotalCost              json.Number
		}
	}
	get(t, base+"/api/v1/analytics/features?feature=costprof.embedding", &spent)
	if len(spent.Data) != 1 {
		t.Fatalf("%+v", spent)
	}
	recorded := spent.Data[0].InputTokens
	if lost := e.tokens - recorded; lost < 0 || lost > embedKills*e.largest {
		t.Errorf("recorded %d tokens, charged %d, at most %d in a request", recorded, e.tokens, e.largest)
	}
	// 0.02 USD a million tokens, to the last digit.
	if want := strings.TrimRight(fmt.Sprintf("0.%08d", 2*recorded), "0"); spent.Data[0].TotalCost.String() != want {
		t.Errorf("embedding cost %s, want %s", spent.Data[0].TotalCost, want)
	}
	t.Logf("%d tokens charged, %d recorded in %d calls, cost %s", e.tokens, recorded, spent.Data[0].CallCount, spent.Data[0].TotalCost)

	vectors := make([][]float64, len(texts))
	for i, text := range texts {
		vectors[i] = e.vector(text)
	}
	var events struct {
		Data []struct{ ID string }
	}
	get(t, base+"/api/v1/events?feature=f&from=2026-01-01&to=2026-12-31&limit=40", &events)
	if len(events.Data) != 40 {
		t.Fatalf("%d events", len(events.Data))
	}
	const k = 10
	hits := 0
	for _, ev := range events.Data {
		var one struct{ Data struct{ Prompt string } }
		get(t, base+"/api/v1/events/"+ev.ID, &one)
		query := e.vector(one.Data.Prompt)
		var exact []float64
		for i, v := range vectors {
			if texts[i] != one.Data.Prompt {
				exact = append(exact, angle(query, v))
			}
		}
		slices.Sort(exact)
		tenth := exact[len(exact)-k]
		var found struct {
			Data []struct {
				Prompt     string
				Similarity float64
			}
			Meta struct{ Embedder string }
		}
		get(t, fmt.Sprintf("%s/api/v1/prompts/%s/similar?threshold=0&limit=%d", base, ev.ID, k), &found)
		if len(found.Data) != k || found.Meta.Embedder != "openai/text-embedding-3-small" {
			t.Fatalf("%+v", found)
		}
		for _, f := range found.Data {
			is := angle(query, e.vector(f.Prompt))
			if math.Abs(is-f.Similarity) > 0.01 {
				t.Errorf("similarity %v, want %v", f.Similarity, is)
			}
			if is >= tenth-1e-4 {
				hits++
			}
		}
	}
	recall := float64(hits) / float64(k*len(events.Data))
	t.Logf("recall@%d %.3f", k, recall)
	if recall < 0.95 {
		t.Errorf("recall@%d %.3f", k, recall)
	}
	p.kill()
	if strings.Contains(p.log.String(), e.key) {
		t.Errorf("the key is in the log")
	}
}

func angle(a, b []float64) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab, aa, bb = ab+a[i]*b[i], aa+a[i]*a[i], bb+b[i]*b[i]
	}
	return ab / math.Sqrt(aa*bb)
}
