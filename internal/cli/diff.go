package cli

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/client"
)

type diffCmd struct {
	Dim          []string `arg:"" optional:"" sep:"none" help:"One dimension or two: feature (default), model, provider, user, department, project, environment, session, operation, tag:NAME."`
	By           []string `sep:"none" placeholder:"DIM" help:"The same as a flag."`
	BaselineFrom string   `placeholder:"TIME" help:"Start of the earlier period. Default: it is as long as the later one; with a date as --from and no --to, as many whole days before, until the same time of day."`
	BaselineTo   string   `placeholder:"TIME" help:"End of the earlier period, as --to. Default: where the later one starts."`
	Limit        int      `short:"n" default:"20" help:"Most rows, 1 to 1000."`
	Cursor       string   `placeholder:"TEXT" help:"Continue a list, with what --json gave as pagination.nextCursor."`
	filterFlags
}

func (*diffCmd) Help() string {
	return `Without a window it compares the last 7 whole days with the 7 before. Rows come by how far their cost moved, up or down.
VOLUME to OTHER take the change apart; they sum to it exactly:

  VOLUME   more or fewer calls, each costing what it did
  MODELS   other models, providers or service tiers
  LENGTH   more or fewer tokens in a call
  CACHE    another part of the input read from, or written to, a cache
  PRICE    another price of a token
  OTHER    fees per request or search, and costs known only as one sum

Examples:

  costprof diff
  costprof diff --by model --feature support-chat
  costprof diff feature user --last 24h
  costprof diff --from 2026-11-01 --to 2026-11-15 --baseline-from 2026-10-01 --baseline-to 2026-10-15`
}

