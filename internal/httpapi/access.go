package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// APIKey is a key as it is listed: never its secret.
type APIKey struct {
	ID       string     `json:"id"`
	Name     string     `json:"name,omitempty"`
	Hint     string     `json:"hint" doc:"The first characters of the secret, to tell keys apart."`
	Role     auth.Role  `json:"role" enum:"ingest,viewer,editor,admin"`
	Project  string     `json:"project,omitempty" doc:"Its one project; absent for all."`
	State    auth.State `json:"state" enum:"active,expired,revoked"`
	Created  time.Time  `json:"created"`
	By       string     `json:"createdBy"`
	Expires  time.Time  `json:"expires,omitzero"`
	Revoked  time.Time  `json:"revoked,omitzero"`
	LastUsed time.Time  `json:"lastUsed,omitzero" doc:"To about half a minute."`
	OldUntil time.Time  `json:"previousUntil,omitzero" doc:"Until when the secret before the last rotation is good."`
}

// madeKey is a key with its secret, which is shown this once.
type madeKey struct {
	APIKey
	Secret  string `json:"secret" doc:"Shown this once; only a hash of it is kept."`
	Warning string `json:"warning,omitempty" doc:"A sentence for whoever made the key."`
}

func (s *server) keyJSON(k *store.Key) APIKey {
	return APIKey{
		ID: k.ID, Name: k.Name, Hint: k.Hint, Role: auth.Role(k.Role), Project: k.Project, State: auth.StateOf(k, s.now()), By: k.CreatedBy,
		Created: k.Created.UTC(), Expires: k.Expires, Revoked: k.Revoked, LastUsed: k.LastUsed, OldUntil: k.PreviousUntil,
	}
}

func (s *server) accessRoutes() []*route {
	made := s.envelope(schemaOf[madeKey](s), nil)
	role := text("ingest", "viewer", "editor", "admin")
	most := float64(auth.MaxGrace / time.Second)
	least := 0.0
	expires := &huma.Schema{Type: huma.TypeString, Format: "date-time", Description: "When it ends: an RFC 3339 instant. Without it, never."}
	return []*route{
		{
			id: "list-keys", method: http.MethodGet, path: "/api/v1/admin/keys", tag: "Access", need: auth.Administer,
			summary: "API keys, oldest first", doc: "Revoked ones included; secrets are not kept. Who belongs to one project sees its keys only.",
			params: pageParams, status: http.StatusOK, answer: s.envelope(arrayOf(schemaOf[APIKey](s)), nil, paged),
			errors: []int{http.StatusGone}, serve: s.listKeys,
		},
		{
			id: "create-key", method: http.MethodPost, path: "/api/v1/admin/keys", tag: "Access", need: auth.Administer,
			summary: "Make an API key",
			doc:     "The secret is shown in this answer only. The first key closes an open server at once, and for ever.",
			body: jsonBody(&huma.Schema{
				Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"role"},
				Properties: map[string]*huma.Schema{
					"name": atMost(usage.MaxIDLength), "role": role, "project": atMost(usage.MaxIDLength), "expires": expires,
				},
			}),
			status: http.StatusCreated, answer: made, errors: []int{http.StatusConflict, http.StatusServiceUnavailable}, serve: s.createKey,
		},
		{
			id: "rotate-key", method: http.MethodPost, path: "/api/v1/admin/keys/{id}/rotate", tag: "Access", need: auth.Administer,
			summary: "Give a key a new secret", doc: "The one before stays good for graceSeconds, so that nothing stops while clients change over.",
			body: optionalBody(&huma.Schema{
				Type: huma.TypeObject, AdditionalProperties: false,
				Properties: map[string]*huma.Schema{"graceSeconds": {Type: huma.TypeInteger, Minimum: &least, Maximum: &most, Default: 0}},
			}),
			status: http.StatusOK, answer: made, errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable}, serve: s.rotateKey,
		},
		{
			id: "revoke-key", method: http.MethodDelete, path: "/api/v1/admin/keys/{id}", tag: "Access", need: auth.Administer,
			summary: "Revoke a key", doc: "For ever, and at once on this server; within two seconds on others of the same database.",
			status: http.StatusNoContent, errors: []int{http.StatusNotFound, http.StatusServiceUnavailable}, serve: s.revokeKey,
		},
		{
			id: "list-audit", method: http.MethodGet, path: "/api/v1/admin/audit", tag: "Access", need: auth.Administer, everywhere: true,
			summary: "What was changed, by whom, newest first",
			params:  pageParams, status: http.StatusOK, answer: s.envelope(arrayOf(schemaOf[auditEntry](s)), nil, paged), serve: s.listAudit,
		},
		s.backupRoute(),
		s.listRetentionRoute(), s.putRetentionRoute(), s.eraseRoute(), s.listCaptureRoute(), s.putCaptureRoute(),
		{
			id: "create-session", method: http.MethodPost, path: "/api/v1/session", tag: "Access", need: auth.Public,
			summary: "Sign a browser in",
			doc: "Exchanges the credential of the headers, a key or a token, for a cookie that pages, streams and WebSockets of an allowed origin may use. " +
				"It ends after 12 hours, or with the key or token.",
			status: http.StatusOK, answer: s.envelope(schemaOf[sessionAnswer](s), nil), errors: []int{http.StatusUnauthorized, http.StatusServiceUnavailable}, serve: s.createSession,
		},
		{
			id: "get-session", method: http.MethodGet, path: "/api/v1/session", tag: "Access", need: auth.Public,
			summary: "Who asks, and what they may do", status: http.StatusOK, answer: s.envelope(schemaOf[sessionAnswer](s), nil),
			errors: []int{http.StatusUnauthorized}, serve: s.getSession,
		},
		{
			id: "delete-session", method: http.MethodDelete, path: "/api/v1/session", tag: "Access", need: auth.Public,
			summary: "Sign a browser out", doc: "Takes the cookie back and ends the session, for copies of the cookie too: at once on this server, within two seconds on others of the same database.",
			status: http.StatusNoContent, errors: []int{http.StatusServiceUnavailable}, serve: s.deleteSession,
		},
	}
}

