// Package store is the seam between costprof and the engines that keep its
// data: Ledger, the append-only record of priced calls, and Catalog, the small
// mutable state. An engine is a folder below this one; storetest says when it is
// done.
package store

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

// Outcome is what became of one appended event.
type Outcome uint8

const (
	// Stored: the event was new and is durable.
	Stored Outcome = iota
	// Duplicate: the ledger had it already; nothing changed.
	Duplicate
	// Conflict: the ledger has another event with the same explicit EventID and
	// keeps that one.
	Conflict
)

// Receipt says what became of the records of one Append.
type Receipt struct {
	// Outcomes has one entry per record, in order.
	Outcomes []Outcome
	// Commit is the number under which the new records were stored: an answer sees
	// them, all of them, if and only if its AsOf is not below. 0 when none was new.
	// Records of several Appends may share a commit.
	Commit int64
	// Unmarked names, each once, the events that are stored without the mark
	// Aggregate while a record of the call has it. Append leaves them as they are;
	// Correct marks them.
	Unmarked []EventKey
}

// ErrTooOld refuses an event that is older than what Prune removed of its
// project.
var ErrTooOld = fault.New(fault.Invalid, "An event is older than its project's retention")

// Ledger is the record of priced calls, the only truth. All methods may be
// called from many goroutines. Errors that are not the caller's are
// fault.Unavailable when trying again can help and fault.Internal otherwise.
type Ledger interface {
	// Append stores the records that are new, all or nothing; it returns
	// without error only when they are durable. The records keep the rules of usage and carry their identity.
	// Storing an event again, at any age and in any order, also twice in one call,
	// changes no answer: the one stored first is kept as it is. When a record is
	// older than what Prune removed of its project, nothing of the call is stored
	// and the error is ErrTooOld: whether it was stored once is not known any more. It blocks while the
	// engine is behind, until ctx ends; then, or when the engine cannot take more,
	// the error is fault.Unavailable. After an error nothing or everything was
	// stored; a retry tells. A record that breaks the rules may be refused with
	// fault.Invalid: it fails its own call, and no other that comes at that moment.
	Append(ctx context.Context, records []usage.Record) (Receipt, error)

	// Query answers one aggregate question. Sums are exact and of one moment.
	Query(ctx context.Context, q analytics.Query) (analytics.Table, error)

	// CallTree sums the selected calls by their place in the calls of their traces:
	// Names are the span names from the top down to the call itself, the measures
	// those of MeasureTokens and MeasureSource, the order dearest first, then by
	// analytics.JoinPath. A call stands below the span that its parent's id names in
	// its project and trace, of several the earliest, then that of the lowest id; or
	// at the top, when there is none or it is itself.
	CallTree(ctx context.Context, q analytics.CallTreeQuery) (analytics.Table, error)

	// Bloat ranks single calls against the median of their group.
	Bloat(ctx context.Context, q analytics.BloatQuery) (analytics.BloatTable, error)

	// Growth says how the input of features and models moved over a window.
	Growth(ctx context.Context, q analytics.GrowthQuery) (analytics.GrowthTable, error)

	// Resent says what sessions sent again turn after turn.
	Resent(ctx context.Context, q analytics.HistoryQuery) (analytics.HistoryTable, error)

	// Events yields matching events, newest first, then by descending id: those
	// that were stored when the first one was read, each once, whatever is stored
	// or corrected meanwhile. The sequence ends after the first error. Events may
	// share one map of tags: it is for reading.
	Events(ctx context.Context, q EventQuery) iter.Seq2[usage.Record, error]

	// Get finds one event; filter limits where it may be found (its time bounds
	// and Aggregates are not used). fault.NotFound when there is none.
	Get(ctx context.Context, id usage.ID, filter analytics.Filter) (usage.Record, error)

	// Correct replaces the costs of stored events and marks others as aggregates,
	// keeps what was as history, and changes every answer at once or not at all,
	// of any moment. A change whose event is gone or no longer has the Was price
	// is skipped, and so is a mark whose event is gone or has it; the number
	// applied is returned. No event is named twice.
	Correct(ctx context.Context, c Correction) (int64, error)

	// History gives the costs that an event had before, the newest 100 of them,
	// newest first; none when it was never corrected or is gone.
	History(ctx context.Context, event EventKey) ([]PastCost, error)

	// Prune removes the events of each project that are older than its time, and
	// says how many there were. Their identities and past costs go with them, and
	// for good: such an event is not stored again (ErrTooOld), also when a later Prune
	// names an earlier time. What stays are the sums of their UTC days by what stands in
	// cells: they answer Query for whole days, of every moment; where they cannot,
	// the answer says so (TruncatedBefore). It happens in several commits, each of
	// which leaves every such answer as it is, and goes on where it was cut off when
	// it is called again. A project whose events are all younger gets no mark.
	Prune(ctx context.Context, before map[string]time.Time) (int64, error)

	// Erase removes what names a person from stored events, in one commit, and says
	// of how many: the user id; the session ids of the person's events, from whatever
	// event has them; tags whose value is the id; metadata; prompts, whose texts and
	// vectors go too where no other event has them. The person's events are those with
	// the id as user or as the value of a tag, and those of their sessions that name no
	// other user. Costs and identities stay: no total moves, and a retry stays a
	// duplicate, which brings nothing back.
	Erase(ctx context.Context, who Erasure) (int64, error)

	// Compact makes sure that nothing that Erase removed is left anywhere in the
	// engine's files. Appends may wait for it.
	Compact(ctx context.Context) error

	// Pruned says of each project before when its events were removed.
	Pruned(ctx context.Context) (map[string]time.Time, error)
}

