package prompts

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/redact"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

// settings are those of a ledger, which several servers may share.
type settings struct {
	mu     sync.Mutex
	values map[string]string
	audit  []store.AuditEntry
	// err is what every method answers, while it is set; initErr what InitSetting does.
	err, initErr error
	// between is called once before a change is looked at.
	between func()
}

func (s *settings) GetSetting(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[name]
	switch {
	case s.err != nil:
		return nil, s.err
	case !ok:
		return nil, fault.New(fault.NotFound, "none")
	}
	return []byte(v), nil
}

func (s *settings) InitSetting(_ context.Context, name string, value []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.err, s.initErr); err != nil {
		return nil, err
	}
	if s.values == nil {
		s.values = map[string]string{}
	}
	if _, ok := s.values[name]; !ok {
		s.values[name] = string(value)
	}
	return []byte(s.values[name]), nil
}

func (s *settings) ReplaceSetting(_ context.Context, name string, was, now []byte, entry store.AuditEntry) error {
	if f := s.between; f != nil {
		s.between = nil
		f()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.values[name] != string(was) {
		return fault.New(fault.Conflict, "changed")
	}
	s.values[name] = string(now)
	s.audit = append(s.audit, entry)
	return nil
}

func open(t *testing.T, in *settings, change ...func(*Params)) *Service {
	t.Helper()
	p := Params{Settings: in, Secrets: in, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&p)
	}
	s, err := Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Service, c Capture) {
	t.Helper()
	if _, err := s.Put(t.Context(), c, "ann"); err != nil {
		t.Fatal(err)
	}
}

func applied(s *Service, project, prompt string) usage.Event {
	e := usage.Event{Project: project, Prompt: prompt}
	s.Apply(&e)
	return e
}

func TestIDs(t *testing.T) {
	in := &settings{}
	s := open(t, in)
	a, b := applied(s, "a", "write to ann@example.com"), applied(s, "a", "write to bob@example.com")
	if a.PromptID != b.PromptID || a.PromptID == (usage.ID{}) || a.PromptBytes != int64(len("write to [email]")) || a.Prompt != "" {
		t.Errorf("%+v\n%+v", a, b)
	}
	if other := applied(s, "b", "write to ann@example.com"); other.PromptID == a.PromptID {
		t.Error("two projects share an id")
	}
	if other := applied(s, "a", "Write to ann@example.com"); other.PromptID == a.PromptID {
		t.Error("two texts share an id")
	}
	// The boundary between project and text does not move.
	if applied(s, "ab", "c").PromptID == applied(s, "a", "bc").PromptID {
		t.Error("a project's name can be told as text")
	}
	if again := applied(open(t, in), "a", "write to ann@example.com"); again.PromptID != a.PromptID {
		t.Error("another server gives another id")
	}
	if other := applied(open(t, &settings{}), "a", "write to ann@example.com"); other.PromptID == a.PromptID {
		t.Error("another ledger gives the same id")
	}
	if none := applied(s, "a", ""); none.PromptID != (usage.ID{}) || none.PromptBytes != 0 {
		t.Errorf("no prompt: %+v", none)
	}
	// A known value: a change would make every prompt another one.
	in.values[KeySetting] = strings.Repeat("k", 32)
	if got := applied(open(t, in), "shop", "hello").PromptID.String(); got != "e737a3b7c46427171e219c398341d13c" {
		t.Errorf("id %s", got)
	}
}

