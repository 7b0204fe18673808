// Package analytics is the question and its answer: one typed Query for every
// chart, the Table an engine makes of it, and the pure functions that turn a
// table into series and flame trees. It knows no engine and no wire format.
package analytics

import (
	"strings"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// Dimension is something spend can be grouped and filtered by: one of the
// constants, or "tag:NAME".
type Dimension string

// The closed dimensions. A missing value is the name "".
const (
	Feature     Dimension = "feature"
	Model       Dimension = "model"
	Provider    Dimension = "provider"
	User        Dimension = "user"
	Department  Dimension = "department"
	Project     Dimension = "project"
	Environment Dimension = "environment"
	Session     Dimension = "session"
	Operation   Dimension = "operation"
)

// Tier is the service tier as it was sent. It is asked for within the program
// only: outside, calls are told apart by what they are for and what answered.
const Tier Dimension = "serviceTier"

// Trace is the id of the trace. It is asked for within the program only: the
// same id in two projects is two traces, so it goes together with Project.
const Trace Dimension = "trace"

// Dimensions lists the closed ones.
var Dimensions = []Dimension{Feature, Model, Provider, User, Department, Project, Environment, Session, Operation}

// Tag is the dimension of one tag.
func Tag(name string) Dimension { return Dimension("tag:" + name) }

// TagName gives the tag of a tag dimension.
func (d Dimension) TagName() (string, bool) { return strings.CutPrefix(string(d), "tag:") }

// ParseDimension reads a dimension from outside; field names the parameter in
// the error.
func ParseDimension(field, s string) (Dimension, error) {
	if name, ok := strings.CutPrefix(s, "tag:"); ok {
		if name == "" || len(name) > 4*usage.MaxTagNameLength || strings.IndexByte(name, 0) >= 0 {
			return "", fault.Field(field, "tag: must be followed by a tag name")
		}
		return Dimension(s), nil
	}
	for _, d := range Dimensions {
		if s == string(d) {
			return d, nil
		}
	}
	return "", fault.Field(field, "must be one of feature, model, provider, user, department, project, environment, session, operation, tag:NAME")
}

// Status selects calls by outcome.
type Status uint8

// The statuses; the zero value selects all calls.
const (
	StatusAny Status = iota
	StatusOK
	StatusError
)

// Filter selects events. The zero value selects every event that counts in
// totals.
type Filter struct {
	// From and To bound the event's timestamp, half-open, in whole microseconds; a
	// zero time is no bound.
	From, To time.Time
	// Any holds, per dimension, the accepted values; "" accepts a missing value,
	// and no values accept nothing. Provider and model are as normalised.
	Any map[Dimension][]string
	// Called is Any as people ask, for provider and model only: a name is accepted
	// when it is the normalised one or the one that was sent. An event must
	// satisfy both.
	Called map[Dimension][]string
	Status Status
	// Sources selects by where the cost came from; empty is any.
	Sources []usage.Source
	// Aggregates includes the spans that only sum their children. They are left
	// out of every total; lists of events show them.
	Aggregates bool
	// AsOf leaves out what was committed later; 0 is no bound. Table.AsOf gives
	// the value that repeats an answer.
	AsOf int64
}

// Measures are the columns of an answer, as a set. Cost and calls are always
// there.
type Measures uint16

// The measures.
const (
	MeasureTokens      Measures = 1 << iota // Input, Output, Cached
	MeasureErrors                           // Errors
	MeasureLatency                          // LatencyMicros
	MeasureP95                              // P95Micros
	MeasureSaving                           // Saving
	MeasureSource                           // Unpriced, Fallback
	MeasureSeen                             // First, Last
	MeasureClasses                          // Classes
	MeasureClassTokens                      // ClassTokens
	MeasureRoot                             // Root, End
	measuresEnd
)

// EveryMeasure is all of them.
const EveryMeasure = measuresEnd - 1

// Query is one aggregate question.
type Query struct {
	Filter
	// GroupBy makes a row for each combination of values; empty makes one row
	// (also when no event matches) or, with Grain, one row for each bucket that
	// has events.
	GroupBy []Dimension
	// Grain also groups by UTC time: 1, 15, 30 or 60 minutes or 24 hours. Bucket
	// edges of zones and calendars are unions of grains; Series folds them.
	Grain time.Duration
	// Shift is how much later than the UTC ones the grains begin, less than a Grain.
	Shift time.Duration
	Measures
	// BySent groups by provider and model as sent instead of normalised.
	BySent bool
	// Baseline is a window whose cost and calls are taken off: each row, and the sums
	// over all, are then how far those of the filter's window moved from it, and rows
	// rank by how far, either way. It goes with GroupBy, without Grain and Measures;
	// the zero value is none.
	Baseline Window
	// Stored counts stored events alone, and not what is left of removed ones.
	Stored bool
	// Limit and Offset cut the ranking: dearest first, then names in byte order.
	// Limit 0 is no limit. With Grain there is no ranking and no limit.
	Limit, Offset int
}

// Window is a range of time, half-open.
type Window struct{ From, To time.Time }

// Row is one line of an answer. Sums are exact.
type Row struct {
	// Names holds a value for each of Query.GroupBy.
	Names []string
	// Bucket is when the grain starts; zero without Query.Grain.
	Bucket time.Time

	Cost    money.Total
	Classes [usage.NumClasses]money.Total
	// ClassTokens are the tokens that each class of cost counts, disjoint; media
	// are those of both directions, units and unsplit costs have none.
	ClassTokens [usage.NumClasses]int64
	// Saving is what caching saved; negative when it cost more.
	Saving money.Total
	// Input and Output are totals as on the wire: Cached is part of Input.
	Input, Output, Cached int64
	Calls, Errors         int64
	// Unpriced counts calls whose cost is the caller's estimate or unknown,
	// Fallback those that took the standard tier's or region's price.
	Unpriced, Fallback int64
	// LatencyMicros is the exact sum, P95Micros the discrete 95th percentile.
	LatencyMicros, P95Micros int64
	First, Last              time.Time
	// Root is the span name of the earliest call that names no parent, or of the
	// earliest one; End is when the last one ended.
	Root string
	End  time.Time
}

// Table answers a Query.
type Table struct {
	Rows []Row
	// More says that the ranking goes on after Limit.
	More bool
	// Cost and Calls are sums over the whole answer, also beyond Limit; so are
	// Unpriced and Fallback, with MeasureSource.
	Cost               money.Total
	Calls              int64
	Unpriced, Fallback int64
	// Groups is how many rows the whole answer has, also beyond Limit.
	Groups int64
	// AsOf is the number of the last commit this answer saw.
	AsOf int64
	// Revision changes when stored events are corrected or removed, and only
	// then; an answer with another Revision cannot be continued.
	Revision int64
	// TruncatedBefore is up to when calls in the window were removed for their age
	// and are not, or not all, in the answer; the zero time when nothing lacks.
	// With TruncatedP95 only P95Micros lacks them.
	TruncatedBefore time.Time
	TruncatedP95    bool
}

// CallTreeQuery asks what was spent below which spans. The calls that the filter
// selects count; which span they are below all spans say that began in its
// window or in the TraceReach before, also those it does not select.
type CallTreeQuery struct {
	Filter
	// Limit is the most rows; 0 is no limit.
	Limit int
}

// TraceReach is how long before a range the spans begin that calls in it are
// looked for below.
const TraceReach = 24 * time.Hour

// MaxCallDepth is how many spans a call may have above it: with more of them, or
// with a circle of them, it stands at the top.
const MaxCallDepth = 100

// BloatQuery asks for the calls whose input lies far above the median input of
// their feature and model.
type BloatQuery struct {
	Filter
	// MinRatio is the least input ÷ median to report, in thousandths: 2000 is
	// twice the median.
	MinRatio int64
	// MinCalls is the least number of calls a median must rest on.
	MinCalls int64
	// Spread asks for Bloat's Deviation and MedianRatio, for which the calls of the
	// groups that are shown are read once more.
	Spread        bool
	Limit, Offset int
}

// Bloat is one such call.
type Bloat struct {
	ID             usage.ID
	Timestamp      time.Time
	Feature, Model string
	Input, Cached  int64
	Output         int64
	// Median is the discrete median input of the feature and model in the window.
	Median int64
	// GroupCalls is how many calls the median rests on.
	GroupCalls int64
	// InputCost is what the call's input cost, all cache classes together.
	InputCost money.USD
	// Wasted is InputCost × (Input − Median) ÷ Input, half-even: the price really
	// paid for the tokens beyond the median.
	Wasted money.USD
	// Project and PromptID are the call's; the zero id is no prompt.
	Project  string
	PromptID usage.ID
	// Deviation is the median absolute deviation of the group: the discrete median of
	// |input − Median| of its calls, in tokens.
	Deviation int64
	// MedianRatio is the discrete median of InputRatio of the calls of the group that
	// gave output; -1 when none did.
	MedianRatio int64
}

// LongPart says where a long prompt is longer than others of its project, feature
// and model.
type LongPart struct {
	// Characters is the prompt's length, Usual the median length of Texts others.
	Characters, Usual, Texts int
	// Number is which of the Parts that vary between these prompts is the long one,
	// counted from 1; 0 when the prompt is not made like the others.
	Number, Parts int
	// PartCharacters is that part's length here, PartUsual its median in the others.
	PartCharacters, PartUsual int
	// Behind is the end of what all have in front of it; "" at the beginning.
	Behind string
}

// InputRatio is input ÷ output in thousandths, rounded down; -1 without output.
func InputRatio(input, output int64) int64 {
	if output <= 0 {
		return -1
	}
	return input * 1000 / output // usage.MaxCount × 1000 fits
}

// BloatTable answers a BloatQuery, the most wasteful call first, then by id.
type BloatTable struct {
	Rows           []Bloat
	More           bool
	AsOf, Revision int64
	// TruncatedBefore is as in Table.
	TruncatedBefore time.Time
}
