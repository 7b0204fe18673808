package prompts

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

const (
	// The worker looks for prompts this often when nobody wakes it: other servers
	// queue them too.
	lookEvery = 5 * time.Second
	// countEvery is how often the queue is counted for Status.
	countEvery = 5 * time.Second
	// After a failure it waits this long, twice as long after the next, up to the
	// longest; half of it by chance, so that servers do not come back all at once.
	firstPause   = time.Second
	longestPause = 5 * time.Minute
	// A prompt that the embedder will not take is tried again after this: it may be
	// another embedder by then.
	refusedPause = 24 * time.Hour
	// takeBatches is how many batches are read from the queue at a time.
	takeBatches = 4
	// lastWords is how long after the end a cost may still be recorded.
	lastWords = 5 * time.Second
)

// workerLock is the lock of the one server that embeds.
const workerLock = "prompts.embed"

// Spent is what one request to an embedder cost.
type Spent struct {
	// EventID is the same for the same attempt at the same prompts, and for no other.
	EventID         string
	Project         string
	Provider, Model string
	InputTokens     int64
	Started         time.Time
	Took            time.Duration
	// Failed says that it was charged for and of no use.
	Failed bool
}

// WorkerParams are what a Worker is made of.
type WorkerParams struct {
	Queue    store.Queue
	Embedder Embedder
	// Record keeps what a request cost; it stores the same EventID once.
	Record func(ctx context.Context, s Spent) error
	// Stored hears of every vector once it is durable.
	Stored func(v store.PromptVector)
	// Locks are of a ledger that servers share; nil is of one that has one server.
	Locks store.Locks
	// Cache has vectors that were paid for lately; nil asks for each.
	Cache Cache
	// Pace is the least time from the beginning of one request to that of the next.
	Pace time.Duration
	Log  *slog.Logger
}

// Worker embeds queued prompts, in the background. The queue is the ledger's, so
// what is not done when it ends is done later, by whoever runs next.
//
// What a request cost is recorded under an identity made of the prompts and of how
// often each was tried, and the try is counted in the ledger before the request is made.
// So a request that is repeated after a kill is another one, which was charged again and
// counts again; and a record that is repeated is the same one and counts once. Lost
// is the cost of a request that was charged, when the kill comes between the
// provider's answer and the commit of its record: of one batch at most, and nobody here can know it.
type Worker struct {
	WorkerParams
	wake chan struct{}

	mu     sync.Mutex
	status Status
	// next is when the pace lets another request begin.
	next    time.Time
	counted time.Time
	failed  int
}

// Status says how far the worker is.
type Status struct {
	Embedder string
	// Waiting is how many prompts wait, as of some seconds ago; -1 is not known yet.
	Waiting int64
	// Embedded, Cached (those of them that nobody was asked for), Refused, Requests,
	// Failures and InputTokens count since the start of this server.
	Embedded, Cached, Refused, Requests, Failures, InputTokens int64
	// Error is what the last request or look at the queue failed with; "" when it
	// did not. PausedUntil is when it is tried again.
	Error       string
	PausedUntil time.Time
}

// NewWorker makes a worker; Run runs it.
func NewWorker(p WorkerParams) *Worker {
	return &Worker{WorkerParams: p, wake: make(chan struct{}, 1), status: Status{Embedder: p.Embedder.Name(), Waiting: -1}}
}

// Status is for health and metrics; it asks nobody.
func (w *Worker) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// Wake has the worker look at the queue soon. It never blocks.
func (w *Worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	for {
		pause, err := w.turn(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wake := w.wake
		if err != nil {
			pause = w.pauseAfter(err)
			wake = nil // an embedder that is down is left alone, however much waits
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		case <-wake:
			t.Stop()
		}
	}
}

// pauseAfter notes a failure and says how long to wait.
func (w *Worker) pauseAfter(err error) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	pause := min(longestPause, firstPause<<min(w.failed, 16))
	pause = pause/2 + rand.N(pause/2+1)
	var known *EmbedError
	if errors.As(err, &known) {
		pause = max(pause, known.RetryAfter)
	}
	first := w.failed == 0
	w.failed++
	w.status.Error, w.status.PausedUntil = err.Error(), time.Now().Add(pause)
	if first {
		w.Log.Warn("prompts cannot be embedded; it is tried again", "embedder", w.status.Embedder, "error", err, "in", pause)
	}
	return pause
}

