package rating

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// late stores a call as one that was priced by a book which was replaced before
// it was stored.
func (r *rig) late(span string) {
	r.t.Helper()
	e := call(span, "openai", "gpt-4o", noon)
	if _, err := r.ledger.Append(r.t.Context(), []usage.Record{{ID: e.Identity(), Event: e}}); err != nil {
		r.t.Fatal(err)
	}
}

func TestRecheck(t *testing.T) {
	r := newRig(t)
	r.settled()
	r.late("a")
	r.settled()
	if diff := cmp.Diff([]string{"a unpriced 0"}, r.costs()); diff != "" {
		t.Errorf("nobody asked for another look (-want +got):\n%s", diff)
	}
	r.Recheck()
	// It is not forgotten while the store is away, in whatever step.
	for r.outage.calls, r.outage.at = 0, 1; ; r.outage.at++ {
		r.outage.calls = 0
		err := r.work(t.Context())
		if err == nil {
			break
		}
		if fault.CodeOf(err) != fault.Unavailable {
			t.Fatal(err)
		}
	}
	if r.outage.at < 4 {
		t.Errorf("%d operations, too few to be interrupted", r.outage.at)
	}
	if diff := cmp.Diff([]string{"a catalog 0.0035"}, r.costs()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheWorkerSleepsUntilItIsCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		asked := r.catalog.lists.Load()
		time.Sleep(time.Hour)
		synctest.Wait()
		if again := r.catalog.lists.Load() - asked; again != 0 {
			t.Errorf("without work the catalog was asked %d times", again)
		}

		r.late("a")
		r.Recheck()
		r.Recheck() // one signal is enough, and none waits for the worker
		synctest.Wait()
		if diff := cmp.Diff([]string{"a catalog 0.0035"}, r.costs()); diff != "" {
			t.Errorf("after a call (-want +got):\n%s", diff)
		}

		r.store(call("c", "acme", "nova", noon))
		put := r.put(pricing.PutRequest{Provider: "acme", Model: "nova", Prices: twoEight})
		synctest.Wait()
		if job, err := r.Job(t.Context(), put.JobID); err != nil || job.State != "done" {
			t.Errorf("after a price was put its run is %q, %v", job.State, err)
		}

		// Attempts come at 0, 1, 3, 7, 15, 31 and 63 seconds, and then each minute.
		r.outage.away.Store(true)
		r.catalog.lists.Store(0)
		r.late("b")
		r.Recheck()
		for _, step := range []struct {
			wait time.Duration
			want int64
		}{{500 * time.Millisecond, 1}, {time.Second, 2}, {2 * time.Second, 3}, {4 * time.Second, 4}, {time.Minute, 7}, {time.Hour, 67}} {
			time.Sleep(step.wait)
			synctest.Wait()
			if got := r.catalog.lists.Load(); got != step.want {
				t.Errorf("after another %s the store was asked %d times, want %d", step.wait, got, step.want)
			}
		}
		r.outage.away.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a catalog 0.0035", "b catalog 0.0035", "c catalog 0.0028"}, r.costs()); diff != "" {
			t.Errorf("when the store is back (-want +got):\n%s", diff)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returns %v at the end", err)
		}
		if !strings.Contains(r.log.String(), "held up") {
			t.Errorf("the log does not say that the store was away: %s", r.log.String())
		}
	})
}

func TestMoreRunsThanOneListHolds(t *testing.T) {
	r := newRig(t)
	in, err := json.Marshal(input{Reason: reasonPut, selected: selectedBy(pricing.Selector{Provider: "acme", Model: "nova"})})
	if err != nil {
		t.Fatal(err)
	}
	for i := range listSize + 1 {
		id := fmt.Sprintf("%05d", i)
		r.catalog.runs[id] = store.Run{ID: id, Name: BackfillName, State: "running", Input: in}
	}
	r.settled()
	for id, run := range r.catalog.runs {
		if run.State != "done" {
			t.Fatalf("run %s is %s", id, run.State)
		}
	}
}
