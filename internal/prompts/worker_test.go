package prompts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// ledger is a queue in memory, with the promises of store.Queue, that outlives its
// worker as a real one does.
type ledger struct {
	mu       sync.Mutex
	queue    map[usage.ID]*entry
	vectors  map[usage.ID]store.PromptVector
	gone     map[usage.ID]bool
	spent    map[string]Spent
	down     bool
	puts     int
	recorded int
}

type entry struct {
	store.QueuedPrompt
	notBefore time.Time
}

func newLedger(texts ...string) *ledger {
	l := &ledger{queue: map[usage.ID]*entry{}, vectors: map[usage.ID]store.PromptVector{}, gone: map[usage.ID]bool{}, spent: map[string]Spent{}}
	for i, text := range texts {
		l.add("p", i, text)
	}
	return l
}

func (l *ledger) add(project string, n int, text string) {
	id := usage.ID{byte(n >> 8), byte(n), project[0]}
	l.queue[id] = &entry{QueuedPrompt: store.QueuedPrompt{Project: project, ID: id, Text: text}}
}

var errDown = errors.New("the ledger is down")

func (l *ledger) TakeQueue(_ context.Context, limit int, now time.Time) ([]store.QueuedPrompt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, errDown
	}
	var due []*entry
	for _, e := range l.queue {
		if !e.notBefore.After(now) {
			due = append(due, e)
		}
	}
	slices.SortFunc(due, func(a, b *entry) int {
		return cmp.Or(a.notBefore.Compare(b.notBefore), cmp.Compare(a.Project, b.Project), slices.Compare(a.ID[:], b.ID[:]))
	})
	var out []store.QueuedPrompt
	for _, e := range due[:min(limit, len(due))] {
		out = append(out, e.QueuedPrompt)
	}
	return out, nil
}

func (l *ledger) QueueSize(context.Context) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.queue)), nil
}

func (l *ledger) PutAttempts(_ context.Context, attempts []store.Attempt) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range attempts {
		if e := l.queue[a.ID]; e != nil {
			e.Attempts, e.notBefore = a.Attempts, a.NotBefore
		}
	}
	return nil
}

func (l *ledger) PutVectors(ctx context.Context, _ string, vectors []store.PromptVector) ([]bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	l.puts++
	stored := make([]bool, len(vectors))
	for i, v := range vectors {
		delete(l.queue, v.ID)
		if stored[i] = !l.gone[v.ID]; stored[i] {
			l.vectors[v.ID] = v
		}
	}
	return stored, nil
}

func (l *ledger) record(ctx context.Context, s Spent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if l.down {
		return errDown
	}
	l.recorded++
	if _, twice := l.spent[s.EventID]; !twice {
		l.spent[s.EventID] = s
	}
	return nil
}

func (l *ledger) tokens() (n int64) {
	for _, s := range l.spent {
		n += s.InputTokens
	}
	return n
}

// paid embeds for a token a text, after do has had its say.
type paid struct {
	do      func(ctx context.Context, texts []string) error
	mu      sync.Mutex
	calls   []time.Time
	sizes   []int
	charged int64
}

func (p *paid) Name() string  { return "openai/fake" }
func (p *paid) MaxBatch() int { return 4 }
func (p *paid) Charged() bool { return true }

func (p *paid) Embed(ctx context.Context, texts []string) (Embeddings, error) {
	if len(texts) > p.MaxBatch() {
		panic("more texts than a batch has")
	}
	p.mu.Lock()
	p.calls, p.sizes = append(p.calls, time.Now()), append(p.sizes, len(texts))
	p.mu.Unlock()
	if p.do != nil {
		if err := p.do(ctx, texts); err != nil {
			return Embeddings{}, err
		}
	}
	out := Embeddings{InputTokens: int64(len(texts)), Provider: "openai", Model: "fake"}
	p.mu.Lock()
	p.charged += out.InputTokens
	p.mu.Unlock()
	for _, text := range texts {
		out.Vectors = append(out.Vectors, []float32{float32(len(text)), 1})
	}
	return out, nil
}

func worker(l *ledger, e Embedder) *Worker {
	return NewWorker(WorkerParams{
		Queue: l, Embedder: e, Record: l.record, Stored: func(store.PromptVector) {}, Log: slog.New(slog.DiscardHandler),
	})
}

// run runs a worker for a time, and gives what Run ended with.
func run(w *Worker, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return w.Run(ctx)
}

func many(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint("text ", i)
	}
	return out
}

func TestWorkerEmbedsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e := newLedger(many(30)...), &paid{}
		for i := range 5 {
			l.add("q", 100+i, "of another project")
		}
		gone := usage.ID{0, 3, 'p'}
		l.gone[gone] = true
		w := worker(l, e)
		var heard []usage.ID
		w.Stored = func(v store.PromptVector) { heard = append(heard, v.ID) }
		if err := run(w, time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		s := w.Status()
		if len(l.queue) != 0 || len(l.vectors) != 34 || s.Embedded != 34 || s.Error != "" || s.InputTokens != 35 {
			t.Errorf("%d wait, %d vectors, %+v", len(l.queue), len(l.vectors), s)
		}
		if len(heard) != 34 || slices.Contains(heard, gone) {
			t.Errorf("told of %d vectors, also of one that was not stored: %v", len(heard), slices.Contains(heard, gone))
		}
		projects := map[string]int64{}
		for _, s := range l.spent {
			projects[s.Project] += s.InputTokens
		}
		if projects["p"] != 30 || projects["q"] != 5 {
			t.Errorf("recorded %v", projects)
		}
		// Nobody waits for the next look when the worker is woken.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() { _ = w.Run(ctx) }()
		synctest.Wait()
		l.mu.Lock()
		l.add("p", 200, "late")
		l.mu.Unlock()
		w.Wake()
		synctest.Wait()
		if l.mu.Lock(); len(l.queue) != 0 {
			t.Error("woken, and it sleeps on")
		}
		l.mu.Unlock()
	})
}

// While the embedder is down it is asked rarely, and when it is back all is done.
func TestWorkerBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e := newLedger(many(40)...), &paid{}
		from := time.Now()
		e.do = func(context.Context, []string) error {
			if time.Since(from) < time.Hour {
				return errors.New("down")
			}
			return nil
		}
		w := worker(l, e)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Minute)
		defer cancel()
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		for range 100 { // waking does not make it ask more often
			time.Sleep(20 * time.Second)
			w.Wake()
		}
		<-done
		asked := len(e.calls)
		if asked < 10 || asked > 30 {
			t.Errorf("asked %d times in 50 minutes", asked)
		}
		for i := 2; i < asked; i++ {
			was, gap := e.calls[i-1].Sub(e.calls[i-2]), e.calls[i].Sub(e.calls[i-1])
			if gap > longestPause || gap < was/2 && gap < longestPause/2 {
				t.Errorf("a pause of %v after one of %v", gap, was)
			}
		}
		if s := w.Status(); s.Error != "down" || s.Waiting != 40 || !s.PausedUntil.After(time.Now()) {
			t.Errorf("%+v", s)
		}
		// Jitter: another worker does not keep in step.
		if err := run(w, 20*time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if s := w.Status(); len(l.queue) != 0 || s.Error != "" || !s.PausedUntil.IsZero() {
			t.Errorf("%d wait after it was back: %+v", len(l.queue), s)
		}
	})
}

func TestWorkerHonoursRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e := newLedger("a"), &paid{}
		e.do = func(context.Context, []string) error {
			if len(e.calls) == 1 {
				return fmt.Errorf("wrapped: %w", &EmbedError{RetryAfter: 7 * time.Minute, Err: errors.New("429")})
			}
			return nil
		}
		_ = run(worker(l, e), time.Hour)
		if gap := e.calls[1].Sub(e.calls[0]); len(e.calls) != 2 || gap != 7*time.Minute {
			t.Errorf("%d calls, the second after %v", len(e.calls), gap)
		}
	})
}

// One text that the embedder will not take does not hold up the others.
func TestWorkerPutsOffWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		texts := many(9)
		texts[2] = "poison"
		l, e := newLedger(texts...), &paid{}
		e.do = func(_ context.Context, texts []string) error {
			if slices.Contains(texts, "poison") {
				return &EmbedError{Permanent: true, Err: errors.New("400")}
			}
			return nil
		}
		w := worker(l, e)
		_ = run(w, time.Hour)
		asked := len(e.calls)
		if len(l.vectors) != 8 || len(l.queue) != 1 || w.Status().Refused != 1 || asked != 7 {
			t.Errorf("%d vectors, %d wait, asked %d times, %+v", len(l.vectors), len(l.queue), asked, w.Status())
		}
		e.do = nil
		_ = run(w, 25*time.Hour)
		if len(l.queue) != 0 || len(e.calls) != asked+1 {
			t.Errorf("%d wait, asked %d times more", len(l.queue), len(e.calls)-asked)
		}
	})
}

func TestWorkerKeepsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e := newLedger(many(40)...), &paid{}
		w := worker(l, e)
		w.Pace = 3 * time.Second
		_ = run(w, 10*time.Minute)
		if len(e.calls) != 10 {
			t.Fatalf("%d calls", len(e.calls))
		}
		for i := 1; i < len(e.calls); i++ {
			if gap := e.calls[i].Sub(e.calls[i-1]); gap < w.Pace {
				t.Errorf("a request after %v", gap)
			}
		}
	})
}

