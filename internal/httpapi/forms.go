package httpapi

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/usage"
)

// The forms of texts as the document tells them: nothing of another form is
// accepted, and nearly everything of the form is.
const (
	// To 9998: the end of a date in 9999 would need a fifth digit.
	fromMillennium = `[2-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8]`
	fromEpoch      = `19[7-9][0-9]|` + fromMillennium

	dayForm  = `-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])`
	timeForm = `[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])`

	cursorText  = `^[A-Za-z0-9_-]+$`
	decimalText = `^[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`
)

// instantOrDate is a bound of a range, with a year of the given ones.
func instantOrDate(years string) *huma.Schema {
	return formed("^(" + years + ")" + dayForm + "(" + timeForm + ")?$")
}

// periodText is two bounds of a range with a comma.
func periodText() *huma.Schema {
	one := "(" + fromEpoch + ")" + dayForm + "(" + timeForm + ")?"
	return formed("^" + one + "," + one + "$")
}

func formed(pattern string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: pattern}
}

// name is a text that is not empty.
func name(most int) *huma.Schema {
	least := 1
	return &huma.Schema{Type: huma.TypeString, MinLength: &least, MaxLength: &most}
}

func atMost(most int) *huma.Schema { return &huma.Schema{Type: huma.TypeString, MaxLength: &most} }

// dimensionList is between one and most dimensions with commas.
func dimensionList(most int) *huma.Schema {
	names := make([]string, 0, len(analytics.Dimensions)+1)
	for _, d := range analytics.Dimensions {
		names = append(names, string(d))
	}
	one := "(" + strings.Join(append(names, "tag:[^,]+"), "|") + ")"
	if most == 1 {
		return formed("^" + one + "$")
	}
	return formed("^" + one + "(," + one + "){0," + strconv.Itoa(most-1) + "}$")
}

// columnList is a list of columns with commas.
func columnList() *huma.Schema {
	names := make([]string, 0, len(columns)+2)
	for i := range columns {
		names = append(names, columns[i].Name)
	}
	one := "(" + strings.Join(append(names, "names?"), "|") + ")"
	return formed("^" + one + "(," + one + ")*$")
}

// usageCounts is the object of further counts.
type usageCounts map[string]int64

// Schema lists the counts that there are.
func (usageCounts) Schema(huma.Registry) *huma.Schema {
	props := map[string]*huma.Schema{}
	for u := range usage.NumUnits {
		if !u.IsTotal() {
			props[usage.Units[u].Count] = countSchema()
		}
	}
	return &huma.Schema{Type: huma.TypeObject, Properties: props, AdditionalProperties: false}
}

func countSchema() *huma.Schema {
	least, most := 0.0, float64(usage.MaxCount)
	return &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most}
}

// completeEvents says what an event must have that a struct cannot: provider,
// model and tokens, unless it only sums its children.
func completeEvents(event *huma.Schema) *huma.Schema {
	call := &huma.Schema{Required: []string{"provider", "model", "inputTokens", "outputTokens"}}
	sum := &huma.Schema{Required: []string{"aggregate"}, Properties: map[string]*huma.Schema{"aggregate": {Type: huma.TypeBoolean, Enum: []any{true}}}}
	return &huma.Schema{AllOf: []*huma.Schema{event, anyOf(call, sum)}}
}

// cursorForm leaves out the line breaks that decoders of base64 overlook.
var cursorForm = regexp.MustCompile(cursorText)
