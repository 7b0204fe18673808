package pricing

import (
	"strconv"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/usage"
)

// One event on the hot path; it is meant to take less than 2 µs.
func BenchmarkPrice(b *testing.B) {
	book := shippedBook(b)
	e := usage.Event{
		Provider: "openai", Model: "gpt-4o-2024-08-06", Timestamp: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
		Counts: usage.Counts{usage.Input: 1_234, usage.CacheRead: 1_000, usage.Output: 567},
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := book.Price(&e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPriceParallel(b *testing.B) {
	book := shippedBook(b)
	b.RunParallel(func(pb *testing.PB) {
		e := usage.Event{
			Provider: "deepseek", Model: "deepseek-v4-pro", Timestamp: time.Date(2026, 11, 20, 2, 0, 0, 0, time.UTC),
			Counts: usage.Counts{usage.Input: 1_234, usage.CacheRead: 1_000, usage.Output: 567},
		}
		for pb.Next() {
			if _, err := book.Price(&e); err != nil {
				b.Error(err)
			}
		}
	})
}

// A name that was never seen, as a hostile sender would make them.
func BenchmarkPriceUnknownModel(b *testing.B) {
	book := shippedBook(b)
	e := usage.Event{Provider: "openrouter", Counts: usage.Counts{usage.Input: 1}}
	n := 0
	for b.Loop() {
		n++
		e.Model = "vendor/model-" + strconv.Itoa(n) + "-20250219"
		if _, err := book.Price(&e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkQuote(b *testing.B) {
	book := shippedBook(b)
	c := Call{Provider: "anthropic", Model: "claude-opus-4-7", Counts: usage.Counts{usage.Input: 1_234, usage.CacheRead: 1_000, usage.Output: 567}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := book.Quote(c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkShipped(b *testing.B) {
	for b.Loop() {
		if _, err := Shipped(); err != nil {
			b.Fatal(err)
		}
	}
}
