package prompts

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/redact"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

const (
	// KeySetting is the name of the secret that the ids of prompts are made with.
	KeySetting = "prompts.key"
	// captureSetting is the name of what projects said about keeping prompts.
	captureSetting = "prompts.capture"
	// followEvery is how often is looked what other servers set, or what could not be
	// read.
	followEvery = 2 * time.Second
	// MaxCaptures is for how many projects something can be set.
	MaxCaptures = 1_000
)

// Capture says what happens to a project's texts.
type Capture struct {
	// Project is the one it is for; "" for all that have none of their own.
	Project string `json:"project"`
	// Capture says whether the texts of prompts are kept.
	Capture bool `json:"capture"`
	// Redact are patterns beside the built-in rules. Those for all projects hold in
	// every project, before its own.
	Redact []redact.Pattern `json:"redact,omitempty"`
}

// Params are what a Service is made of.
type Params struct {
	Settings store.Settings
	// Secrets keeps the key of ids.
	Secrets store.Settings
	// Always keeps the prompts of every project for which nothing was set.
	Always bool
	Now    func() time.Time
	Log    *slog.Logger
}

// Service guards what is stored of texts and keeps what projects said about
// that. It may be used from many goroutines.
type Service struct {
	Params
	state atomic.Pointer[state]
	// change lets one refresh or change after the other.
	change sync.Mutex
	// keyless: it was said that there is no key yet.
	keyless bool
}

// state is what holds at a moment.
type state struct {
	kept []byte // as it stands in the ledger; nil before it was ever set
	set  []Capture
	// rules and keep are those of the projects with a setting of their own; "" those
	// of all others.
	rules map[string]*redact.Rules
	keep  map[string]bool
	key   []byte // nil when it could not be read or made yet
}

func (s *state) of(project string) (*redact.Rules, bool) {
	if _, ok := s.keep[project]; !ok {
		project = ""
	}
	return s.rules[project], s.keep[project]
}

// Open reads what was set. A ledger that takes nothing now, for want of space, is
// no reason not to answer: the key is made once it does, and until then no prompt
// is named or kept.
func Open(ctx context.Context, p Params) (*Service, error) {
	s := &Service{Params: p}
	if err := s.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("read which prompts are kept: %w", err)
	}
	return s, nil
}

// Refresh reads what was set, here and by other servers.
func (s *Service) Refresh(ctx context.Context) error {
	s.change.Lock()
	defer s.change.Unlock()
	return s.refresh(ctx)
}

func (s *Service) refresh(ctx context.Context) error {
	was := s.state.Load()
	kept, err := s.Settings.GetSetting(ctx, captureSetting)
	if fault.CodeOf(err) == fault.NotFound {
		kept, err = nil, nil
	}
	if err != nil {
		return err
	}
	if was != nil && was.key != nil && string(kept) == string(was.kept) {
		return nil
	}
	now, err := s.read(kept)
	if err != nil {
		return err
	}
	if was != nil && was.key != nil {
		now.key = was.key
	} else if now.key, err = s.makeKey(ctx); err != nil {
		return err
	}
	s.state.Store(now)
	return nil
}

// makeKey gives the key of ids; nil when the ledger takes none now.
func (s *Service) makeKey(ctx context.Context) ([]byte, error) {
	key, err := s.Secrets.GetSetting(ctx, KeySetting)
	if fault.CodeOf(err) == fault.NotFound {
		var fresh [32]byte
		_, _ = rand.Read(fresh[:]) // never fails
		key, err = s.Secrets.InitSetting(ctx, KeySetting, fresh[:])
	}
	if fault.CodeOf(err) == fault.Unavailable {
		if !s.keyless {
			s.Log.Warn("the key of prompts could not be kept; until it is, prompts are neither named nor kept", "error", err)
		}
		s.keyless = true
		return nil, nil
	}
	return key, err
}

