package fault

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestErrorKeepsItsCause(t *testing.T) {
	e := New(NotFound, "There is no event %q", "x")
	if e.Error() != `There is no event "x"` {
		t.Errorf("text %q", e.Error())
	}
	e.Err = io.ErrUnexpectedEOF
	if e.Error() != `There is no event "x": unexpected EOF` || !errors.Is(e, io.ErrUnexpectedEOF) {
		t.Errorf("with a cause %q", e.Error())
	}
}

func TestCodeOf(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want Code
	}{
		"its own":          {New(Gone, "gone"), Gone},
		"wrapped":          {fmt.Errorf("reading a page: %w", New(Gone, "gone")), Gone},
		"joined":           {errors.Join(io.EOF, New(Conflict, "taken")), Conflict},
		"the outer of two": {&Error{Code: Unavailable, Err: New(Internal, "broken")}, Unavailable},
		"none":             {io.EOF, Internal},
		"no error":         {nil, ""},
	} {
		if got := CodeOf(c.err); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestField(t *testing.T) {
	e := Field("limit", "must be between 1 and 1000")
	want := &Error{Code: Invalid, Message: "Validation failed", Details: map[string][]string{"limit": {"must be between 1 and 1000"}}}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}
