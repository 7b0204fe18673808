package prompts

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// kept is the reference with texts.
type kept struct {
	reference.Ledger
	texts map[usage.ID]string
	asked int
}

func (k *kept) GetPrompts(_ context.Context, project string, ids []usage.ID) (map[usage.ID]store.Prompt, error) {
	out := map[usage.ID]store.Prompt{}
	for _, id := range ids {
		if text, ok := k.texts[id]; ok {
			out[id] = store.Prompt{ID: id, Project: project, Text: text}
		}
	}
	return out, nil
}

func (k *kept) Events(ctx context.Context, q store.EventQuery) iter.Seq2[usage.Record, error] {
	k.asked++
	return k.Ledger.Events(ctx, q)
}

// call stores one with a prompt.
func (k *kept) call(t *testing.T, n int, feature string, input int64, text string) analytics.Bloat {
	t.Helper()
	r := usage.Record{Event: usage.Event{
		Project: "p", Feature: feature, TraceID: "t", SpanID: fmt.Sprint(n), ProviderID: "openai", ModelID: "m", TimeToFirstToken: -1,
		Timestamp: usage.Epoch.AddDate(6, 0, n), PromptID: usage.ID{byte(n), byte(n >> 8), 1},
	}}
	r.Counts[usage.Input] = input
	r.ID = r.Identity()
	if _, err := k.Append(t.Context(), []usage.Record{r}); err != nil {
		t.Fatal(err)
	}
	if text != "" {
		k.texts[r.PromptID] = text
	}
	return analytics.Bloat{ID: r.ID, Project: "p", Feature: feature, Model: "m", PromptID: r.PromptID, Input: input, Median: 100}
}

func TestLongParts(t *testing.T) {
	k := &kept{texts: map[usage.ID]string{}}
	for i := range 9 {
		k.call(t, i, "ask", 100, fmt.Sprintf("You answer questions. Question: %s Here is the context: %s End of it.", strings.Repeat("w", 3+i), strings.Repeat("c", 10+i)))
		k.call(t, 20+i, "free", 100, strings.Repeat(string(rune('a'+i)), 5+i))
	}
	k.call(t, 40, "ask", 100, "")
	calls := []analytics.Bloat{
		k.call(t, 50, "ask", 900, "You answer questions. Question: why Here is the context: "+strings.Repeat("é", 800)+" End of it."),
		k.call(t, 51, "ask", 900, "You answer questions. Question: "+strings.Repeat("q", 700)+" Here is the context: short one, End of it."),
		k.call(t, 52, "ask", 900, "You answer questions. Question: www Here is the context: ccc End of it. "+strings.Repeat("more ", 100)),
		k.call(t, 53, "ask", 900, "Something else. "+strings.Repeat("x", 100)),
		k.call(t, 54, "ask", 900, ""),
		k.call(t, 55, "ask", 900, "You answer questions. Question: w Here is the context: c End of it."),
		k.call(t, 56, "free", 900, strings.Repeat("z", 500)),
		k.call(t, 57, "new", 900, "no other prompt of this feature is known"),
	}
	k.call(t, 60, "ask", 900, "What is as long as they are says nothing of the usual ones.")
	got, err := Anatomy{k}.LongParts(t.Context(), analytics.Filter{}, calls)
	if err != nil {
		t.Fatal(err)
	}
	const usual = 86
	want := map[usage.ID]analytics.LongPart{
		calls[0].ID: {Characters: 868, Usual: usual, Texts: 9, Number: 2, Parts: 2, PartCharacters: 800, PartUsual: 14, Behind: "Here is the context:"},
		calls[1].ID: {Characters: 775, Usual: usual, Texts: 9, Number: 1, Parts: 2, PartCharacters: 700, PartUsual: 7, Behind: "You answer questions. Question:"},
		calls[2].ID: {Characters: 572, Usual: usual, Texts: 9},
		calls[3].ID: {Characters: 116, Usual: usual, Texts: 9},
		calls[5].ID: {Characters: 67, Usual: usual, Texts: 9, Parts: 2},
		calls[6].ID: {Characters: 500, Usual: 9, Texts: 9},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}

	// What has no text costs no look at the ledger, and of many features only the
	// first are looked at.
	k.asked = 0
	bare := calls[0]
	bare.PromptID = usage.ID{}
	if got, err := (Anatomy{k}).LongParts(t.Context(), analytics.Filter{}, []analytics.Bloat{bare, calls[4]}); err != nil || len(got) != 0 || k.asked != 0 {
		t.Errorf("%v, %v, %d asked", got, err, k.asked)
	}
	var many []analytics.Bloat
	for i := range 3 * anatomyGroups {
		many = append(many, k.call(t, 100+i, fmt.Sprint("f", i), 900, "some text"))
	}
	if _, err := (Anatomy{k}).LongParts(t.Context(), analytics.Filter{}, many); err != nil || k.asked != anatomyGroups {
		t.Errorf("%v, %d asked", err, k.asked)
	}
	// Of a page only the first calls are looked at.
	all := slices.Repeat(calls[:1], anatomyCalls)
	if got, err := (Anatomy{k}).LongParts(t.Context(), analytics.Filter{}, append(all, calls[1])); err != nil || len(got) != 1 {
		t.Errorf("%d of the calls, %v", len(got), err)
	}
	if got := tail("beginning and é", 5); got != "and é" {
		t.Errorf("%q", got)
	}
}
