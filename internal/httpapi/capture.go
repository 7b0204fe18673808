package httpapi

import (
	"context"
	stdjson "encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/prompts"
	"github.com/costprof/costprof/internal/redact"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Capture is what happens to projects' texts before they are stored.
type Capture interface {
	List(ctx context.Context, project string) ([]prompts.Capture, error)
	Put(ctx context.Context, c prompts.Capture, actor string) (prompts.Capture, error)
}

// promptOf is the text of an event's prompt, "" when it is not kept.
func (s *server) promptOf(ctx context.Context, r *usage.Record) (string, error) {
	if r.PromptID == (usage.ID{}) {
		return "", nil
	}
	p, err := store.GetPrompt(ctx, s.texts, r.Project, r.PromptID)
	if fault.CodeOf(err) == fault.NotFound {
		return "", nil
	}
	return p.Text, err
}

// captureJSON is one setting.
type captureJSON struct {
	Project string           `json:"project,omitempty" doc:"Absent: all projects that have none of their own."`
	Capture bool             `json:"capture" doc:"Whether the texts of prompts are kept. Otherwise only a keyed hash and the length are."`
	Redact  []redact.Pattern `json:"redact" doc:"Patterns beside the built-in rules. Those for all projects hold in every project, before its own."`
}

func captureOf(c prompts.Capture) captureJSON {
	out := captureJSON{Project: c.Project, Capture: c.Capture, Redact: c.Redact}
	if out.Redact == nil {
		out.Redact = []redact.Pattern{}
	}
	return out
}

func (s *server) listCaptureRoute() *route {
	return &route{
		id: "list-capture", method: http.MethodGet, path: "/api/v1/admin/capture", tag: "Access", need: auth.Administer,
		summary: "Which projects keep prompts, and what is redacted there beside the built-in rules",
		doc:     "What holds for all projects without a setting of their own comes first. Who belongs to one project sees what holds for it.",
		status:  http.StatusOK, answer: s.envelope(arrayOf(schemaOf[captureJSON](s)), nil), serve: s.listCapture,
	}
}

func (s *server) putCaptureRoute() *route {
	most := redact.MaxPatterns
	pattern := &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"name", "pattern"},
		Properties: map[string]*huma.Schema{"name": atMost(redact.MaxNameLength), "pattern": atMost(redact.MaxPatternLength)},
	}
	return &route{
		id: "put-capture", method: http.MethodPut, path: "/api/v1/admin/capture", tag: "Access", need: auth.Administer,
		summary: "Say whether a project keeps prompts, and what is redacted there",
		doc: "Replaces the setting of the project, or, without one, that for all projects without their own (for who belongs to one project: of that). " +
			"A pattern is a regular expression (RE2); what it matches is replaced by its name in brackets, in prompts, metadata, values of tags and error codes. " +
			"It holds for events that arrive from then on: at once on this server, within seconds on others of the same database. What is stored already stays.",
		body: jsonBody(&huma.Schema{
			Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"capture"},
			Properties: map[string]*huma.Schema{
				"project": atMost(usage.MaxIDLength), "capture": {Type: huma.TypeBoolean},
				"redact": {Type: huma.TypeArray, Items: pattern, MaxItems: &most},
			},
		}),
		status: http.StatusOK, answer: s.envelope(schemaOf[captureJSON](s), nil),
		errors: []int{http.StatusServiceUnavailable}, serve: s.putCapture,
	}
}

func (s *server) listCapture(c *call) (*reply, error) {
	if err := c.q.err(); err != nil {
		return nil, err
	}
	list, err := s.capture.List(c, c.who().Project)
	if err != nil {
		return nil, err
	}
	data := make([]captureJSON, len(list))
	for i := range list {
		data[i] = captureOf(list[i])
	}
	return &reply{Data: data}, nil
}

func (s *server) putCapture(c *call) (*reply, error) {
	f, err := s.readObject(c)
	if err != nil {
		return nil, err
	}
	f.only("project", "capture", "redact")
	in := prompts.Capture{Project: f.text("project", 0, usage.MaxIDLength), Capture: f.flag("capture"), Redact: f.patterns("redact")}
	if f.has("project") && strings.TrimSpace(in.Project) == "" {
		f.bad("project", "must name a project; leave it out for all projects without a setting of their own")
	}
	if !f.has("capture") {
		f.bad("capture", "is required")
	}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	if own := c.who().Project; own != "" {
		if in.Project != "" && in.Project != own {
			return nil, errForeignProject
		}
		in.Project = own
	}
	put, err := s.capture.Put(c, in, c.who().Actor)
	if err != nil {
		return nil, err
	}
	return &reply{Data: captureOf(put)}, nil
}

// patterns reads a list of patterns; what they must be is said by whoever makes
// rules of them.
func (f *fields) patterns(name string) []redact.Pattern {
	if !f.has(name) {
		return nil
	}
	var list []stdjson.RawMessage
	if f.values[name].Kind() != '[' || stdjson.Unmarshal(f.values[name], &list) != nil {
		f.bad(name, "must be a list")
		return nil
	}
	if len(list) > redact.MaxPatterns {
		f.bad(name, fmt.Sprintf("must have at most %d patterns", redact.MaxPatterns))
		return nil
	}
	out := make([]redact.Pattern, len(list))
	for i, v := range list {
		o, err := f.q.object(fmt.Sprintf("%s[%d]", f.path(name), i), jsontext.Value(v))
		if err != nil {
			f.bad(fmt.Sprintf("%s[%d]", name, i), "must be an object")
			continue
		}
		o.only("name", "pattern")
		out[i] = redact.Pattern{Name: o.text("name", 1, redact.MaxNameLength), Pattern: o.text("pattern", 1, redact.MaxPatternLength)}
	}
	return out
}