func (d *diffCmd) Run(s *session) error {
	now := time.Now()
	today := d.defaults(now)
	d.likeWithLike(now)
	filter, err := d.filter(now)
	if err != nil {
		return err
	}
	for _, bound := range [][2]string{{"--baseline-from", d.BaselineFrom}, {"--baseline-to", d.BaselineTo}} {
		if _, err := parseInstant(bound[0], bound[1]); err != nil {
			return err
		}
	}
	by := dimensions(append(d.Dim, d.By...))
	switch {
	case len(by) == 0:
		by = []string{"feature"}
	case len(by) > 2:
		return usagef("a comparison goes by at most two dimensions")
	}
	if err := between("-n", d.Limit, 1, 1000); err != nil {
		return err
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	request := client.CompareRequest{
		Filter: filter, BaselineFrom: d.BaselineFrom, BaselineTo: d.BaselineTo, GroupBy: by, Limit: d.Limit, Cursor: d.Cursor,
	}
	if s.root.JSON {
		return s.passOn(c, "analytics/compare", request.Values())
	}
	page, err := c.Compare(s.ctx, request)
	if err != nil {
		return err
	}
	if d.show(s, by, page, now); page.Meta.Total.CallCount == 0 && today {
		s.note("Today is not looked at: --last 24h compares the last day with the one before.")
	}
	return nil
}

// defaults chooses whole days when nothing else is said: today is not over, and
// half a day beside a whole one would look like savings.
func (d *diffCmd) defaults(now time.Time) (chosen bool) {
	if d.From != "" || d.To != "" || d.Last != "" || d.Cursor != "" {
		return false
	}
	loc, err := time.LoadLocation(d.TZ) // "" is UTC; the server says what is no zone
	if err != nil {
		loc = time.UTC
	}
	year, month, today := now.In(loc).Date()
	day := func(n int) string { return time.Date(year, month, today-n, 0, 0, 0, 0, time.UTC).Format(time.DateOnly) }
	d.From, d.To = day(7), day(1)
	return true
}

// likeWithLike puts the earlier period whole days before one that began with a day
// and goes on until now: the server's own choice would begin at an odd time of day
// and set mornings against nights.
func (d *diffCmd) likeWithLike(now time.Time) {
	if d.From == "" || !isDate(d.From) || d.To != "" || d.BaselineFrom != "" || d.BaselineTo != "" || d.Cursor != "" {
		return
	}
	loc, err := time.LoadLocation(d.TZ)
	if err != nil {
		return // the server says what is no zone
	}
	day, err := time.Parse(time.DateOnly, d.From)
	now = now.In(loc).Truncate(time.Second)
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	if err != nil || day.After(today) {
		return
	}
	n := int(today.Sub(day).Hours()/24) + 1
	d.To = now.Format(time.RFC3339)
	d.BaselineFrom, d.BaselineTo = day.AddDate(0, 0, -n).Format(time.DateOnly), now.AddDate(0, 0, -n).Format(time.RFC3339)
}

func (d *diffCmd) show(s *session, by []string, page client.Comparison, now time.Time) {
	m := &page.Meta
	total := &m.Total
	periods := fmt.Sprintf("%s against %s, %s", window(m.From, m.To), window(m.BaselineFrom, m.BaselineTo), printable(m.TZ))
	if total.CallCount == 0 && total.Baselines.CallCount == 0 {
		fmt.Fprintln(s.out, s.term.style(dim, periods))
		s.note("%s", d.nothing())
		return
	}
	decimals := decimalsFor(total.Cost, total.Baseline)
	says := sentence(total, page.Items, decimals)
	if unfinished(m, now) {
		says = "So far " + strings.ToLower(says[:1]) + says[1:]
	}
	fmt.Fprintln(s.out, s.term.style(bold, says))
	for _, other := range against(total, page.Items, decimals) {
		fmt.Fprintln(s.out, other)
	}
	fmt.Fprintln(s.out, s.term.style(dim, periods))
	for _, doubt := range doubts(m, now) {
		fmt.Fprintln(s.out, doubt)
	}
	fmt.Fprintln(s.out)
	t := diffTable(by, page.Items, total, decimals)
	t.write(s.out, s.term)
	if page.NextCursor == "" && len(page.Items) > 1 && !addsUp(page.Items, total, decimals) {
		s.note("The columns of total take all calls as one: what moves between rows is MODELS, LENGTH and so on there, so that they are not the sums of the rows.")
	}
	if hidden := t.hidden(s.term.width); len(hidden) > 0 {
		s.note("Hidden for want of width: %s. A wider window shows them, and a pipe (`costprof diff … | less -S`).", strings.Join(hidden, ", "))
	}
	if page.NextCursor != "" {
		s.note("There are more rows: -n shows up to 1000, --json gives the cursor.")
	}
	const few = 100 // one in so many is not worth a word
	now100, then100 := total.UnpricedCalls*few >= total.CallCount, total.Baselines.UnpricedCalls*few >= total.Baselines.CallCount
	if now, then := total.UnpricedCalls, total.Baselines.UnpricedCalls; now > 0 && now100 || then > 0 && then100 {
		s.note("%s calls of the later and %s of the earlier period have no price (estimated, or counted as 0): see `costprof prices unpriced`.",
			count(now), count(then))
	}
}

// unfinished says that the later period goes on; --last ends about now.
func unfinished(m *client.CompareMeta, now time.Time) bool {
	return m.To.Sub(now) > time.Minute && m.From.Before(now)
}

// doubts says what makes the comparison less than it seems.
func doubts(m *client.CompareMeta, now time.Time) []string {
	var out []string
	span, before := m.To.Sub(m.From), m.BaselineTo.Sub(m.BaselineFrom)
	const edge = 4 // a quarter without calls is worth a word
	switch {
	case unfinished(m, now):
		out = append(out, fmt.Sprintf("The later period is not over: %s of %s have passed. Compare equal parts with --last, or with --to and --baseline-to.",
			days(now.Sub(m.From)), days(span)))
	case !m.LastCall.IsZero() && m.To.Sub(m.LastCall) > span/edge:
		out = append(out, fmt.Sprintf("The last call of the later period is of %s: it may hold only a part of its time.", clock(m.LastCall.Truncate(time.Minute))))
	}
	if !m.FirstBaselineCall.IsZero() && m.FirstBaselineCall.Sub(m.BaselineFrom) > before/edge {
		out = append(out, fmt.Sprintf("The first call of the earlier period is of %s: it may hold only a part of its time.", clock(m.FirstBaselineCall.Truncate(time.Minute))))
	}
	if ratio := span.Hours() / before.Hours(); ratio > 1.05 || ratio < 0.95 {
		out = append(out, fmt.Sprintf("The periods are not of one length: %s against %s.", days(span), days(before)))
	}
	return out
}

// days shows a length of time to a tenth.
func days(d time.Duration) string {
	unit, name := 24*time.Hour, "day"
	if d < 48*time.Hour && d%unit != 0 {
		unit, name = time.Hour, "hour"
	}
	text := strings.TrimSuffix(fmt.Sprintf("%.1f", d.Hours()/unit.Hours()), ".0")
	if text == "1" {
		return text + " " + name
	}
	return text + " " + name + "s"
}

func diffTable(by []string, rows []client.Change, total *client.Change, decimals int) *table {
	t := &table{}
	for _, d := range by {
		t.columns = append(t.columns, column{title: strings.ToUpper(printable(d)), shrink: true})
	}
	t.columns = append(t.columns,
		column{title: "BEFORE", right: true, drop: 10},
		column{title: "NOW", right: true, drop: 1},
		column{title: "CHANGE", right: true},
		column{title: "%", right: true, drop: 2},
		column{title: "VOLUME", right: true, drop: 3, idle: none},
		column{title: "MODELS", right: true, drop: 5, idle: none},
		column{title: "LENGTH", right: true, drop: 4, idle: none},
		column{title: "CACHE", right: true, drop: 6, idle: none},
		column{title: "PRICE", right: true, drop: 7, idle: none},
		column{title: "OTHER", right: true, drop: 8, idle: none},
		column{title: "MAINLY"},
	)
	add := func(names []string, c *client.Change) {
		row := append([]string{}, names...)
		for _, u := range []client.USD{c.Baseline, c.Cost} {
			row = append(row, moneyTo(u, decimals))
		}
		row = append(row, moved(c.Delta, decimals), growth(c))
		for _, u := range terms(c) {
			row = append(row, moved(u, decimals))
		}
		why := ""
		if c != total { // its terms are not what the rows' are
			why = reasonOf(c).short
		}
		t.add(append(row, why)...)
	}
	for i := range rows {
		names := rows[i].Names
		if len(names) != len(by) {
			names = []string{rows[i].Name}
		}
		shown := make([]string, len(by))
		for k := range min(len(by), len(names)) {
			shown[k] = name(names[k])
		}
		add(shown, &rows[i])
	}
	if len(rows) > 1 {
		label := make([]string, len(by))
		label[0] = "total"
		add(label, total)
	}
	// Of the terms those with the least money go first.
	first := len(by) + 4
	order := []int{0, 1, 2, 3, 4, 5}
	var moves [6]float64
	for i := range rows {
		for k, u := range terms(&rows[i]) {
			moves[k] += math.Abs(part(u, "1"))
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(moves[b], moves[a]) })
	for rank, k := range order {
		t.columns[first+k].drop = 3 + rank
	}
	return t
}

// terms are those of a change in the order of the columns.
func terms(c *client.Change) []client.USD {
	t := &c.Terms
	return []client.USD{t.Volume, t.ModelMix, t.TokensPerCall, t.CacheMix, t.Price, t.Other}
}

// addsUp says whether the terms of the whole are, as they are shown, the sums of
// the rows' terms.
func addsUp(rows []client.Change, total *client.Change, decimals int) bool {
	for k, whole := range terms(total) {
		var all []client.USD
		for i := range rows {
			all = append(all, terms(&rows[i])[k])
		}
		if moneyTo(sum(all...), decimals) != moneyTo(whole, decimals) {
			return false
		}
	}
	return true
}