// read makes a state of what the ledger keeps.
func (s *Service) read(kept []byte) (*state, error) {
	st := &state{kept: kept, rules: map[string]*redact.Rules{"": nil}, keep: map[string]bool{"": s.Always}}
	if kept == nil {
		return st, nil
	}
	if err := json.Unmarshal(kept, &st.set); err != nil {
		return nil, fmt.Errorf("the setting %s: %w", captureSetting, err)
	}
	for _, c := range st.set {
		rules, err := redact.New("redact", c.Redact)
		if err != nil {
			// Another version may have known more rules: rather nothing is stored than
			// what they were there to take out.
			return nil, fmt.Errorf("the patterns of project %q: %w", c.Project, err)
		}
		st.rules[c.Project], st.keep[c.Project] = rules, c.Capture
	}
	for project, rules := range st.rules {
		if project != "" {
			st.rules[project] = redact.Join(st.rules[""], rules)
		}
	}
	return st, nil
}

// Run follows what other servers set. It ends with ctx.
func (s *Service) Run(ctx context.Context) error {
	t := time.NewTicker(followEvery)
	defer t.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		err := s.Refresh(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			s.Log.Warn("which prompts are kept could not be read; what was read last holds", "error", err)
		}
		failing = err != nil
	}
}

// List gives what was set, by project in byte order, that for all others first,
// which is always there; project "" alone asks for all.
func (s *Service) List(ctx context.Context, project string) ([]Capture, error) {
	if err := s.Refresh(ctx); err != nil {
		return nil, err
	}
	st := s.state.Load()
	out := []Capture{{Capture: st.keep[""]}}
	for _, c := range st.set {
		switch {
		case c.Project == "":
			out[0] = c
		case project == "" || c.Project == project:
			out = append(out, c)
		}
	}
	return out, nil
}

// Put replaces what is set for a project. From the return on it holds on this
// server, and within seconds on others of the same ledger.
func (s *Service) Put(ctx context.Context, c Capture, actor string) (Capture, error) {
	if len([]rune(c.Project)) > usage.MaxIDLength {
		return Capture{}, fault.Field("project", fmt.Sprintf("must have at most %d characters", usage.MaxIDLength))
	}
	if _, err := redact.New("redact", c.Redact); err != nil {
		return Capture{}, err
	}
	s.change.Lock()
	defer s.change.Unlock()
	for range 5 {
		err := s.put(ctx, c, actor)
		if fault.CodeOf(err) == fault.Conflict {
			continue // another server set something meanwhile
		}
		return c, err
	}
	return Capture{}, &fault.Error{Code: fault.Unavailable, Message: "what is kept of prompts is being changed by others; try again", RetryAfter: time.Second}
}

func (s *Service) put(ctx context.Context, c Capture, actor string) error {
	kept, err := s.Settings.GetSetting(ctx, captureSetting)
	if fault.CodeOf(err) == fault.NotFound {
		kept, err = s.Settings.InitSetting(ctx, captureSetting, []byte("[]"))
	}
	if err != nil {
		return err
	}
	st, err := s.read(kept)
	if err != nil {
		return err
	}
	was := Capture{Project: c.Project, Capture: st.keep[""]}
	set := map[string]Capture{}
	for _, other := range st.set {
		if set[other.Project] = other; other.Project == c.Project {
			was = other
		}
	}
	if set[c.Project] = c; len(set) > MaxCaptures {
		return fault.New(fault.Invalid, "There are settings for %d projects already, which is the most", MaxCaptures)
	}
	now := make([]Capture, 0, len(set))
	for _, project := range slices.Sorted(maps.Keys(set)) {
		now = append(now, set[project])
	}
	text, err := json.Marshal(now)
	if err != nil {
		return err
	}
	entry, err := store.NewAuditEntry(s.Now(), actor, "prompts.capture", map[string]any{
		"project": c.Project, "capture": c.Capture, "redact": names(c.Redact), "captureBefore": was.Capture, "redactBefore": names(was.Redact),
	})
	if err != nil {
		return err
	}
	if err := s.Settings.ReplaceSetting(ctx, captureSetting, kept, text, entry); err != nil {
		return err
	}
	return s.refresh(ctx)
}

// names are what the audit log says of patterns: one may hold what it is there to
// take out.
func names(patterns []redact.Pattern) []string {
	out := make([]string, len(patterns))
	for i, p := range patterns {
		out[i] = p.Name
	}
	return out
}
