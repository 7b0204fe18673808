package genai_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/pricing"
)

// difference is a kind of call on which we and the package do not agree. It is
// explained in docs/pricing.md under the same name.
type difference struct {
	rule string
	// applies says that the call is of this kind; want checks our answer, which
	// is known although it is not theirs.
	applies func(l *line) bool
	want    func(t *testing.T, book *pricing.Book, l *line, q *pricing.Quote) error
}

var differences = []difference{
	{
		// Theirs: the model's own match rules do not recognise its id, so that they
		// find no price for it. We look for ids before rules.
		rule: "unrecognised id",
		applies: func(l *line) bool {
			return l.Model == l.Listed && l.Price == nil && l.Error == "" && slices.Contains(unrecognised[l.Provider], l.Model)
		},
		want: func(_ *testing.T, book *pricing.Book, l *line, q *pricing.Quote) error {
			if v, ok := book.Version(q.PriceID); !ok || v.Provider != l.Provider || v.Model != l.Listed {
				return fmt.Errorf("priced by %q", q.PriceID)
			}
			return nil
		},
	},
	{
		// Neither's: a name with a date, a revision or "-latest" that the list does
		// not know. They find no price; we take off what was added and find the
		// model itself. Where they do find a price, ours is the same.
		rule: "addition taken off",
		applies: func(l *line) bool {
			return l.Suffix != "" && l.Price == nil && l.Error == ""
		},
		want: func(_ *testing.T, book *pricing.Book, l *line, q *pricing.Quote) error {
			if v, ok := book.Version(q.PriceID); !ok || v.Model != l.Listed {
				return fmt.Errorf("priced by %q of %s", q.PriceID, v.Model)
			}
			return nil
		},
	},
	{
		// Theirs, and stated in the list's comments: an entry cannot have both a
		// start date and a time of day, so that the peak prices of 2026-08-17 also
		// apply to the years before.
		rule: "peak before its start",
		applies: func(l *line) bool {
			return peakHours(l) && l.At.Before(day("2026-08-17"))
		},
		want: atNoon,
	},
	{
		// Theirs, and stated in the list's comments: an entry cannot have weekdays,
		// so that their price at weekends is an upper bound.
		rule: "peak at weekends",
		applies: func(l *line) bool {
			wd := l.At.Weekday()
			return peakHours(l) && !l.At.Before(day("2026-08-23")) && (wd == time.Saturday || wd == time.Sunday)
		},
		want: atNoon,
	},
}

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

// peakHours says that the package takes the call for one at DeepSeek's peak.
func peakHours(l *line) bool {
	if l.Provider != "deepseek" || l.Listed != "deepseek-v4-flash" && l.Listed != "deepseek-v4-pro" {
		return false
	}
	h := l.At.UTC().Hour()
	return h >= 1 && h < 4 || h >= 6 && h < 10
}

// atNoon wants the price of the same call at noon of its day, which is outside
// of all windows and compared with the package in calls of its own.
func atNoon(t *testing.T, book *pricing.Book, l *line, q *pricing.Quote) error {
	c := l.call(t)
	c.At = c.At.Truncate(24 * time.Hour).Add(12 * time.Hour)
	noon, err := book.Quote(c)
	if err != nil {
		return err
	}
	if total(&noon).Cmp(total(q)) != 0 || total(q).Sign() == 0 && l.Price.String() != "0" {
		return fmt.Errorf("ours is %s, at noon %s", total(q).FloatString(12), total(&noon).FloatString(12))
	}
	return nil
}

// explain gives the rule by which a call may differ, after checking that our
// answer is the one that the rule says; "" when there is none.
func explain(t *testing.T, book *pricing.Book, l *line, q *pricing.Quote) string {
	t.Helper()
	for _, d := range differences {
		if !d.applies(l) {
			continue
		}
		if err := d.want(t, book, l, q); err != nil {
			t.Errorf("difference %q, %s %s at %s: %v", d.rule, l.Provider, l.Model, l.At, err)
		}
		return d.rule
	}
	return ""
}

// unrecognised lists the ids that the package does not find.
var unrecognised = map[string][]string{
	"aws": {
		"regional.amazon.nova-2-lite-v1:0",
		"regional.anthropic.claude-fable-5-1-v1:0",
		"regional.anthropic.claude-fable-5-v1:0",
		"regional.anthropic.claude-haiku-4-5-20251001-v1:0",
		"regional.anthropic.claude-opus-4-1-20250805-v1:0",
		"regional.anthropic.claude-opus-4-20250514-v1:0",
		"regional.anthropic.claude-opus-4-5-v1:0",
		"regional.anthropic.claude-opus-4-6-v1:0",
		"regional.anthropic.claude-opus-4-7-v1:0",
		"regional.anthropic.claude-opus-4-8-v1:0",
		"regional.anthropic.claude-opus-5",
		"regional.anthropic.claude-opus-5-5",
		"regional.anthropic.claude-sonnet-4-20250514-v1:0",
		"regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
		"regional.anthropic.claude-sonnet-4-6-v1:0",
		"regional.anthropic.claude-sonnet-5-v1:0",
		"regional.openai.gpt-5.6-luna",
		"regional.openai.gpt-5.6-sol",
		"regional.openai.gpt-5.6-terra",
	},
	"fireworks": {
		"deepseek-r1-0528",
		"deepseek-v3-0324",
		"deepseek-v3p2",
		"deepseek-v4-flash",
		"deepseek-v4-pro",
		"gemma-3-27b-it",
		"glm-4p7",
		"glm-5p1",
		"glm-5p1-fast",
		"glm-5p2",
		"glm-5p2-fast",
		"gpt-oss-120b",
		"gpt-oss-20b",
		"inkling",
		"kimi-k2p5",
		"kimi-k2p6",
		"kimi-k2p6-fast",
		"kimi-k2p7-code",
		"kimi-k2p7-code-fast",
		"kimi-k3",
		"kimi-k3-fast",
		"kimi-k3-us",
		"llama-v3p1-8b-instruct",
		"llama4-maverick-instruct-basic",
		"minimax-m2p1",
		"minimax-m2p7",
		"minimax-m3",
		"nemotron-3-ultra-nvfp4",
		"qwen2p5-vl-72b-instruct",
		"qwen3-235b-a22b",
		"qwen3p6-plus",
		"qwen3p7-plus",
	},
	"mistral": {
		"codestral",
		"magistral-small",
		"mistral-medium-3-1",
		"pixtral-large",
	},
	"openai": {
		"ft:gpt-4o",
		"ft:gpt-4o-mini",
	},
}
