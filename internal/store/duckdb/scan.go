package duckdb

import (
	"fmt"
	"time"
)

// timeScanner reads a UTC TIMESTAMP; NULL is the zero time.
type timeScanner struct{ t *time.Time }

func (s timeScanner) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*s.t = time.Time{}
	case time.Time:
		*s.t = v.UTC()
	default:
		return fmt.Errorf("time arrived as %T", v)
	}
	return nil
}