func (w *Worker) worked() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed > 0 {
		w.Log.Info("prompts are embedded again", "embedder", w.status.Embedder)
	}
	w.failed, w.status.Error, w.status.PausedUntil = 0, "", time.Time{}
}

// turn embeds what is due, until nothing is, and says when to look again.
func (w *Worker) turn(ctx context.Context) (time.Duration, error) {
	if w.Locks != nil {
		held, unlock, err := w.Locks.TryLock(ctx, workerLock)
		if err != nil {
			return 0, err
		}
		if unlock == nil {
			w.count(ctx)
			return lookEvery, nil
		}
		defer unlock()
		ctx = held
	}
	for {
		w.count(ctx)
		limit := takeBatches * w.Embedder.MaxBatch()
		jobs, err := w.Queue.TakeQueue(ctx, limit, time.Now())
		if err != nil {
			return 0, err
		}
		missing, err := w.fromCache(ctx, jobs)
		if err != nil {
			return 0, err
		}
		for _, batch := range batches(missing, w.Embedder.MaxBatch()) {
			if err := w.embed(ctx, batch); err != nil {
				return 0, err
			}
		}
		if len(jobs) < limit {
			w.worked()
			return lookEvery, nil
		}
	}
}

// batches cuts jobs so that each batch is of one project: what it costs is that
// project's.
func batches(jobs []store.QueuedPrompt, most int) [][]store.QueuedPrompt {
	var out [][]store.QueuedPrompt
	open := map[string]int{}
	for _, j := range jobs {
		i, ok := open[j.Project]
		if !ok || len(out[i]) == most {
			i = len(out)
			open[j.Project] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], j)
	}
	return out
}