// What was charged is recorded, whatever the ledger does meanwhile, and once.
func TestWorkerRecordsWhatWasCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e := newLedger(many(20)...), &paid{}
		e.do = func(context.Context, []string) error {
			l.mu.Lock()
			l.down = len(e.calls) == 2
			l.mu.Unlock()
			if len(e.calls) == 2 {
				time.AfterFunc(10*time.Minute, func() { l.mu.Lock(); l.down = false; l.mu.Unlock() })
			}
			return nil
		}
		_ = run(worker(l, e), time.Hour)
		if l.tokens() != e.charged || e.charged != 20 || len(l.spent) != l.recorded {
			t.Errorf("recorded %d tokens in %d records of %d, charged %d", l.tokens(), len(l.spent), l.recorded, e.charged)
		}
	})
}

// Workers that end at any moment, one after the other: nothing is embedded twice
// that is in the ledger, and what the requests cost is what is recorded.
func TestWorkerResumes(t *testing.T) {
	for stop := range 12 {
		synctest.Test(t, func(t *testing.T) {
			l, e := newLedger(many(23)...), &paid{}
			for l.puts < 6 && len(e.calls) < 100 {
				ctx, cancel := context.WithCancel(t.Context())
				n := 0
				// The moment: before the answer, after it, or after it is recorded.
				e.do = func(ctx context.Context, _ []string) error {
					if n++; n == 2+stop/3 && stop%3 == 0 {
						cancel()
						return ctx.Err()
					}
					if n == 2+stop/3 && stop%3 == 1 {
						cancel()
					}
					time.Sleep(time.Second)
					return nil
				}
				w := worker(l, e)
				w.Record = func(ctx context.Context, s Spent) error {
					err := l.record(ctx, s)
					if n == 2+stop/3 && stop%3 == 2 {
						cancel()
					}
					return err
				}
				ends := time.AfterFunc(time.Minute, cancel)
				if err := w.Run(ctx); !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				ends.Stop()
			}
			if len(l.queue) != 0 || len(l.vectors) != 23 {
				t.Errorf("stop %d: %d wait, %d vectors", stop, len(l.queue), len(l.vectors))
			}
			if l.tokens() != e.charged {
				t.Errorf("stop %d: recorded %d tokens, charged %d", stop, l.tokens(), e.charged)
			}
		})
	}
}

type locks struct{ free bool }

func (l *locks) Lock(context.Context, string) (context.Context, func(), error) { panic("not asked") }
func (l *locks) TryLock(ctx context.Context, _ string) (context.Context, func(), error) {
	if !l.free {
		return nil, nil, nil
	}
	l.free = false
	return ctx, func() { l.free = true }, nil
}

func TestOneWorkerAmongServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e := newLedger(many(3)...), &paid{}
		w := worker(l, e)
		lock := &locks{}
		w.Locks = lock
		_ = run(w, time.Minute)
		if len(e.calls) != 0 || w.Status().Waiting != 3 {
			t.Errorf("works without the lock: %d calls, %+v", len(e.calls), w.Status())
		}
		lock.free = true
		_ = run(w, time.Minute)
		if len(l.queue) != 0 || !lock.free {
			t.Error("the lock is free, and nothing is done or it is kept")
		}
	})
}

func TestSpentIsAnEvent(t *testing.T) {
	batch := []store.QueuedPrompt{{Project: "p", ID: usage.ID{1}, Attempts: 1}, {Project: "p", ID: usage.ID{2}, Attempts: 1}}
	id := attemptID("a", batch)
	slices.Reverse(batch)
	if attemptID("a", batch) != id {
		t.Error("the order changes the identity")
	}
	batch[0].Attempts++
	if other := attemptID("a", batch); other == id || attemptID("b", batch) == other {
		t.Error("another attempt has the same identity")
	}
	e := Spent{EventID: id, Project: "p", Provider: "openai", Model: "text-embedding-3-small", InputTokens: 1_000_000, Started: time.Now(), Took: 1234567 * time.Nanosecond}.Event()
	e.ProviderID, e.ModelID = e.Provider, e.Model
	if problems := e.Validate(time.Now()); len(problems) > 0 || !strings.HasPrefix(e.EventID, "embedding-") {
		t.Errorf("%v: %v", e, problems)
	}
	book, err := pricing.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	if c, err := book.Price(&e); err != nil || c.Total().String() != "0.02" {
		t.Errorf("a million tokens cost %s, %v", c.Total(), err)
	}
}
