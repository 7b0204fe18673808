package ingest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/usage"
)

// problems joins what the format found with what Validate and the project's
// retention say. A field that could not be read is judged once only.
func (p *Pipeline) problems(in *Input, now time.Time) []usage.Problem {
	e := &in.Event
	if len(in.Problems) == 0 {
		found := e.Validate(now)
		if len(found) == 0 && p.OldestAllowed != nil {
			if oldest := p.OldestAllowed(e.Project); e.Timestamp.Before(oldest) {
				found = append(found, usage.Problem{Field: "timestamp", Rule: "is older than the project's retention"})
			}
		}
		return found
	}
	judged := make(map[string]bool, len(in.Problems))
	unread := false
	for _, problem := range in.Problems {
		judged[problem.Field] = true
		_, count := usage.UnitByCount(strings.TrimPrefix(problem.Field, "usage."))
		unread = unread || count
	}
	if judged[""] {
		return in.Problems // there was no event to judge
	}
	rest := *e
	if unread {
		// Sums make no sense while a part of them is missing; ranges do.
		for u, n := range rest.Counts {
			if n >= 0 && n <= usage.MaxCount {
				rest.Counts[u] = 0
			}
		}
	}
	found := slices.Clone(in.Problems)
	for _, problem := range rest.Validate(now) {
		if !judged[problem.Field] {
			found = append(found, problem)
		}
	}
	return found
}

// fromFault reads problems from the details of an error about one event.
func fromFault(err *fault.Error) []usage.Problem {
	if len(err.Details) == 0 {
		return []usage.Problem{{Rule: err.Message}}
	}
	var found []usage.Problem
	for _, field := range slices.Sorted(maps.Keys(err.Details)) {
		for _, rule := range err.Details[field] {
			found = append(found, usage.Problem{Field: field, Rule: rule})
		}
	}
	return found
}

// invalid is the answer to a batch that must be valid as a whole.
func (j *judgement) invalid() *fault.Error {
	details := make(map[string][]string)
	total := 0
	for _, r := range j.rejected {
		for _, problem := range r.problems {
			if total++; total <= MaxProblems {
				field := eventField(r.index, problem.Field)
				details[field] = append(details[field], problem.Rule)
			}
		}
		total += r.more
	}
	if total > MaxProblems {
		details["events"] = append(details["events"], fmt.Sprintf("have %d problems; the first %d are listed", total, MaxProblems))
	}
	return &fault.Error{Code: fault.Invalid, Message: "Validation failed", Details: details}
}

// rejections lists the invalid events of a partial batch. Each is there with at
// least one problem, however many there are.
func (j *judgement) rejections() []Rejected {
	var out []Rejected
	listed := 0
	for _, r := range j.rejected {
		errs := make(map[string][]string)
		left := len(r.problems) + r.more
		for i, problem := range r.problems {
			if listed >= MaxProblems && i > 0 {
				break
			}
			errs[problem.Field] = append(errs[problem.Field], problem.Rule)
			listed++
			left--
		}
		switch {
		case left == 1:
			errs[""] = append(errs[""], "has 1 more problem")
		case left > 1:
			errs[""] = append(errs[""], fmt.Sprintf("has %d more problems", left))
		}
		if rules, ok := errs[""]; ok {
			delete(errs, "")
			errs["event"] = rules
		}
		out = append(out, Rejected{Index: r.index, Errors: errs})
	}
	return out
}

// warnings names the fields that were ignored.
func warnings(b *Batch) []string {
	var out []string
	add := func(field string) bool {
		if len(out) == maxWarnings {
			out = append(out, "more unknown fields are not listed")
			return false
		}
		out = append(out, field+": unknown field, ignored")
		return true
	}
	for _, field := range b.Unknown {
		if !add(field) {
			return out
		}
	}
	for i := range b.Events {
		for _, field := range b.Events[i].Unknown {
			if !add(eventField(i, field)) {
				return out
			}
		}
	}
	return out
}
