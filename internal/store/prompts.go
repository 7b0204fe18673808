package store

import (
	"context"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// Prompt is a text that one or many events of a project have as their prompt.
type Prompt struct {
	// ID is the PromptID of those events.
	ID      usage.ID
	Project string
	// Text is redacted.
	Text string
}

// Prompts keeps the texts of prompts, each once. Append stores them, of events
// that have a Prompt and a PromptID, in the transaction that stores the events:
// whatever becomes of a duplicate or a conflict, its text is not stored.
type Prompts interface {
	Texts
	// ListPrompts returns the prompts of a project, of all projects with "", in the
	// order of their ids, those behind after. The zero id starts.
	ListPrompts(ctx context.Context, project string, after usage.ID, limit int) ([]Prompt, error)
	// PrunePrompts removes the texts of each project's prompts to which no event of
	// its time or later refers, and says how many there were.
	PrunePrompts(ctx context.Context, before map[string]time.Time) (int64, error)
}

// Texts finds texts of prompts.
type Texts interface {
	// GetPrompts finds those of a project, of all projects with "", that are kept.
	GetPrompts(ctx context.Context, project string, ids []usage.ID) (map[usage.ID]Prompt, error)
}

// GetPrompt finds one; fault.NotFound when there is none, or its text is not kept.
func GetPrompt(ctx context.Context, from Texts, project string, id usage.ID) (Prompt, error) {
	found, err := from.GetPrompts(ctx, project, []usage.ID{id})
	if err != nil {
		return Prompt{}, err
	}
	p, ok := found[id]
	if !ok {
		return p, fault.New(fault.NotFound, "there is no text of the prompt %s", id)
	}
	return p, nil
}

// PromptUse is what the calls with a prompt add up to.
type PromptUse struct {
	// ID is the prompt's.
	ID usage.ID
	// Calls and Cost leave out spans that only sum their children.
	Calls int64
	Cost  money.Total
	// Event, Feature, Model and Last are of the latest call.
	Event          usage.ID
	Feature, Model string
	Last           time.Time
}

// Uses answers who used a prompt.
type Uses interface {
	// PromptUses gives, of the listed prompts, those that selected calls have, by id.
	PromptUses(ctx context.Context, ids []usage.ID, f analytics.Filter) ([]PromptUse, error)
}
