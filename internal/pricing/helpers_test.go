package pricing

import (
	"testing"
	"time"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// shippedBook is parsed once for all tests; a Book never changes.
func shippedBook(t testing.TB) *Book {
	t.Helper()
	b, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func instant(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// usd reads an amount that must be exact.
func usd(t testing.TB, s string) money.USD {
	t.Helper()
	v, exact, err := money.ParseExact(s)
	if err != nil || !exact {
		t.Fatalf("amount %q: exact=%v, %v", s, exact, err)
	}
	return v
}

// smallBook has one provider "acme" with the models given.
func smallBook(t testing.TB, models ...ModelData) *Book {
	t.Helper()
	b, err := build(&Data{
		Format: Format, Provenance: Provenance{Source: "test", Version: "1"},
		Gateways:  []string{"litellm"},
		Providers: []ProviderData{{ID: "acme", Models: models}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rate(t testing.TB, u usage.Unit, price string) Rate {
	t.Helper()
	return Rate{Unit: u, Price: usd(t, price)}
}

func counts(pairs map[usage.Unit]int64) usage.Counts {
	var c usage.Counts
	for u, n := range pairs {
		c[u] = n
	}
	return c
}

func mustQuote(t testing.TB, b *Book, c Call) Quote {
	t.Helper()
	q, err := b.Quote(c)
	if err != nil {
		t.Fatal(err)
	}
	return q
}
