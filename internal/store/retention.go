package store

import "context"

// Retention says how long a project keeps what it was sent.
type Retention struct {
	// Project is the one it is for; "" for all that have none of their own.
	Project string
	// EventDays and PromptDays are how many days events and prompts are kept; 0 is
	// for ever, nil leaves it to what is for all projects.
	EventDays, PromptDays *int64
}

// Retentions keeps how long projects keep what.
type Retentions interface {
	// ListRetention returns what was set, by project in byte order.
	ListRetention(ctx context.Context) ([]Retention, error)
	// PutRetention stores or replaces that of a project, in one transaction with its
	// audit entry. One that leaves everything to what is for all is removed.
	PutRetention(ctx context.Context, r Retention, entry AuditEntry) error
}
