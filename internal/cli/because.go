package cli

import (
	"fmt"
	"math"
	"math/big"
	"strings"

	"github.com/costprof/costprof/client"
)

// none is how a change of nothing is shown.
const none = "·"

// decimalsFor is how many a person needs to compare the amounts at a glance.
func decimalsFor(amounts ...client.USD) int {
	for _, u := range amounts {
		if r, err := u.Rat(); err == nil && r.Cmp(big.NewRat(10, 1)) >= 0 {
			return 2
		}
	}
	return decimals
}

func signOf(u client.USD) int {
	r, err := u.Rat()
	if err != nil {
		return 0
	}
	return r.Sign()
}

// moved shows a change with its sign. One that rounds to nothing is nothing.
func moved(u client.USD, decimals int) string {
	text := moneyTo(u, decimals)
	switch {
	case !strings.ContainsAny(text, "123456789"):
		return none
	case signOf(u) > 0:
		return "+" + text
	}
	return text
}

// growth is the change as a part of what was.
func growth(c *client.Change) string {
	switch sign := signOf(c.Delta); {
	case sign == 0:
		return ""
	case c.Baselines.CallCount == 0:
		return "new"
	case c.CallCount == 0:
		return "gone"
	case signOf(c.Baseline) == 0:
		return "" // it was free: no number of per cents
	}
	share := part(c.Delta, c.Baseline) * 100
	if math.Abs(share) >= 1000 {
		return fmt.Sprintf("×%s", count(int64(part(c.Cost, c.Baseline)+0.5)))
	}
	return fmt.Sprintf("%+.0f%%", share)
}

// reason is why a cost moved, for a table and for a sentence.
type reason struct{ short, long string }

// reasonOf says what the main term of a change means.
func reasonOf(c *client.Change) reason {
	up := signOf(c.Delta) > 0
	word := func(more, less string) string {
		if up {
			return more
		}
		return less
	}
	was, is := &c.Baselines, &c.Counts
	switch c.MainTerm {
	case "volume":
		switch {
		case was.CallCount == 0:
			return reason{"new calls", fmt.Sprintf("which had no calls before (now %s)", count(is.CallCount))}
		case is.CallCount == 0:
			return reason{"no calls", fmt.Sprintf("which has no calls any more (before: %s)", count(was.CallCount))}
		}
		return reason{word("more calls", "fewer calls"), fmt.Sprintf("because of %s calls (%s → %s)", word("more", "fewer"), count(was.CallCount), count(is.CallCount))}
	case "modelMix":
		return reason{word("dearer models", "cheaper models"), "because calls moved to " + word("dearer", "cheaper") + " models or tiers"}
	case "tokensPerCall":
		return reason{word("longer calls", "shorter calls"), "because of " + word("longer", "shorter") + " calls" + lengths(was, is)}
	case "cacheMix":
		before, now := cachedShare(was), cachedShare(is)
		switch {
		case up && now < before:
			return reason{"fewer cache reads", fmt.Sprintf("because less of the input came from a cache (%.0f%% → %.0f%%)", before, now)}
		case !up && now > before:
			return reason{"more cache reads", fmt.Sprintf("because more of the input came from a cache (%.0f%% → %.0f%%)", before, now)}
		}
		return reason{word("dearer caching", "cheaper caching"), "because the input was cached otherwise"}
	case "price":
		return reason{word("dearer tokens", "cheaper tokens"), "because a token cost " + word("more", "less")}
	case "other":
		return reason{"fees, billed sums", "because of fees or billed sums, which tokens do not explain"}
	}
	return reason{}
}

