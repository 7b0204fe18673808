package rating

import (
	"log/slog"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/pricing"
)

// What one server of a shared ledger changes, another one prices with, and changes
// nothing of it by a change of its own.
func TestFollowAnotherServer(t *testing.T) {
	r := newRig(t)
	book, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(t.Context(), Params{
		Ledger: r.ledger, Catalog: r.catalog, Shipped: book, Shared: true,
		Now: func() time.Time { return r.now }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	same := func(when string) {
		t.Helper()
		if err := other.catchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := other.Book().Fingerprint(), r.Book().Fingerprint(); got != want {
			t.Fatalf("%s: the other server prices with another book", when)
		}
	}
	was := other.Book().Fingerprint()
	r.put(pricing.PutRequest{Provider: "openai", Model: "gpt-4o", EffectiveFrom: "2026-11-01T10:00:00Z", Prices: twoEight})
	same("put")
	if other.Book().Fingerprint() == was {
		t.Fatal("a price changes no book")
	}
	if _, err := r.UpdateList(t.Context(), ListUpdate{Book: list("2026-10-01", "nova 4", "other 2"), Partial: true, Apply: true}); err != nil {
		t.Fatal(err)
	}
	same("list")
	before := other.current.Load()
	same("nothing")
	if other.current.Load() != before {
		t.Error("prices that did not change were read again")
	}
	// A change that begins with older prices builds on what is in force.
	r.put(pricing.PutRequest{Provider: "openai", Model: "gpt-4o", EffectiveFrom: "2026-11-01T11:00:00Z", Prices: threeNine})
	gone := fromNow("openai", "gpt-4o")
	gone.From = noon.Add(-30 * time.Minute)
	if err := other.Delete(t.Context(), gone, "other"); err != nil {
		t.Fatal(err)
	}
	r.open()
	same("delete")
}
