package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/retention"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// Retention is how long projects keep what.
type Retention interface {
	List(ctx context.Context, project string) ([]retention.Setting, error)
	Put(ctx context.Context, r store.Retention, actor string) (retention.Setting, error)
	Erase(ctx context.Context, who store.Erasure, actor string) (store.Run, error)
}

// retentionJSON is one setting.
type retentionJSON struct {
	Project       string     `json:"project,omitempty" doc:"Absent: all projects that have none of their own."`
	EventDays     *int64     `json:"eventDays" doc:"How many days events are kept; 0 is for ever, null leaves it to the setting for all projects. Without any, events are kept for ever."`
	PromptDays    *int64     `json:"promptDays" doc:"How long the texts of prompts are kept after the last call that had them; never longer than events."`
	RemovedBefore *time.Time `json:"removedBefore,omitempty" doc:"Events from before it were removed, and none as old is accepted any more."`
}

func retentionOf(r retention.Setting) retentionJSON {
	out := retentionJSON{Project: r.Project, EventDays: r.EventDays, PromptDays: r.PromptDays}
	if !r.RemovedBefore.IsZero() {
		at := r.RemovedBefore.UTC()
		out.RemovedBefore = &at
	}
	return out
}

func (s *server) listRetentionRoute() *route {
	return &route{
		id: "list-retention", method: http.MethodGet, path: "/api/v1/admin/retention", tag: "Access", need: auth.Administer,
		summary: "How long projects keep what, by project",
		doc:     "Also projects of which something was removed. Who belongs to one project sees what holds for it.",
		status:  http.StatusOK, answer: s.envelope(arrayOf(schemaOf[retentionJSON](s)), nil), serve: s.listRetention,
	}
}

func (s *server) putRetentionRoute() *route {
	least, most := 0.0, float64(retention.MaxDays)
	days := &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most, Nullable: true}
	return &route{
		id: "put-retention", method: http.MethodPut, path: "/api/v1/admin/retention", tag: "Access", need: auth.Administer,
		summary: "Say how long a project keeps what",
		doc: "Replaces the setting of the project, or, without one, that for all projects without their own (for who belongs to one project: of that). " +
			"Events older than that are refused from then on, and removed in the background by whole UTC days. What was removed does not come back. " +
			"The sums of removed days stay and answer as before; where they cannot, meta.truncatedBefore says so.",
		body: jsonBody(&huma.Schema{
			Type: huma.TypeObject, AdditionalProperties: false,
			Properties: map[string]*huma.Schema{"project": atMost(usage.MaxIDLength), "eventDays": days, "promptDays": days},
			AnyOf:      []*huma.Schema{{Required: []string{"promptDays"}}, {Required: []string{"eventDays"}}},
		}),
		status: http.StatusOK, answer: s.envelope(schemaOf[retentionJSON](s), nil),
		errors: []int{http.StatusServiceUnavailable}, serve: s.putRetention,
	}
}

func (s *server) listRetention(c *call) (*reply, error) {
	if err := c.q.err(); err != nil {
		return nil, err
	}
	list, err := s.keeping.List(c, c.who().Project)
	if err != nil {
		return nil, err
	}
	data := make([]retentionJSON, len(list))
	for i := range list {
		data[i] = retentionOf(list[i])
	}
	return &reply{Data: data}, nil
}

func (s *server) putRetention(c *call) (*reply, error) {
	f, err := s.readObject(c)
	if err != nil {
		return nil, err
	}
	f.only("project", "eventDays", "promptDays")
	r := store.Retention{Project: f.text("project", 0, usage.MaxIDLength), EventDays: f.days("eventDays"), PromptDays: f.days("promptDays")}
	if f.has("project") && strings.TrimSpace(r.Project) == "" {
		f.bad("project", "must name a project; leave it out for all projects without a setting of their own")
	}
	_, events := f.values["eventDays"]
	if _, prompts := f.values["promptDays"]; !events && !prompts {
		f.bad("eventDays", "or promptDays is required")
	}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	if own := c.who().Project; own != "" {
		if r.Project != "" && r.Project != own {
			return nil, errForeignProject
		}
		r.Project = own
	}
	put, err := s.keeping.Put(c, r, c.who().Actor)
	if err != nil {
		return nil, err
	}
	return &reply{Data: retentionOf(put)}, nil
}

// days reads a number of days; nil when it is null or missing.
func (f *fields) days(name string) *int64 {
	if !f.has(name) {
		return nil
	}
	n := f.count(name)
	if n > retention.MaxDays {
		f.bad(name, "must be between 0 (for ever) and 36500, or null")
	}
	return &n
}

// erasureJSON is what was begun.
type erasureJSON struct {
	JobID  string          `json:"jobId" doc:"The run under /api/v1/jobs; it is done when the engine's files hold nothing of it either."`
	Result json.RawMessage `json:"result" doc:"events: how many events were the person's."`
}

func (s *server) eraseRoute() *route {
	return &route{
		id: "erase", method: http.MethodPost, path: "/api/v1/admin/erase", tag: "Access", need: auth.Administer,
		summary: "Erase a person",
		doc: "Removes, from the events of the project or of all projects, the id, the ids of the person's sessions, tags whose value is the id, and metadata. When it answers, no question finds them any more; the job then writes the engine's files anew. " +
			"No total moves, and a late retry of an erased event is a duplicate that brings nothing back. The audit log has a keyed hash of the id. What is sent later is stored as it is sent. Backups made before are not changed.",
		body: jsonBody(&huma.Schema{
			Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"userId"},
			Properties: map[string]*huma.Schema{"userId": name(usage.MaxIDLength), "project": atMost(usage.MaxIDLength)},
		}),
		status: http.StatusAccepted, answer: s.envelope(schemaOf[erasureJSON](s), nil),
		errors: []int{http.StatusServiceUnavailable}, serve: s.erase,
	}
}

func (s *server) erase(c *call) (*reply, error) {
	f, err := s.readObject(c)
	if err != nil {
		return nil, err
	}
	f.only("userId", "project")
	who := store.Erasure{UserID: f.text("userId", 1, usage.MaxIDLength), Project: f.text("project", 0, usage.MaxIDLength)}
	if f.has("project") && strings.TrimSpace(who.Project) == "" {
		f.bad("project", "must name a project; leave it out for all projects")
	}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	if own := c.who().Project; own != "" {
		if who.Project != "" && who.Project != own {
			return nil, errForeignProject
		}
		who.Project = own
	}
	run, err := s.keeping.Erase(c, who, c.who().Actor)
	if err != nil {
		return nil, err
	}
	return &reply{status: http.StatusAccepted, Data: erasureJSON{run.ID, run.Result}}, nil
}
