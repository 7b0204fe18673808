package httpapi

import (
	"encoding/json"
	"time"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

// WireEvent is an event as it is sent and comes back.
type WireEvent struct {
	_ struct{} `json:"-" additionalProperties:"true"`

	TraceID      string    `json:"traceId" minLength:"1" maxLength:"128"`
	SpanID       string    `json:"spanId" minLength:"1" maxLength:"128"`
	ParentSpanID string    `json:"parentSpanId,omitempty" maxLength:"128"`
	Name         string    `json:"name,omitempty" maxLength:"256" doc:"The span's name; default operation, then feature."`
	Timestamp    time.Time `json:"timestamp,omitzero" doc:"Start of the call; default the time of arrival."`
	Feature      string    `json:"feature" minLength:"1" maxLength:"200" doc:"What the call was for."`
	Provider     string    `json:"provider,omitempty" maxLength:"256" doc:"Required unless aggregate."`
	Model        string    `json:"model,omitempty" maxLength:"256" doc:"Required unless aggregate."`

	InputTokens        int64       `json:"inputTokens" minimum:"0" maximum:"1000000000000" required:"false" doc:"Total, cached and cache-written tokens included. Required unless aggregate."`
	OutputTokens       int64       `json:"outputTokens" minimum:"0" maximum:"1000000000000" required:"false" doc:"Total, reasoning included. Required unless aggregate."`
	CachedTokens       int64       `json:"cachedTokens" minimum:"0" maximum:"1000000000000" required:"false" doc:"Read from a cache; part of inputTokens."`
	CacheWriteTokens   int64       `json:"cacheWriteTokens,omitempty" minimum:"0" maximum:"1000000000000" doc:"Written to a 5-minute cache; part of inputTokens."`
	CacheWrite1hTokens int64       `json:"cacheWrite1hTokens,omitempty" minimum:"0" maximum:"1000000000000" doc:"Written to a 1-hour cache; part of inputTokens."`
	ReasoningTokens    int64       `json:"reasoningTokens,omitempty" minimum:"0" maximum:"1000000000000" doc:"Part of outputTokens."`
	Usage              usageCounts `json:"usage,omitempty" doc:"Further counts by name, for example webSearches."`

	ServiceTier        string  `json:"serviceTier,omitempty" maxLength:"256"`
	Region             string  `json:"region,omitempty" maxLength:"256"`
	LatencyMs          millis  `json:"latencyMs" minimum:"0" maximum:"1000000000"`
	TimeToFirstTokenMs *millis `json:"timeToFirstTokenMs,omitempty" minimum:"0" maximum:"1000000000"`

	BilledCostUSD    *money.USD `json:"billedCostUsd,omitempty" minimum:"0" maximum:"9000000" doc:"USD that the provider charged."`
	EstimatedCostUSD *money.USD `json:"estimatedCostUsd,omitempty" minimum:"0" maximum:"9000000" doc:"USD that the caller reckoned."`

	UserID      string            `json:"userId,omitempty" maxLength:"256"`
	SessionID   string            `json:"sessionId,omitempty" maxLength:"256"`
	Department  string            `json:"department,omitempty" maxLength:"256"`
	Environment string            `json:"environment,omitempty" maxLength:"256"`
	Operation   string            `json:"operation,omitempty" maxLength:"256"`
	Tags        map[string]string `json:"tags,omitempty" doc:"At most 32."`

	IsStreaming bool   `json:"isStreaming" required:"false"`
	IsError     bool   `json:"isError" required:"false"`
	Aggregate   bool   `json:"aggregate,omitempty" doc:"Only sums its children; left out of totals. An event that is stored without it and sent again with it becomes one."`
	ErrorCode   string `json:"errorCode,omitempty" maxLength:"256"`
	RetryCount  int64  `json:"retryCount,omitempty" minimum:"0"`

	Prompt   string          `json:"prompt,omitempty" doc:"Text of the prompt, at most 100 kB. It is redacted, and kept only where an admin said so; otherwise a keyed hash and its length are."`
	Metadata json.RawMessage `json:"metadata,omitempty" doc:"At most 16 kB. Redacted before it is stored, as are values of tags and errorCode."`
	Project  string          `json:"project,omitempty" maxLength:"128"`
	EventID  string          `json:"eventId,omitempty" maxLength:"256" doc:"The caller's own identity, unique in its project."`
}

// storedEvent is an event as it comes back.
type storedEvent struct {
	WireEvent
	ID usage.ID `json:"id"`
	// ProviderID and ModelID are what questions group and filter by.
	ProviderID  string       `json:"providerId,omitempty" doc:"The provider as questions name it."`
	ModelID     string       `json:"modelId,omitempty" doc:"The model as questions name it."`
	Cost        money.USD    `json:"cost"`
	CostSource  usage.Source `json:"costSource"`
	PriceID     string       `json:"priceId" doc:"The price used; empty unless costSource is catalog."`
	Fallback    bool         `json:"fallback,omitempty" doc:"Its tier or region had no price of its own and took the standard one."`
	CostByClass costByClass  `json:"costByClass" doc:"Parts of cost; they sum to it exactly."`
	CacheSaving money.USD    `json:"cacheSavings" doc:"What caching saved; negative when it cost more."`
	ReceivedAt  time.Time    `json:"receivedAt"`
	PromptID    string       `json:"promptId,omitempty" doc:"Names the redacted prompt within the project: calls with the same prompt have the same. Also of a prompt whose text is not kept; its text, where it is, stands in prompt on a single event only."`
	PromptBytes int64        `json:"promptBytes,omitempty" doc:"Length of the redacted prompt."`

	Lines   []pricing.Line `json:"lines,omitempty" doc:"How the cost came about; on a single event only."`
	History []pastCost     `json:"history,omitempty" doc:"The costs it had before, newest first, at most 100; on a single event only."`
}

// costByClass shows both cache-write classes as one.
type costByClass struct {
	Input      money.USD `json:"input"`
	CacheRead  money.USD `json:"cacheRead"`
	CacheWrite money.USD `json:"cacheWrite"`
	Output     money.USD `json:"output"`
	Reasoning  money.USD `json:"reasoning"`
	Media      money.USD `json:"media"`
	Units      money.USD `json:"units"`
	Unsplit    money.USD `json:"unsplit" doc:"Billed or estimated as one sum."`
}

func eventJSON(r *usage.Record) storedEvent {
	e := &r.Event
	out := storedEvent{
		WireEvent: WireEvent{
			TraceID: e.TraceID, SpanID: e.SpanID, ParentSpanID: e.ParentSpanID, Name: e.Name,
			Timestamp: e.Timestamp.UTC(), Feature: e.Feature, Provider: e.Provider, Model: e.Model,
			InputTokens: e.Counts[usage.Input], OutputTokens: e.Counts[usage.Output], CachedTokens: e.Counts[usage.CacheRead],
			CacheWriteTokens: e.Counts[usage.CacheWrite], CacheWrite1hTokens: e.Counts[usage.CacheWrite1h],
			ReasoningTokens: e.Counts[usage.Reasoning],
			ServiceTier:     e.ServiceTier, Region: e.Region, LatencyMs: millisOf(e.Latency),
			BilledCostUSD: e.Billed, EstimatedCostUSD: e.Estimated,
			UserID: e.UserID, SessionID: e.SessionID, Department: e.Department, Environment: e.Environment,
			Operation: e.Operation, Tags: e.Tags, IsStreaming: e.Streaming, IsError: e.Error, Aggregate: e.Aggregate,
			ErrorCode: e.ErrorCode, RetryCount: e.RetryCount, Prompt: e.Prompt, Metadata: e.Metadata,
			Project: e.Project, EventID: e.EventID,
		},
		ID: r.ID, ProviderID: e.ProviderID, ModelID: e.ModelID,
		Cost: r.Costing.Total(), CostSource: r.Source, PriceID: r.PriceID, Fallback: r.Fallback,
		CostByClass: classesJSON(&r.Costing),
		CacheSaving: r.CacheSaving, ReceivedAt: r.ReceivedAt.UTC(),
		PromptBytes: e.PromptBytes,
	}
	if e.PromptID != (usage.ID{}) {
		out.PromptID = e.PromptID.String()
	}
	if e.TimeToFirstToken >= 0 {
		first := millisOf(e.TimeToFirstToken)
		out.TimeToFirstTokenMs = &first
	}
	for u := range usage.NumUnits {
		if n := e.Counts[u]; n != 0 && !u.IsTotal() {
			if out.Usage == nil {
				out.Usage = usageCounts{}
			}
			out.Usage[usage.Units[u].Count] = n
		}
	}
	return out
}

func classesJSON(c *usage.Costing) costByClass {
	return costByClass{
		Input: c.Classes[usage.ClassInput], CacheRead: c.Classes[usage.ClassCacheRead],
		CacheWrite: c.Classes[usage.ClassCacheWrite] + c.Classes[usage.ClassCacheWrite1h],
		Output:     c.Classes[usage.ClassOutput], Reasoning: c.Classes[usage.ClassReasoning],
		Media: c.Classes[usage.ClassMedia], Units: c.Classes[usage.ClassUnits], Unsplit: c.Classes[usage.ClassUnsplit],
	}
}
