package httpapi

import (
	"context"
	"encoding/json"
	"time"

	"github.com/costprof/costprof/internal/store"
)

// Audit is the log of changes.
type Audit interface {
	AppendAudit(ctx context.Context, entry store.AuditEntry) error
	ListAudit(ctx context.Context, below int64, limit int) ([]store.AuditEntry, error)
}

// auditEntry is one change.
type auditEntry struct {
	ID     int64           `json:"id"`
	At     time.Time       `json:"at"`
	Actor  string          `json:"actor" doc:"Who changed it: a key, a person, or a job."`
	Action string          `json:"action"`
	Detail json.RawMessage `json:"detail,omitempty"`
}

func (s *server) listAudit(c *call) (*reply, error) {
	limit := c.q.limit()
	shape := shapeOf("audit")
	cur := readCursor(c.q, shape)
	if err := c.q.err(); err != nil {
		return nil, err
	}
	entries, err := s.audit.ListAudit(c, cur.Below, limit+1)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(entries) > limit {
		entries = entries[:limit]
		next = cursor{Shape: shape, Below: entries[limit-1].ID}.String()
	}
	data := make([]auditEntry, len(entries))
	for i, e := range entries {
		data[i] = auditEntry{e.ID, e.At.UTC(), e.Actor, e.Action, e.Detail}
	}
	return &reply{Data: data, Pagination: pages(next)}, nil
}