func optionalBody(schema *huma.Schema) *huma.RequestBody {
	b := jsonBody(schema)
	b.Required = false
	return b
}

func (s *server) listKeys(c *call) (*reply, error) {
	limit := c.q.limit()
	cur := readCursor(c.q, shapeOf("keys", c.who().Project))
	if err := c.q.err(); err != nil {
		return nil, err
	}
	keys := s.auth.List(c.who())
	rest, next, err := pageOf(keys, cur.Last, limit, func(k store.Key) string { return k.ID })
	if err != nil {
		return nil, err
	}
	if next != "" {
		next = cursor{Shape: shapeOf("keys", c.who().Project), Last: next}.String()
	}
	data := make([]APIKey, len(rest))
	for i := range rest {
		data[i] = s.keyJSON(&rest[i])
	}
	return &reply{Data: data, Pagination: pages(next)}, nil
}

// pageOf cuts a page out of a list, behind the row with the id last; next is the
// id of its last row when there are more.
func pageOf[T any](list []T, last string, limit int, id func(T) string) (page []T, next string, err error) {
	if last != "" {
		at := -1
		for i := range list {
			if id(list[i]) == last {
				at = i
			}
		}
		if at < 0 {
			return nil, "", errStartAgain
		}
		list = list[at+1:]
	}
	if len(list) > limit {
		return list[:limit], id(list[limit-1]), nil
	}
	return list, "", nil
}

func (s *server) createKey(c *call) (*reply, error) {
	f, err := s.readObject(c)
	if err != nil {
		return nil, err
	}
	f.only("name", "role", "project", "expires")
	n := auth.NewKey{
		Name: f.text("name", 0, usage.MaxIDLength), Role: auth.Role(f.text("role", 1, usage.MaxIDLength)),
		Project: f.text("project", 0, usage.MaxIDLength), Expires: f.instant("expires"),
	}
	// A script whose variable is empty must not get a key for everything.
	if f.has("project") && strings.TrimSpace(n.Project) == "" {
		f.bad("project", "must name a project; leave it out for a key of all projects")
	}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	made, err := s.auth.Create(c, n, c.who())
	if err != nil {
		return nil, err
	}
	return &reply{status: http.StatusCreated, Data: madeKey{s.keyJSON(&made.Key), made.Secret, made.Warning}}, nil
}

func (s *server) rotateKey(c *call) (*reply, error) {
	var grace int64
	if c.ContentLength != 0 {
		f, err := s.readObject(c)
		if err != nil {
			return nil, err
		}
		f.only("graceSeconds")
		grace = f.count("graceSeconds")
	}
	if most := int64(auth.MaxGrace / time.Second); grace > most {
		c.q.bad("graceSeconds", fmt.Sprintf("must be at most %d", most))
	}
	if err := c.q.err(); err != nil {
		return nil, err
	}
	made, err := s.auth.Rotate(c, c.PathValue("id"), time.Duration(grace)*time.Second, c.who())
	if err != nil {
		return nil, notFound(err)
	}
	return &reply{Data: madeKey{s.keyJSON(&made.Key), made.Secret, made.Warning}}, nil
}

func (s *server) revokeKey(c *call) (*reply, error) {
	if err := c.q.err(); err != nil {
		return nil, err
	}
	return &reply{status: http.StatusNoContent}, notFound(s.auth.Revoke(c, c.PathValue("id"), c.who()))
}
