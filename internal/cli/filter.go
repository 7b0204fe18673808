package cli

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/costprof/costprof/client"
)

// filterFlags are the common filters. Lists are not split at commas: names may
// hold them.
type filterFlags struct {
	From string `group:"Which calls" placeholder:"TIME" help:"Start: a date (2026-11-01) or an instant (2026-11-01T09:00:00Z). Without --from, --to and --last: the last 30 days, for top the last 24 hours, for diff the last 7 whole days."`
	To   string `group:"Which calls" placeholder:"TIME" help:"End: a date, that day included, or an instant, not included."`
	Last string `group:"Which calls" placeholder:"SPAN" help:"Instead of --from and --to: the last 90m, 24h, 7d or 4w."`
	TZ   string `group:"Which calls" name:"tz" placeholder:"ZONE" help:"Time zone of dates, times and buckets, for example Europe/Berlin (default UTC)."`

	MatchFlags
}

// MatchFlags choose calls by anything but their time.
type MatchFlags struct {
	Feature     []string `group:"Which calls" sep:"none" placeholder:"NAME" help:"Only this feature. Repeat it, and the next ones, for any of several; an empty value is for calls without one."`
	Model       []string `group:"Which calls" sep:"none" placeholder:"NAME" help:"Only this model."`
	Provider    []string `group:"Which calls" sep:"none" placeholder:"NAME" help:"Only this provider."`
	User        []string `group:"Which calls" sep:"none" placeholder:"NAME" help:"Only this user."`
	Department  []string `group:"Which calls" sep:"none" placeholder:"NAME" help:"Only this department."`
	Project     []string `group:"Which calls" sep:"none" placeholder:"NAME" help:"Only this project."`
	Environment []string `group:"Which calls" sep:"none" placeholder:"NAME" help:"Only this environment."`
	Session     []string `group:"Which calls" sep:"none" placeholder:"NAME" help:"Only this session."`
	Tag         []string `group:"Which calls" sep:"none" placeholder:"TAG=VALUE" help:"Only calls with this tag; repeat for any of several values."`
	Status      string   `group:"Which calls" placeholder:"ok|error" help:"Only calls that went well, or failed."`
}

// filter gives the client's filter; now is for --last.
func (f *filterFlags) filter(now time.Time) (client.Filter, error) {
	out, err := f.match()
	if err != nil {
		return out, err
	}
	out.From, out.To, out.TZ = f.From, f.To, f.TZ
	for _, bound := range [][2]string{{"--from", f.From}, {"--to", f.To}} {
		if _, err := parseInstant(bound[0], bound[1]); err != nil {
			return out, err
		}
	}
	if f.Last != "" {
		if f.From != "" || f.To != "" {
			return out, usagef("--last cannot be given together with --from or --to")
		}
		span, err := parseSpan(f.Last)
		if err != nil {
			return out, err
		}
		out.From = now.Add(-span).UTC().Format(time.RFC3339Nano)
		out.To = now.UTC().Format(time.RFC3339Nano)
	}
	return out, nil
}

// match gives the filter without its time.
func (f *MatchFlags) match() (client.Filter, error) {
	out := client.Filter{
		Status: f.Status, Feature: f.Feature, Model: f.Model, Provider: f.Provider, User: f.User, Department: f.Department,
		Project: f.Project, Environment: f.Environment, Session: f.Session,
	}
	for _, tag := range f.Tag {
		name, value, ok := strings.Cut(tag, "=")
		if !ok || name == "" {
			return out, usagef("--tag %q must be NAME=VALUE", tag)
		}
		if out.Tags == nil {
			out.Tags = map[string][]string{}
		}
		out.Tags[name] = append(out.Tags[name], value)
	}
	return out, nil
}

// narrow says that more than time chooses the calls.
func (f *MatchFlags) narrow() bool {
	return f.Status != "" || len(f.Tag) > 0 || slices.ContainsFunc(
		[][]string{f.Feature, f.Model, f.Provider, f.User, f.Department, f.Project, f.Environment, f.Session},
		func(names []string) bool { return len(names) > 0 })
}

// nothing says that no call was found, and what to do about it.
func (f *filterFlags) nothing() string {
	if f.narrow() {
		return "No calls match. Fewer filters or a longer time (--last 90d, --from) may find some."
	}
	return "No calls in this time. --last 90d or --from looks further back; `costprof demo` or `costprof import` fills an empty ledger."
}

// parseSpan reads a whole number of minutes, hours, days (of 24 hours) or weeks.
func parseSpan(s string) (time.Duration, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	if s != "" {
		unit, ok := units[s[len(s)-1]]
		n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
		const longest = 100 * 365 * 24 * time.Hour
		if ok && err == nil && n > 0 && n <= uint64(longest/unit) {
			return time.Duration(n) * unit, nil
		}
	}
	return 0, usagef("--last %q must be a span such as 90m, 24h, 7d or 4w", s)
}
