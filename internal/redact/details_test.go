package redact

import (
	"errors"

	"github.com/costprof/costprof/internal/fault"
)

func details(err error) map[string][]string {
	var f *fault.Error
	errors.As(err, &f)
	return f.Details
}