// lengths shows which of input and output changed enough to explain a change of
// length; both when neither did.
func lengths(was, is *client.Counts) string {
	var said []string
	for _, l := range []struct {
		name    string
		was, is int64
	}{{"input", was.InputTokens, is.InputTokens}, {"output", was.OutputTokens, is.OutputTokens}} {
		if was.CallCount == 0 || is.CallCount == 0 {
			return ""
		}
		before, now := float64(l.was)/float64(was.CallCount), float64(l.is)/float64(is.CallCount)
		const enough = 0.1
		if math.Abs(now-before) > enough*before {
			said = append(said, fmt.Sprintf("%s %s → %s", l.name, count(int64(before+0.5)), count(int64(now+0.5))))
		}
	}
	if len(said) == 0 {
		return ""
	}
	return " (" + strings.Join(said, ", ") + " tokens a call)"
}

// cachedShare is the part of the input read from a cache, in per cent.
func cachedShare(c *client.Counts) float64 {
	if c.InputTokens == 0 {
		return 0
	}
	return float64(c.CachedTokens) / float64(c.InputTokens) * 100
}

// sentence says it all in one.
func sentence(total *client.Change, rows []client.Change, decimals int) string {
	var verb string
	switch direction := signOf(total.Delta); {
	case total.Baselines.CallCount == 0:
		return fmt.Sprintf("Spend was %s; there were no calls in the earlier period to compare with.", moneyTo(total.Cost, decimals))
	case total.CallCount == 0:
		return fmt.Sprintf("There were no calls; in the earlier period spend was %s.", moneyTo(total.Baseline, decimals))
	case direction == 0:
		verb = "did not change"
	case direction > 0:
		verb = "rose"
	default:
		verb = "fell"
	}
	if signOf(total.Delta) == 0 {
		return fmt.Sprintf("Spend %s: %s.", verb, moneyTo(total.Cost, decimals))
	}
	text := fmt.Sprintf("Spend %s by %s", verb, strings.TrimPrefix(moneyTo(total.Delta, decimals), "-"))
	if g := growth(total); g != "" {
		text += " (" + g + ")"
	}
	if row := furthest(rows, signOf(total.Delta)); row != nil {
		how := "mostly"
		if part(row.Delta, total.Delta) < 0.5 {
			how = "most of all"
		}
		text += fmt.Sprintf(": %s %s (%s)", how, label(row), moved(row.Delta, decimals))
		if why := reasonOf(row).long; why != "" {
			text += ", " + why
		}
	}
	return text + "."
}

// furthest is the row that moved furthest in a direction, nil when none did. Rows
// come by how far they moved.
func furthest(rows []client.Change, direction int) *client.Change {
	for i := range rows {
		if signOf(rows[i].Delta) == direction {
			return &rows[i]
		}
	}
	return nil
}

func label(row *client.Change) string {
	names := row.Names
	if len(names) == 0 {
		names = []string{row.Name}
	}
	shown := make([]string, len(names))
	for k := range names {
		shown[k] = name(names[k])
	}
	return strings.Join(shown, ", ")
}

// against names the rows that moved furthest the other way than the whole, both
// ways when that did not move: the sum hides them. One that is small beside the
// row that moved furthest is not worth a line.
func against(total *client.Change, rows []client.Change, decimals int) []string {
	var out []string
	if total.CallCount == 0 || total.Baselines.CallCount == 0 {
		return nil
	}
	for _, direction := range [...]int{1, -1} {
		row := furthest(rows, direction)
		if row == nil || direction == signOf(total.Delta) || moved(row.Delta, decimals) == none {
			continue
		}
		const enough = 0.1
		if math.Abs(part(row.Delta, rows[0].Delta)) < enough {
			continue
		}
		way := "Rose"
		if direction < 0 {
			way = "Fell"
		}
		text := fmt.Sprintf("%s most: %s (%s", way, label(row), moved(row.Delta, decimals))
		if g := growth(row); g != "" && g != "new" && g != "gone" {
			text += ", " + g
		}
		text += ")"
		if why := reasonOf(row).long; why != "" {
			text += ", " + why
		}
		out = append(out, text+".")
	}
	return out
}