// embed sees one batch through. What the embedder will not take is tried one by
// one, so that one text does not hold up the others.
func (w *Worker) embed(ctx context.Context, batch []store.QueuedPrompt) error {
	got, err := w.request(ctx, batch)
	var known *EmbedError
	if err != nil && errors.As(err, &known) && known.Permanent {
		if len(batch) == 1 {
			return w.refused(ctx, batch[0], err)
		}
		for i := range batch {
			if err := w.embed(ctx, batch[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	vectors := make([]store.PromptVector, len(batch))
	for i, j := range batch {
		vectors[i] = store.PromptVector{Project: j.Project, ID: j.ID, Vector: got.Vectors[i]}
	}
	if w.Cache != nil {
		// Before they are stored: a kill in between does not have them paid for again.
		w.Cache.Put(ctx, w.Embedder.Name(), vectors)
	}
	if _, err := w.put(ctx, vectors); err != nil {
		return err
	}
	w.worked()
	return nil
}

// put stores vectors and says how many of them; prompts that are gone have none.
func (w *Worker) put(ctx context.Context, vectors []store.PromptVector) (int64, error) {
	stored, err := w.Queue.PutVectors(ctx, w.Embedder.Name(), vectors)
	if err != nil {
		return 0, err
	}
	var gone []store.PromptVector
	for i, ok := range stored {
		if ok {
			w.Stored(vectors[i])
		} else {
			gone = append(gone, vectors[i])
		}
	}
	if len(gone) > 0 && w.Cache != nil {
		w.Cache.Drop(ctx, w.Embedder.Name(), gone)
	}
	done := int64(len(vectors) - len(gone))
	w.mu.Lock()
	w.status.Embedded += done
	w.mu.Unlock()
	return done, nil
}

// fromCache stores the vectors that the cache has, and gives the prompts that it
// lacks.
func (w *Worker) fromCache(ctx context.Context, jobs []store.QueuedPrompt) ([]store.QueuedPrompt, error) {
	if w.Cache == nil || len(jobs) == 0 {
		return jobs, nil
	}
	ids := make([]usage.ID, len(jobs))
	for i, j := range jobs {
		ids[i] = j.ID
	}
	known := w.Cache.Get(ctx, w.Embedder.Name(), ids)
	if len(known) == 0 {
		return jobs, nil
	}
	var vectors []store.PromptVector
	var missing []store.QueuedPrompt
	for _, j := range jobs {
		if v := known[j.ID]; v != nil {
			vectors = append(vectors, store.PromptVector{Project: j.Project, ID: j.ID, Vector: v})
		} else {
			missing = append(missing, j)
		}
	}
	done, err := w.put(ctx, vectors)
	w.mu.Lock()
	w.status.Cached += done
	w.mu.Unlock()
	return missing, err
}

// refused puts off a prompt that the embedder will not take.
func (w *Worker) refused(ctx context.Context, j store.QueuedPrompt, err error) error {
	w.Log.Warn("a prompt cannot be embedded", "project", j.Project, "prompt", j.ID.String(), "error", err)
	w.mu.Lock()
	w.status.Refused++
	w.mu.Unlock()
	return w.Queue.PutAttempts(ctx, []store.Attempt{{Project: j.Project, ID: j.ID, Attempts: j.Attempts, NotBefore: time.Now().Add(refusedPause)}})
}

// request counts the try, asks the embedder once, and records what that cost. The
// batch's Attempts are those counted.
func (w *Worker) request(ctx context.Context, batch []store.QueuedPrompt) (Embeddings, error) {
	if err := w.keepPace(ctx); err != nil {
		return Embeddings{}, err
	}
	if w.Embedder.Charged() {
		tries := make([]store.Attempt, len(batch))
		for i := range batch {
			j := &batch[i]
			j.Attempts++
			// It stays due: there is one worker, and after a kill the next one goes on at once.
			tries[i] = store.Attempt{Project: j.Project, ID: j.ID, Attempts: j.Attempts, NotBefore: time.Now()}
		}
		if err := w.Queue.PutAttempts(ctx, tries); err != nil {
			return Embeddings{}, err
		}
	}
	texts := make([]string, len(batch))
	for i, j := range batch {
		texts[i] = CutRunes(j.Text, MaxEmbedRunes)
	}
	started := time.Now()
	got, err := w.Embedder.Embed(ctx, texts)
	w.mu.Lock()
	w.status.Requests++
	w.status.InputTokens += got.InputTokens
	if err != nil {
		w.status.Failures++
	}
	w.mu.Unlock()
	if got.InputTokens > 0 && got.Provider != "" {
		failed := w.record(ctx, Spent{
			EventID: attemptID(w.Embedder.Name(), batch), Project: batch[0].Project, Provider: got.Provider, Model: got.Model,
			InputTokens: got.InputTokens, Started: started, Took: time.Since(started), Failed: err != nil,
		})
		if err == nil {
			err = failed
		}
	}
	return got, err
}

// record does not give up before the end: what is recorded later is lost with a
// kill, and what was charged cannot be found out again.
func (w *Worker) record(ctx context.Context, s Spent) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := w.Record(ctx, s)
		if err == nil {
			return nil
		}
		if fault.CodeOf(err) == fault.Invalid {
			// No later try is better, and the prompts need not wait for it.
			w.Log.Error("what embedding cost is not recorded", "error", err, "tokens", s.InputTokens, "project", s.Project)
			return nil
		}
		if ctx.Err() == nil {
			w.Log.Warn("what embedding cost could not be recorded; it is tried again", "error", err, "tokens", s.InputTokens, "project", s.Project)
			if wait(ctx, pause) == nil {
				continue
			}
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		if err = w.Record(last, s); err != nil {
			w.Log.Error("what embedding cost is not recorded", "error", err, "tokens", s.InputTokens, "project", s.Project)
		}
		return err
	}
}

func (w *Worker) keepPace(ctx context.Context) error {
	err := wait(ctx, time.Until(w.next))
	w.next = time.Now().Add(w.Pace)
	return err
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// count keeps Status near the truth; a failure is left to what follows.
func (w *Worker) count(ctx context.Context) {
	w.mu.Lock()
	due := time.Since(w.counted) >= countEvery
	w.mu.Unlock()
	if !due {
		return
	}
	n, err := w.Queue.QueueSize(ctx)
	if err != nil {
		return
	}
	w.mu.Lock()
	w.status.Waiting, w.counted = n, time.Now()
	w.mu.Unlock()
}
