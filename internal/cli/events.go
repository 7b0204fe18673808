package cli

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/client"
)

type eventsCmd struct {
	ID    string `arg:"" optional:"" help:"Show this event with its price lines."`
	Limit int    `short:"n" default:"20" help:"Most events; 0 for all."`
	filterFlags
}

func (*eventsCmd) Help() string {
	return `Newest first. With --json a list is one event a line, in the form that "costprof import" reads, and has the
ids that a narrow window leaves out.

Examples:

  costprof events --feature support-chat --status error --last 24h
  costprof events --from 2026-11-01 -n 0 --json > november.ndjson
  costprof events "$(costprof events -n 1 --json | jq -r .id)"`
}

// pageSize is how many events one request of a long list brings.
const pageSize = 1000

func (e *eventsCmd) Run(s *session) error {
	filter, err := e.filter(time.Now())
	if err != nil {
		return err
	}
	if e.Limit < 0 {
		return usagef("-n must be 0 or more")
	}
	var patience []client.Option
	if e.ID == "" && (e.Limit == 0 || e.Limit > pageSize) {
		// A long list outlasts a busy moment of the server.
		if err := s.reach(); err != nil {
			return err
		}
		patience = append(patience, client.WithRetry(client.DefaultRetry()))
	}
	c, err := s.connect(patience...)
	if err != nil {
		return err
	}
	switch {
	case e.ID != "" && s.root.JSON:
		return s.passOn(c, "events/"+url.PathEscape(e.ID), nil)
	case e.ID != "":
		event, err := c.GetEvent(s.ctx, e.ID)
		if err != nil {
			return err
		}
		s.showEvent(&event)
		return nil
	}
	request := client.EventsRequest{Filter: filter, PageSize: pageSize}
	if e.Limit > 0 {
		request.PageSize = min(e.Limit, pageSize)
	}
	if s.root.JSON {
		return e.lines(s, c, request)
	}
	return e.table(s, c, request)
}

// lines writes events as the server gave them, one a line.
func (e *eventsCmd) lines(s *session, c *client.Client, request client.EventsRequest) error {
	for left := e.Limit; ; {
		answer, err := c.Get(s.ctx, "events", request.Values())
		if err != nil {
			return err
		}
		var page struct {
			Data       []json.RawMessage `json:"data"`
			Pagination struct {
				NextCursor string `json:"nextCursor"`
			} `json:"pagination"`
		}
		if err := json.Unmarshal(answer, &page); err != nil {
			return fmt.Errorf("reading events: %w", err)
		}
		for _, event := range page.Data {
			if err := s.writeJSON(event); err != nil {
				return err
			}
			if left--; left == 0 && e.Limit > 0 {
				return nil
			}
		}
		if page.Pagination.NextCursor == "" {
			return nil
		}
		request.Cursor = page.Pagination.NextCursor
	}
}

func (e *eventsCmd) table(s *session, c *client.Client, request client.EventsRequest) error {
	// Widths need the rows, so a long list is drawn a page at a time.
	location, err := time.LoadLocation(e.TZ)
	if err != nil || e.TZ == "Local" {
		return usagef("--tz must be an IANA time zone such as Europe/Berlin")
	}
	page, shown := newEventTable(location), 0
	more := false
	for event, err := range c.Events(s.ctx, request) {
		if err != nil {
			return err
		}
		if e.Limit > 0 && shown == e.Limit {
			more = true
			break
		}
		page.add(eventRow(&event, location)...)
		shown++
		if len(page.rows) == pageSize {
			page.write(s.out, s.term)
			page = newEventTable(location)
		}
	}
	switch {
	case shown == 0:
		s.note("%s", e.nothing())
	case len(page.rows) > 0:
		page.write(s.out, s.term)
	}
	if more {
		s.note("There are more: -n shows more, -n 0 all.")
	}
	return nil
}

