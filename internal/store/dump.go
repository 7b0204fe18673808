package store

import (
	"context"
	"slices"
)

// Dumper gives everything that a ledger stores, so that another one, of any
// engine, can be made of it that answers every question the same.
type Dumper interface {
	// Dump passes all rows of Tables, table by table in that order, as of one
	// moment, whatever is stored, corrected or removed meanwhile. Memory does not
	// grow with the rows. An error of to ends it and is returned.
	Dump(ctx context.Context, to Sink) error
}

// Sink takes a dump.
type Sink interface {
	// Table says which table the rows that follow are of.
	Table(t *Table) error
	// Row takes a row, a value for each column: nil, or by its kind int64, bool,
	// string, []byte, [16]byte or []int64. The slice is the giver's again when it
	// returns, and the values of type []byte and []int64 with it.
	Row(values []any) error
}

// Load says what to fill a ledger with.
type Load struct {
	// Force replaces a ledger that is not empty.
	Force bool
	// Source passes a dump to the sink. Its rows count only when it returns nil.
	Source func(ctx context.Context, to Sink) error
}

// Kind is what a column of a dump holds.
type Kind string

// The kinds. Moment is microseconds since 1970 UTC.
const (
	Int    Kind = "int"
	Moment Kind = "moment"
	Bool   Kind = "bool"
	Text   Kind = "text"
	Bytes  Kind = "bytes"
	UUID   Kind = "uuid"
	Ints   Kind = "ints"
)

// Column is a column of a dump. Every one may hold nothing unless it is
// Required.
type Column struct {
	Name     string
	Kind     Kind
	Required bool
	// Before is the value in backups from before there was the column; nil has none.
	Before any
}

// Table is a table of a dump. Every engine that speaks SQL has it under these
// names.
type Table struct {
	Name    string
	Columns []Column
	// Incidental rows come to be without anybody storing anything: a ledger that
	// holds nothing else is empty.
	Incidental bool
}

// PositionTable has one row: the number of the last commit. A ledger that was
// loaded goes on counting behind it.
const PositionTable = "position"

// EventsTable has the calls.
const EventsTable = "events"

// Tables are what a dump has. What an engine makes of these (sums, indexes of
// identities) is made anew. What several engines name by number (cells, sets of
// tags) keeps its number.
func Tables() []*Table {
	return []*Table{
		{Name: PositionTable, Incidental: true, Columns: required(Int, "last")},
		{Name: "cells", Incidental: true, Columns: columns(required(Int, "id"), required(UUID, "hash"), required(Text, "project", "feature", "provider", "model",
			"sent_provider", "sent_model", "operation", "department", "environment", "service_tier", "region"))},
		{Name: "tagsets", Incidental: true, Columns: columns(required(Int, "id"), required(UUID, "hash"))},
		{Name: "tags", Incidental: true, Columns: columns(required(Int, "tagset"), required(Text, "name", "value"))},
		{Name: EventsTable, Columns: eventColumns()},
		{Name: "prompts", Columns: columns(required(UUID, "id"), required(Text, "project"), required(Int, "seq", "bytes"), required(Text, "text"))},
		{Name: "embed_queue", Columns: columns(required(UUID, "id"), required(Text, "project"), required(Int, "attempts"), required(Moment, "not_before"))},
		{Name: "vectors", Columns: columns(required(UUID, "id"), required(Text, "project", "embedder"), required(Int, "seq"), required(Bytes, "vector"))},
		{Name: "corrections", Columns: columns(required(Int, "n"), required(Moment, "made"), required(Text, "reason"), required(UUID, "id"), required(Moment, "ts"),
			required(Int, "old_cost", "new_cost", "old_source", "new_source"), optional(Text, "old_price_id", "new_price_id"),
			required(Ints, "old_classes"), required(Int, "old_saving"), []Column{{Name: "marked", Kind: Bool, Required: true, Before: false}})},
		{Name: "past_days", Columns: pastColumns()},
		{Name: "pruned", Columns: columns(required(Text, "project"), required(Moment, "before"))},
		{Name: "retention", Columns: columns(required(Text, "project"), optional(Int, "event_days", "prompt_days"))},
		{Name: "own_prices", Columns: columns(required(Int, "position"), required(Text, "id", "doc"))},
		{Name: "price_versions", Incidental: true, Columns: required(Text, "id", "doc")},
		{Name: "price_lists", Columns: columns(required(Int, "number"), required(Moment, "made"), optional(Text, "doc"))},
		{Name: "audit", Incidental: true, Columns: columns(required(Int, "id"), required(Moment, "made"), required(Text, "actor", "action", "detail"))},
		{Name: "runs", Incidental: true, Columns: columns(required(Text, "id", "name", "state"), required(Moment, "started"), optional(Moment, "finished"),
			optional(Text, "input", "result"), required(Text, "error"))},
		{Name: "api_keys", Columns: columns(required(Text, "id", "name"), required(Bytes, "hash"), required(Text, "hint", "role", "project", "created_by"),
			required(Moment, "created"), optional(Moment, "expires", "revoked", "last_used"), optional(Bytes, "previous"), optional(Moment, "previous_until"))},
		{Name: "ended_sessions", Incidental: true, Columns: columns(required(Bytes, "hash"), required(Moment, "until"))},
		{Name: "settings", Incidental: true, Columns: columns(required(Text, "name"), required(Bytes, "value"))},
	}
}

func eventColumns() []Column {
	return columns(
		required(UUID, "id"), required(Moment, "ts"), required(Int, "seq"), required(Moment, "received"), required(Int, "cell"), optional(Int, "tagset"),
		required(Text, "trace", "span"), optional(Text, "parent_span", "name", "event_id"), optional(Int, "content"),
		optional(Text, "user_id", "session_id", "error_code", "price_id", "usage", "metadata"),
		required(Int, "t_input", "t_cache_read", "t_cache_write", "t_cache_write_1h", "t_media_in", "t_output", "t_reasoning", "t_media_out", "latency"),
		optional(Int, "first_token", "billed", "estimated"),
		required(Int, "c_input", "c_cache_read", "c_cache_write", "c_cache_write_1h", "c_output", "c_reasoning", "c_media", "c_units", "c_unsplit",
			"cost", "saving", "retries"),
		optional(Int, "prompt_bytes"), required(Int, "source"),
		required(Bool, "is_fallback", "is_streaming", "is_error", "is_aggregate"),
		optional(UUID, "prompt_id"),
	)
}

func pastColumns() []Column {
	return columns(required(Int, "day", "cell", "calls", "errors", "unpriced", "fallback", "input", "output", "cached",
		"t_input", "t_cache_write", "t_cache_write_1h", "t_output", "t_reasoning", "t_media", "latency"), required(Moment, "first", "last"),
		required(Int, "c_input", "c_cache_read", "c_cache_write", "c_cache_write_1h", "c_output", "c_reasoning", "c_media", "c_units", "c_unsplit",
			"cost", "saving"))
}

func columns(groups ...[]Column) []Column { return slices.Concat(groups...) }

func required(k Kind, names ...string) []Column {
	out := optional(k, names...)
	for i := range out {
		out[i].Required = true
	}
	return out
}

func optional(k Kind, names ...string) []Column {
	out := make([]Column, len(names))
	for i, name := range names {
		out[i] = Column{Name: name, Kind: k}
	}
	return out
}

// Names lists the columns' names.
func (t *Table) Names() []string {
	out := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		out[i] = c.Name
	}
	return out
}
