package demo

import (
	"strconv"
	"strings"
	"time"

	"github.com/costprof/costprof/client"
)

// Planted says what is worth finding in the traffic.
type Planted struct {
	Project     string    `json:"project"`
	From, Until time.Time `json:"-"`
	Events      int       `json:"events"`
	Aggregates  int       `json:"aggregates"`
	Errors      int       `json:"errors"`
	Retries     int       `json:"retries"`

	Jump      Jump      `json:"jump"`
	Spike     Spike     `json:"spike"`
	Cache     Cache     `json:"cache"`
	Bloat     Bloat     `json:"bloat"`
	Unpriced  Unpriced  `json:"unpriced"`
	Billed    Billed    `json:"billed"`
	Duplicate Duplicate `json:"duplicates"`
	History   History   `json:"history"`
}

// Jump is a feature whose prompt grew: the same calls cost more since then.
type Jump struct {
	Feature string    `json:"feature"`
	Since   time.Time `json:"since"`
	// Before and After are the sizes of the fixed part of the prompt, in tokens.
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

// Spike is a feature that was called so many times more on one day.
type Spike struct {
	Feature string    `json:"feature"`
	Day     time.Time `json:"day"`
	Factor  int       `json:"factor"`
}

// Cache is a feature that writes a cache which nobody reads.
type Cache struct {
	Feature       string `json:"feature"`
	WrittenTokens int64  `json:"writtenTokens"`
}

// Bloat is the calls of a feature with a dozen times the usual input, whose prompts
// have whole files where others have a number.
type Bloat struct {
	Feature string `json:"feature"`
	// Spans are the calls' span ids.
	Spans []string `json:"spans"`
}

// Unpriced is a model of one's own that no price book can know.
type Unpriced struct {
	Feature  string `json:"feature"`
	Provider string `json:"provider"`
	Model    string `json:"model"`
	Calls    int    `json:"calls"`
}

// Billed is a feature whose provider says what it charged.
type Billed struct {
	Feature string `json:"feature"`
	Calls   int    `json:"calls"`
	// NanoUSD is the sum, in 10⁻⁹ USD.
	NanoUSD int64 `json:"nanoUsd"`
}

// Duplicate is a feature that asks nearly the same again and again.
type Duplicate struct {
	Feature string `json:"feature"`
	Calls   int    `json:"calls"`
}

// History is a feature whose conversations send all that was said again with every
// turn, most of it from the cache.
type History struct {
	Feature string `json:"feature"`
	// Calls are those that were not refused, CachedTokens what of their input came from
	// the cache: what was sent before, but for less than 128 tokens a turn.
	Calls        int   `json:"calls"`
	CachedTokens int64 `json:"cachedTokens"`
}

func plan(p Params) Planted {
	until := p.Until.UTC().Truncate(day)
	return Planted{
		Project: p.Project,
		From:    until.AddDate(0, 0, -p.Days),
		Until:   until,
		// A third of the way back at most, so that short traffic has a before, too.
		Jump:      Jump{Feature: "support-chat", Since: until.AddDate(0, 0, -min(7, (p.Days+2)/3)), Before: 900, After: 5200},
		Spike:     Spike{Feature: "document-extract", Day: until.AddDate(0, 0, -min(12, (p.Days+1)/2)), Factor: 8},
		Cache:     Cache{Feature: "sql-assistant"},
		Bloat:     Bloat{Feature: "code-review"},
		Unpriced:  Unpriced{Feature: "content-moderation", Provider: "self-hosted", Model: "llama-3.3-70b-guard"},
		Billed:    Billed{Feature: "meeting-notes"},
		Duplicate: Duplicate{Feature: "email-drafts"},
		History:   History{Feature: "support-chat"},
	}
}

// count notes an event that was made.
func (p *Planted) count(e *client.Event) {
	p.Events++
	if e.Aggregate {
		p.Aggregates++
		return
	}
	if e.IsError {
		p.Errors++
	}
	if e.RetryCount > 0 {
		p.Retries++
	}
	if e.Feature == p.History.Feature && e.InputTokens > 0 {
		p.History.Calls++
		p.History.CachedTokens += e.CachedTokens
	}
	switch e.Feature {
	case p.Cache.Feature:
		p.Cache.WrittenTokens += e.CacheWriteTokens
	case p.Bloat.Feature:
		if e.Tags[bloatTag] != "" && e.InputTokens > 0 {
			p.Bloat.Spans = append(p.Bloat.Spans, e.SpanID)
		}
	case p.Unpriced.Feature:
		p.Unpriced.Calls++
	case p.Billed.Feature:
		p.Billed.Calls++
		p.Billed.NanoUSD += nanosOf(e.BilledCostUSD)
	case p.Duplicate.Feature:
		p.Duplicate.Calls++
	}
}

// nanosOf reads what nanoUSD wrote.
func nanosOf(u client.USD) int64 {
	n, err := strconv.ParseInt(strings.Replace(string(u), ".", "", 1), 10, 64)
	if err != nil {
		return 0 // nothing was billed
	}
	return n
}