// Erasure names a person.
type Erasure struct {
	UserID string
	// Project is the one to look in; "" is all.
	Project string
}

// EventQuery selects a page of events.
type EventQuery struct {
	analytics.Filter
	// After continues behind an event; nil starts with the newest.
	After *EventKey
	// Limit is the most events to yield; 0 is no limit.
	Limit int
}

// EventKey is an event's place in the order of Events.
type EventKey struct {
	Timestamp time.Time
	ID        usage.ID
}

// Correction is a set of new costs and marks with one reason.
type Correction struct {
	// Reason is kept beside what was, for example "backfill" and a job's id.
	Reason  string
	At      time.Time
	Changes []CostChange
	// Marks are events that turned out to be aggregates. No mark is ever taken
	// away: so it does not matter in which order an event and its mark arrive.
	Marks []EventKey
}

// CostChange is one event's new cost.
type CostChange struct {
	ID        usage.ID
	Timestamp time.Time
	// Was is the source and price the change was computed from.
	WasSource  usage.Source
	WasPriceID string
	Now        usage.Costing
}

// PastCost is what a correction replaced: a cost, or that an event counted.
type PastCost struct {
	// At and Reason are those of the correction.
	At     time.Time
	Reason string
	// Was is the cost before it; whether it was a fallback is not kept.
	Was usage.Costing
	// NowCost, NowSource and NowPriceID are what it became.
	NowCost    money.USD
	NowSource  usage.Source
	NowPriceID string
	// Marked says that the event became an aggregate: its cost stayed, and counts
	// no more.
	Marked bool
}

// MaxHistory is how many past costs of one event are given.
const MaxHistory = 100

// Catalog is the small mutable state, as a union of roles; a consumer takes
// only the role it needs.
type Catalog interface {
	Prices
	Audit
	Runs
	Keys
	Sessions
	Settings
	Retentions
	Prompts
	Uses
	Vectors
}

