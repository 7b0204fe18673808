package analytics

import (
	"math/bits"
	"time"

	"github.com/costprof/costprof/internal/money"
)

// GrowthQuery asks how the input of each feature and model moved over a window.
type GrowthQuery struct {
	// From and To of the filter are set, in whole microseconds.
	Filter
	// Parts is into how many parts of equal length the window is cut.
	Parts int
	// Groups is the most features and models to answer for, those with the dearest
	// input; 0 is all.
	Groups int
}

// Part is the time of a part, numbered from 0. Its bounds are whole microseconds:
// part i begins at From + ⌈i × (To − From) ÷ Parts⌉.
func (q GrowthQuery) Part(i int) Window { return Window{From: q.bound(i), To: q.bound(i + 1)} }

func (q GrowthQuery) bound(i int) time.Time {
	length := uint64(q.To.Sub(q.From).Microseconds())
	hi, lo := bits.Mul64(length, uint64(i))
	n, rest := bits.Div64(hi, lo, uint64(q.Parts))
	if rest > 0 {
		n++
	}
	return q.From.Add(time.Duration(n) * time.Microsecond)
}

// GrowthPart is what the calls with input of a feature and model in one part add
// up to.
type GrowthPart struct {
	Part  int
	Calls int64
	// Input is the sum of their input tokens, Median the discrete median of them.
	Input, Median int64
	// InputCost is what their input cost, all cache classes together.
	InputCost money.Total
}

// GrowthGroup is a feature and model with its parts in order, without those that
// have no call.
type GrowthGroup struct {
	Feature, Model string
	Parts          []GrowthPart
}

// GrowthTable answers a GrowthQuery: the group whose input cost most first, then by
// feature and model.
type GrowthTable struct {
	Groups []GrowthGroup
	// Left is how many groups there are beyond those.
	Left           int64
	AsOf, Revision int64
	// TruncatedBefore is as in Table.
	TruncatedBefore time.Time
}

// HistoryQuery asks what sessions sent again turn after turn.
//
// The selected calls with input of one session, project and feature stand in the
// order of their times, then ids. Of a call that is not the first of them,
//
//   - min(input, the call before's input + its output) tokens are taken as sent
//     again: it cannot have more of what was there in the turn before;
//   - those of them beyond the first call's input are history, the others are the
//     beginning of the session;
//   - cached tokens are the first ones of its input. So min(cached, sent again) of
//     those sent again were read from the cache, and of history what of these is
//     beyond the first call's input.
//
// What they cost is what was paid: of tokens from the cache the cost of cache
// reads × their part of the cached tokens, of others the cost of input and cache writes × their part of
// the input that was not cached, each of the two rounded half-even for each call.
type HistoryQuery struct {
	Filter
	// BySession answers for each session, not each feature.
	BySession     bool
	Limit, Offset int
}

// History is a feature, or a session's part in it, in which a call followed
// another.
type History struct {
	Feature string
	// Project and Session are "" of a whole feature.
	Project, Session string
	// Sessions have a session id; Calls are theirs, Turns those that are not the
	// first of their session. MaxTurns is of the longest session.
	Sessions, Calls, Turns, MaxTurns int64
	// Input are the tokens of Calls, MaxInput those of the largest.
	Input, MaxInput int64
	// Resent, History and the cached ones of both are tokens, as HistoryQuery says.
	Resent, ResentCached   int64
	History, HistoryCached int64
	// Costs are what was paid for these tokens.
	ResentCost, HistoryCost money.Total
	// First and Last are the times of the first and the last call.
	First, Last time.Time
}

// HistoryTable answers a HistoryQuery: the dearest history first, then the dearest
// that was sent again, then by feature, project and session.
type HistoryTable struct {
	Rows           []History
	More           bool
	AsOf, Revision int64
	// TruncatedBefore is as in Table.
	TruncatedBefore time.Time
}
