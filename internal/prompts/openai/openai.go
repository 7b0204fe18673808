// Package openai embeds prompts with a server that speaks OpenAI's interface for
// embeddings: OpenAI's own, a gateway, or a model at home. It knows when to try
// again only as far as the server said; trying again is its caller's.
package openai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	api "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/costprof/costprof/internal/prompts"
)

const (
	// DefaultBaseURL and DefaultModel serve where nothing else is set.
	DefaultBaseURL = "https://api.openai.com/v1"
	DefaultModel   = "text-embedding-3-small"

	// A request may have 300,000 tokens, and 8,000 characters hardly more than
	// 8,192 tokens.
	maxBatch = 32
	// The answer to a batch: 32 vectors of 4,096 numbers of at most 24 characters, and as
	// much again for what a server may add.
	maxAnswer = 8 << 20
	timeout   = time.Minute
	// A Retry-After beyond this is taken for this.
	longestRetryAfter = time.Hour
)

// Params say where to embed.
type Params struct {
	// Key is sent as a bearer token; it appears in no error.
	Key string
	// BaseURL "" is DefaultBaseURL, Model "" is DefaultModel.
	BaseURL, Model string
	// Now reads a Retry-After that is a date.
	Now func() time.Time
}

// Embedder may be used from many goroutines.
type Embedder struct {
	service         api.EmbeddingService
	host            string
	provider, model string
	now             func() time.Time
	// dim is that of the first answer, 0 before it.
	dim atomic.Int64
}

// New makes an embedder; it asks nobody yet. An error names the base URL's
// mistake without what the URL may hold of credentials.
func New(p Params) (*Embedder, error) {
	if p.BaseURL == "" {
		p.BaseURL = DefaultBaseURL
	}
	if p.Model == "" {
		p.Model = DefaultModel
	}
	base, err := url.Parse(p.BaseURL)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, errors.New("the base URL must be http://HOST/PATH or https://HOST/PATH")
	}
	if base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("the base URL must have no user, query or fragment; the key has a setting of its own")
	}
	if p.Now == nil {
		p.Now = time.Now
	}
	client := &http.Client{
		Transport: limited{http.DefaultTransport},
		Timeout:   timeout,
		// A key is for the server that was named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
	}
	return &Embedder{
		// The service is made without the environment, which the library would read
		// further settings from.
		service: api.NewEmbeddingService(option.WithBaseURL(strings.TrimRight(p.BaseURL, "/")+"/"), option.WithAPIKey(p.Key),
			option.WithHTTPClient(client), option.WithMaxRetries(0)),
		host: base.Host, provider: provider(base.Hostname()), model: p.Model, now: p.Now,
	}, nil
}

var errRedirect = errors.New("it redirects elsewhere")

// hosts are those whose calls are charged by another than OpenAI; a gateway that
// is not listed passes on what OpenAI charges.
var hosts = []struct{ suffix, provider string }{
	{".openai.azure.com", "azure"},
	{"openrouter.ai", "openrouter"},
	{"api.mistral.ai", "mistral"},
	{"api.together.xyz", "together"},
	{"api.fireworks.ai", "fireworks"},
	{"api.deepinfra.com", "deepinfra"},
	{"generativelanguage.googleapis.com", "google"},
}

func provider(host string) string {
	for _, h := range hosts {
		if host == strings.TrimPrefix(h.suffix, ".") || strings.HasSuffix(host, "."+strings.TrimPrefix(h.suffix, ".")) {
			return h.provider
		}
	}
	return "openai"
}

// Name is the provider's and the model's.
func (e *Embedder) Name() string { return e.provider + "/" + e.model }

// MaxBatch is the most texts of one Embed.
func (e *Embedder) MaxBatch() int { return maxBatch }

// Charged is true, for all that is known of a server.
func (e *Embedder) Charged() bool { return true }

// Embed asks once.
func (e *Embedder) Embed(ctx context.Context, texts []string) (prompts.Embeddings, error) {
	input := make([]string, len(texts))
	for i, text := range texts {
		input[i] = prompts.CutRunes(strings.ToValidUTF8(text, "\uFFFD"), prompts.MaxEmbedRunes)
		if input[i] == "" {
			input[i] = " " // an empty text is refused
		}
	}
	answer, err := e.service.New(ctx, api.EmbeddingNewParams{Model: e.model, Input: api.EmbeddingNewParamsInputUnion{OfArrayOfStrings: input}})
	if err != nil {
		return prompts.Embeddings{}, e.explain(ctx, err)
	}
	out := prompts.Embeddings{
		Vectors: make([][]float32, len(texts)), InputTokens: max(0, answer.Usage.PromptTokens),
		Provider: e.provider, Model: e.model,
	}
	if len(answer.Data) != len(texts) {
		return out, e.wrong("gave %d vectors for %d texts", len(answer.Data), len(texts))
	}
	for _, d := range answer.Data {
		if d.Index < 0 || d.Index >= int64(len(texts)) || out.Vectors[d.Index] != nil {
			return out, e.wrong("gave two vectors for one text")
		}
		v, ok := unit(d.Embedding)
		if !ok {
			return out, e.wrong("gave a vector without a length")
		}
		if e.dim.CompareAndSwap(0, int64(len(v))); int64(len(v)) != e.dim.Load() {
			return out, e.wrong("gave a vector of %d numbers after one of %d", len(v), e.dim.Load())
		}
		out.Vectors[d.Index] = v
	}
	return out, nil
}

// wrong is an answer that cannot be used. It was charged for all the same, which
// is why it comes with the tokens.
func (e *Embedder) wrong(format string, args ...any) error {
	return fmt.Errorf("the embedder at %s %s", e.host, fmt.Sprintf(format, args...))
}

// unit gives the vector with length 1.
func unit(v []float64) ([]float32, bool) {
	var square float64
	for _, x := range v {
		square += x * x
	}
	if square == 0 || math.IsNaN(square) || math.IsInf(square, 0) {
		return nil, false
	}
	length := math.Sqrt(square)
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x / length)
	}
	return out, true
}

// explain makes of the library's error one that holds neither the key nor what
// was sent.
func (e *Embedder) explain(ctx context.Context, err error) error {
	if failed := ctx.Err(); failed != nil {
		return failed
	}
	var refused *api.Error
	if errors.As(err, &refused) {
		out := &prompts.EmbedError{Err: fmt.Errorf("the embedder at %s answered %d %s", e.host, refused.StatusCode, http.StatusText(refused.StatusCode))}
		switch refused.StatusCode {
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
			out.Permanent = true
		}
		if refused.Response != nil {
			out.RetryAfter = e.retryAfter(refused.Response.Header.Get("Retry-After"))
		}
		return out
	}
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err // without the URL
		if request.Timeout() {
			err = errors.New("no answer in time")
		}
		return fmt.Errorf("the embedder at %s cannot be reached: %w", e.host, err)
	}
	// What does not parse may hold anything: it is not repeated.
	return fmt.Errorf("the embedder at %s gave an answer that is not one", e.host)
}

func (e *Embedder) retryAfter(text string) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return min(time.Duration(min(seconds, 1<<20))*time.Second, longestRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(0, at.Sub(e.now())), longestRetryAfter)
	}
	return 0
}

// limited reads no more of an answer than an answer can have.
type limited struct{ next http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.next.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	}
	return answer, err
}