func TestKeep(t *testing.T) {
	s := open(t, &settings{})
	put(t, s, Capture{Project: "a", Capture: true})
	always := open(t, &settings{}, func(p *Params) { p.Always = true })
	put(t, always, Capture{Project: "b", Capture: false})
	all := open(t, &settings{}, func(p *Params) { p.Always = true })
	put(t, all, Capture{Capture: false})
	for name, c := range map[string]struct {
		s       *Service
		project string
		want    bool
	}{
		"set": {s, "a", true}, "not set": {s, "b", false}, "always": {always, "a", true}, "always but one": {always, "b", false}, "set for all": {all, "a", false},
	} {
		e := applied(c.s, c.project, "text of ann@example.com")
		if got := e.Prompt == "text of [email]"; got != c.want || !got && e.Prompt != "" || e.PromptID == (usage.ID{}) {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// What was set for all projects is redacted in every one.
func TestPatternsAddUp(t *testing.T) {
	s := open(t, &settings{})
	put(t, s, Capture{Redact: []redact.Pattern{{Name: "all", Pattern: "A+"}}})
	put(t, s, Capture{Project: "b", Capture: true, Redact: []redact.Pattern{{Name: "own", Pattern: "B+"}}})
	sent := map[string]string{"x": "AABB"}
	for project, want := range map[string]string{"b": "[all][own]", "c": "[all]BB"} {
		e := usage.Event{Project: project, ErrorCode: "AABB", Metadata: json.RawMessage(`{"x":["AABB"]}`), Tags: sent, Prompt: "AABB"}
		s.Apply(&e)
		if e.ErrorCode != want || string(e.Metadata) != `{"x":["`+want+`"]}` || e.Tags["x"] != want || e.PromptBytes != int64(len(want)) {
			t.Errorf("%s: %+v", project, e)
		}
	}
	if sent["x"] != "AABB" {
		t.Error("the sender's tags were changed")
	}
}

func TestPut(t *testing.T) {
	in := &settings{}
	s, other := open(t, in), open(t, in)
	put(t, s, Capture{Project: "a", Capture: true, Redact: []redact.Pattern{{Name: "secret-project", Pattern: "Manhattan"}}})
	// Another server sets something at the same moment; neither change is lost.
	in.between = func() { put(t, other, Capture{Project: "b", Capture: true}) }
	put(t, s, Capture{Project: "c", Capture: true})
	list, err := s.List(t.Context(), "")
	if err != nil || len(list) != 4 || list[0].Project != "" || list[1].Project != "a" || list[2].Project != "b" || list[3].Project != "c" {
		t.Fatalf("%+v, %v", list, err)
	}
	if list, err := s.List(t.Context(), "b"); err != nil || len(list) != 2 || list[1].Project != "b" {
		t.Fatalf("%+v, %v", list, err)
	}
	entry := in.audit[0]
	if entry.Actor != "ann" || entry.Action != "prompts.capture" || strings.Contains(string(entry.Detail), "Manhattan") || !strings.Contains(string(entry.Detail), "secret-project") {
		t.Errorf("audit: %s %s %s", entry.Actor, entry.Action, entry.Detail)
	}
	if _, err := s.Put(t.Context(), Capture{Redact: []redact.Pattern{{Name: "x", Pattern: "("}}}, "ann"); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("a bad pattern: %v", err)
	}
	// When the ledger takes nothing, what held before holds.
	in.err = fault.New(fault.Unavailable, "down")
	if _, err := s.Put(t.Context(), Capture{Project: "a"}, "ann"); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
	if e := applied(s, "a", "x"); e.Prompt != "x" {
		t.Errorf("%+v", e)
	}
}

// What one server sets the others know within seconds, and a look that fails
// leaves what was read.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &settings{}
		s, other := open(t, in), open(t, in)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = other.Run(ctx) }()
		put(t, s, Capture{Project: "a", Capture: true})
		time.Sleep(followEvery + time.Millisecond)
		synctest.Wait()
		if e := applied(other, "a", "x"); e.Prompt != "x" {
			t.Error("the other server does not know")
		}
		in.mu.Lock()
		in.err = fault.New(fault.Unavailable, "down")
		in.mu.Unlock()
		time.Sleep(5 * followEvery)
		synctest.Wait()
		if e := applied(other, "a", "x"); e.Prompt != "x" {
			t.Error("a failed look forgot what was set")
		}
	})
}

// While the ledger takes no key nothing is named or kept, and all is redacted;
// afterwards it is.
func TestNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &settings{initErr: &fault.Error{Code: fault.Unavailable, Message: "no room"}}
		s := open(t, in, func(p *Params) { p.Always = true })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = s.Run(ctx) }()
		if e := applied(s, "a", "ann@example.com"); e.Prompt != "" || e.PromptID != (usage.ID{}) || e.PromptBytes != int64(len("[email]")) {
			t.Errorf("%+v", e)
		}
		in.mu.Lock()
		in.initErr = nil
		in.mu.Unlock()
		time.Sleep(followEvery + time.Millisecond)
		synctest.Wait()
		if e := applied(s, "a", "x"); e.Prompt != "x" || e.PromptID == (usage.ID{}) {
			t.Errorf("%+v", e)
		}
	})
	if _, err := Open(t.Context(), Params{Settings: &settings{values: map[string]string{captureSetting: "{"}}, Secrets: &settings{}, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a setting that cannot be read is taken for none")
	}
}

func TestWithoutTextNoMemory(t *testing.T) {
	s := open(t, &settings{})
	e := usage.Event{Project: "a", Tags: map[string]string{"team": "blue", "version": "1.2.3"}, ErrorCode: "429"}
	if n := testing.AllocsPerRun(100, func() { s.Apply(&e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