// Prices keeps own prices and every price version that ever priced an event.
type Prices interface {
	// ListPrices returns all own prices, ended ones included, in the order in
	// which they were put.
	ListPrices(ctx context.Context) ([]pricing.Own, error)
	// ReplacePrices stores puts and removes the listed ids in one transaction,
	// with its audit entry.
	ReplacePrices(ctx context.Context, remove []string, puts []pricing.Own, entry AuditEntry) error
	// PutVersions keeps price versions; one that is known already is left alone.
	PutVersions(ctx context.Context, versions []pricing.Version) error
	// GetVersion finds a version by its id, or fault.NotFound.
	GetVersion(ctx context.Context, id string) (pricing.Version, error)
	// GetList gives the newer list that takes the place of the shipped book.
	GetList(ctx context.Context) (PriceList, error)
	// ReplaceList puts another list in its place, with the audit entry, in one
	// transaction; nil is the shipped book. fault.Conflict when the stored list no
	// longer has the number was.
	ReplaceList(ctx context.Context, was int64, book []byte, entry AuditEntry) error
}

// PriceList is a price list that was loaded over the shipped book.
type PriceList struct {
	// Number counts the changes of the list, removals too; 0 is none ever.
	Number int64
	// Made is when it was put in force.
	Made time.Time
	// Book is its text, in the form of pricing; nil is the shipped book.
	Book []byte
}

// AuditEntry is one change by a person, a key or a job.
type AuditEntry struct {
	ID     int64
	At     time.Time
	Actor  string
	Action string
	// Detail is a JSON object.
	Detail []byte
}

// NewAuditEntry is an entry in the form in which catalogs keep it: its time in UTC
// and whole microseconds, detail as JSON.
func NewAuditEntry(at time.Time, actor, action string, detail any) (AuditEntry, error) {
	text, err := json.Marshal(detail)
	if err != nil {
		return AuditEntry{}, fmt.Errorf("write the audit entry %s: %w", action, err)
	}
	return AuditEntry{At: at.UTC().Truncate(time.Microsecond), Actor: actor, Action: action, Detail: text}, nil
}

// Audit is the append-only log of changes.
type Audit interface {
	AppendAudit(ctx context.Context, entry AuditEntry) error
	// ListAudit returns entries newest first, below the given id (0 starts).
	ListAudit(ctx context.Context, below int64, limit int) ([]AuditEntry, error)
}

// Run is one execution of a background job.
type Run struct {
	ID   string
	Name string
	// State is "running", "done" or "failed".
	State             string
	Started, Finished time.Time
	// Input and Result are JSON objects.
	Input, Result []byte
	Error         string
}

// Runs keeps job history.
type Runs interface {
	// PutRun stores or replaces a run by id.
	PutRun(ctx context.Context, run Run) error
	// GetRun finds a run, or fault.NotFound.
	GetRun(ctx context.Context, id string) (Run, error)
	// ListRuns returns runs newest first; state "" is any.
	ListRuns(ctx context.Context, state string, limit int) ([]Run, error)
}

// Locks let servers that share a catalog do one after the other what must not be
// done at once. An engine that has one server at a time does not offer them.
type Locks interface {
	// Lock waits until no server holds the lock of this name and takes it. The
	// context it gives ends with ctx, with unlock, and when the lock is lost; what a
	// former holder was committing is committed or gone. A server that dies holds
	// nothing. fault.Unavailable when it takes too long.
	Lock(ctx context.Context, name string) (held context.Context, unlock func(), err error)
	// TryLock takes it when it is free, and else gives no unlock.
	TryLock(ctx context.Context, name string) (held context.Context, unlock func(), err error)
}

// Health is what an engine says about itself.
type Health struct {
	// Degraded holds a sentence when it works but something was lost or broken.
	Degraded string
	// Events is how many events are stored, aggregates included.
	Events int64
	// Queued is how many events wait to be committed.
	Queued int64
}

// Finding is something worth knowing about data at rest.
type Finding struct {
	// Problem says that somebody has to do something, Do what.
	Problem bool   `json:"problem"`
	What    string `json:"what"`
	Do      string `json:"do,omitempty"`
}

// Engine is an open ledger with its catalog.
type Engine interface {
	Ledger
	Catalog
	Dumper
	// Ping says whether the engine can store and answer now.
	Ping(ctx context.Context) (Health, error)
	// Close finishes accepted appends and closes the files clean. Afterwards every
	// method is fault.Unavailable, and closing again does nothing.
	Close() error
}
