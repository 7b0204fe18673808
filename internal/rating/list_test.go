package rating

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

// list is a price list of models of "acme", each "id price" per million input
// tokens, listed on a day.
func list(listed string, models ...string) []byte {
	var out []string
	for _, m := range models {
		id, price, _ := strings.Cut(m, " ")
		out = append(out, fmt.Sprintf(`{"id":%q,"versions":[{"prices":{"input":%s}}]}`, id, price))
	}
	return fmt.Appendf(nil, `{"format":"costprof/book/1","source":"s","version":"of %s","listed":%q,"license":"","providers":[{"id":"acme","models":[%s]}]}`,
		listed, listed, strings.Join(out, ","))
}

func (r *rig) load(u ListUpdate) ListResult {
	r.t.Helper()
	u.Apply, u.Actor = true, "tester"
	res, err := r.UpdateList(r.t.Context(), u)
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

func TestLoadedListSurvivesARestart(t *testing.T) {
	r := newRig(t)
	early := call("early", "acme", "nova", noon.Add(-time.Hour))
	guess := amount(t, "0.5")
	early.Estimated = &guess
	r.store(early, call("older", "acme", "other", noon.Add(-time.Hour)))
	res := r.load(ListUpdate{Book: list("2026-10-01", "nova 2")})
	if !res.Applied || res.Added != 1 || res.JobID == "" {
		t.Fatalf("%+v", res)
	}
	r.settled()
	want := []string{"early catalog 0.002", "older unpriced 0"}
	if diff := cmp.Diff(want, r.costs()); diff != "" {
		t.Errorf("what had no price (-want +got):\n%s", diff)
	}
	job, err := r.Job(t.Context(), res.JobID)
	if err != nil || job.State != "done" || !strings.Contains(string(job.Result), `"calls":1,"oldCost":0.5,"newCost":0.002`) {
		t.Errorf("%+v, %v", job, err)
	}
	r.now = noon.Add(time.Hour)
	r.load(ListUpdate{Book: list("2026-10-02", "nova 3")})
	r.put(pricing.PutRequest{Provider: "acme", Model: "nova", Project: "p", Prices: twoEight})
	for range 2 {
		r.store(call("before", "acme", "nova", noon), call("after", "acme", "nova", noon.Add(time.Hour)))
		r.settled()
		want := []string{"after catalog 0.003", "before catalog 0.002", "early catalog 0.002", "older unpriced 0"}
		if diff := cmp.Diff(want, r.costs()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		r.open()
	}
	if i := r.List(); !i.Loaded || i.Version != "of 2026-10-02" || !i.Since.Equal(r.now) || i.Models != r.Shipped.Info().Models+1 {
		t.Errorf("%+v", i)
	}
	// Back to the shipped book, own prices stay.
	if err := r.ResetList(t.Context(), "tester"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if i := r.List(); i.Loaded || i.Listed != r.Shipped.Info().Listed || r.Book().Fingerprint() == r.Shipped.Fingerprint() {
			t.Errorf("after a reset: %+v", i)
		}
		if q, _ := r.Book().Quote(pricing.Call{Provider: "acme", Model: "nova", At: r.now}); q.Source != usage.SourceUnpriced {
			t.Errorf("after a reset: %+v", q)
		}
		if q, _ := r.Book().Quote(pricing.Call{Provider: "acme", Model: "nova", Project: "p", At: r.now}); q.Source != usage.SourceCatalog {
			t.Errorf("an own price after a reset: %+v", q)
		}
		r.open()
	}
	if err := r.ResetList(t.Context(), "tester"); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("again: %v", err)
	}
	var actions []string
	for _, e := range r.catalog.log {
		if e.Actor == "tester" && e.Action != BackfillName {
			actions = append(actions, e.Action)
		}
	}
	if diff := cmp.Diff([]string{actionList, actionList, "prices.put", actionUnlist}, actions); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
}

// Of a loaded list and the book of a newer program the one that was listed later
// counts, and the past stays as it was.
func TestNewerProgram(t *testing.T) {
	for _, test := range []struct {
		shipped string // the day of the newer program's book
		want    string // nova's price then
	}{{"2026-09-30", "2"}, {"2026-10-01", "2"}, {"2026-10-02", "7"}} {
		r := newRig(t)
		r.load(ListUpdate{Book: list("2026-10-01", "nova 2")})
		r.now = noon.Add(24 * time.Hour)
		program, err := pricing.Load(list(test.shipped, "nova 7"))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // and at the next start, and on another server
			s, err := Open(t.Context(), Params{
				Ledger: r.ledger, Catalog: r.catalog, Shipped: program, Now: func() time.Time { return r.now }, Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			for at, want := range map[time.Time]string{noon: "2", r.now: test.want} {
				c := pricing.Call{Provider: "acme", Model: "nova", At: at}
				c.Counts[usage.Input] = 1_000_000
				if q, err := s.Book().Quote(c); err != nil || q.Total().String() != want {
					t.Errorf("%s at %v: %s, want %s", test.shipped, at, q.Total(), want)
				}
			}
		}
		updates := 0
		for _, e := range r.catalog.log {
			if e.Action == actionList && e.Actor == "costprof" {
				updates++
			}
		}
		if want := map[bool]int{true: 1}[test.want == "7"]; updates != want {
			t.Errorf("%s: %d entries of the program itself, want %d", test.shipped, updates, want)
		}
	}
}

// Wherever storing fails, the list is in force or it is not.
func TestLoadingIsAllOrNothing(t *testing.T) {
	for _, late := range []bool{false, true} {
		for at := 1; ; at++ {
			r := newRig(t)
			before := r.Book().Fingerprint()
			r.outage.calls, r.outage.at, r.outage.late = 0, at, late
			_, err := r.UpdateList(t.Context(), ListUpdate{Book: list("2026-10-01", "nova 2"), Apply: true})
			r.outage.at = 0
			if err == nil {
				if at < 3 {
					t.Fatalf("%d operations", at)
				}
				break
			}
			if r.Book().Fingerprint() != before {
				t.Errorf("at %d (late %v): in force, and it failed", at, late)
			}
			r.open()
			stored := r.catalog.list.Book != nil
			if inForce := r.Book().Fingerprint() != before; inForce != stored || stored != (late && at == 2) {
				t.Errorf("at %d (late %v): in force %v, stored %v", at, late, inForce, stored)
			}
			r.settled()
		}
	}
}

func TestLoadingOverAnotherServers(t *testing.T) {
	r := newRig(t)
	other, err := Open(t.Context(), r.Params)
	if err != nil {
		t.Fatal(err)
	}
	r.load(ListUpdate{Book: list("2026-10-01", "nova 2")})
	if _, err := other.UpdateList(t.Context(), ListUpdate{Book: list("2026-10-01", "nova 3"), Apply: true}); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("%v", err)
	}
}
