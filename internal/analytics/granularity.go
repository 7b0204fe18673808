package analytics

import (
	"strings"
	"time"
	_ "time/tzdata" // zones mean the same on every machine, also without the system's files

	"github.com/costprof/costprof/internal/fault"
)

// Granularity is the calendar unit of a series' buckets.
type Granularity string

// The granularities, finest first.
const (
	Minute Granularity = "minute"
	Hour   Granularity = "hour"
	Day    Granularity = "day"
	Week   Granularity = "week" // ISO: starts on Monday
	Month  Granularity = "month"
)

// granularities lists them, finest first.
var granularities = []Granularity{Minute, Hour, Day, Week, Month}

// ParseGranularity reads a granularity from outside; field names the parameter
// in the error.
func ParseGranularity(field, s string) (Granularity, error) {
	for _, g := range granularities {
		if s == string(g) {
			return g, nil
		}
	}
	return "", fault.Field(field, "must be one of minute, hour, day, week, month")
}

// ParseLocation reads an IANA zone name from outside; field names the parameter
// in the error. The server's own zone ("Local", "") is not a name.
func ParseLocation(field, s string) (*time.Location, error) {
	// right/ zones count leap seconds, which no timestamp here does.
	if s == "" || s == "Local" || len(s) > 64 || strings.HasPrefix(s, "right/") {
		return nil, fault.Field(field, "must be an IANA time zone such as Europe/Berlin")
	}
	loc, err := time.LoadLocation(s)
	if err != nil {
		return nil, fault.Field(field, "must be an IANA time zone such as Europe/Berlin")
	}
	return loc, nil
}