func newEventTable(location *time.Location) *table {
	return &table{columns: []column{
		{title: "TIME (" + location.String() + ")"},
		{title: "FEATURE", shrink: true},
		{title: "MODEL", shrink: true},
		{title: "INPUT", right: true, drop: 1},
		{title: "CACHED", right: true, drop: 5},
		{title: "OUTPUT", right: true, drop: 2},
		{title: "COST", right: true},
		{title: "SOURCE", drop: 4},
		{title: "LATENCY", right: true, drop: 6},
		{title: "STATUS", drop: 3},
		{title: "ID", drop: 7},
	}}
}

func eventRow(e *client.StoredEvent, location *time.Location) []string {
	status := "ok"
	if e.IsError {
		status = "error"
		if e.ErrorCode != "" {
			status = printable(e.ErrorCode)
		}
	}
	source := e.CostSource
	if e.Aggregate {
		source = "sum" // of its children, which have the cost
	}
	return []string{
		e.Timestamp.In(location).Format(time.DateTime), name(e.Feature), name(e.Model), count(e.InputTokens), count(e.CachedTokens), count(e.OutputTokens),
		exactly(e.Cost), printable(source), millis(float64(time.Duration(e.Latency).Microseconds()) / 1000), status, printable(e.ID),
	}
}

func (s *session) showEvent(e *client.StoredEvent) {
	fields := [][2]string{
		{"id", e.ID},
		{"project", e.Project},
		{"time", e.Timestamp.UTC().Format(time.RFC3339Nano)},
		{"feature", e.Feature},
		{"provider", e.Provider},
		{"model", e.Model},
		{"tier", e.ServiceTier},
		{"region", e.Region},
		{"trace", e.TraceID},
		{"span", e.SpanID},
		{"parent span", e.ParentSpanID},
		{"name", e.Name},
		{"operation", e.Operation},
		{"user", e.UserID},
		{"session", e.SessionID},
		{"department", e.Department},
		{"environment", e.Environment},
		{"latency", e.Latency.String()},
		{"error", e.ErrorCode},
		{"cost source", e.CostSource},
		{"price", e.PriceID},
		{"prompt id", e.PromptID},
	}
	tags := make([]string, 0, len(e.Tags))
	for tag, value := range e.Tags {
		tags = append(tags, tag+"="+value)
	}
	slices.Sort(tags)
	fields = append(fields, [2]string{"tags", strings.Join(tags, ", ")})
	for _, f := range fields {
		if f[1] != "" {
			fmt.Fprintf(s.out, "%-12s %s\n", f[0], printable(f[1]))
		}
	}
	if e.Prompt != "" {
		fmt.Fprintf(s.out, "%-12s %s\n", "prompt", printable(e.Prompt))
	}
	if e.Aggregate {
		fmt.Fprintln(s.out, "It only sums its children and is left out of totals.")
	}
	fmt.Fprintln(s.out)
	s.priceLines(e.Lines, e.Cost)
	for _, h := range e.History {
		if h.Marked {
			fmt.Fprintf(s.out, "Until %s UTC it counted with %s, then it became a sum of its children\n", clock(h.At.UTC()), exactly(h.Cost))
			continue
		}
		fmt.Fprintf(s.out, "Until %s UTC it cost %s (%s), then %s (%s)\n", clock(h.At.UTC()), exactly(h.Cost), printable(h.CostSource), exactly(h.NewCost), printable(h.Reason))
	}
}

// priceLines draws quantity × price ÷ per = amount, and their sum.
func (s *session) priceLines(lines []client.Line, cost client.USD) {
	t := &table{columns: []column{
		{title: "UNIT"},
		{title: "QUANTITY", right: true},
		{title: "PRICE", right: true},
		{title: "PER", right: true},
		{title: "AMOUNT", right: true},
		{title: "", shrink: true},
	}}
	for _, l := range lines {
		note := ""
		if l.Fallback != "" {
			note = "no price of its own for this " + printable(l.Fallback)
		}
		t.add(printable(l.Unit), count(l.Quantity), exactly(l.Price), count(l.Per), exactly(l.Amount), note)
	}
	t.add("cost", "", "", "", exactly(cost), "")
	t.write(s.out, s.term)
}
