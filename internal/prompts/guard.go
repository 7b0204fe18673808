package prompts

import (
	"crypto/hmac"
	"crypto/sha256"
	"maps"

	"github.com/costprof/costprof/internal/redact"
	"github.com/costprof/costprof/internal/usage"
)

// Apply takes out of an event what must not be stored, and names its prompt: it
// redacts prompt, metadata, values of tags and error code, and drops the prompt's text unless
// the project keeps prompts. It implements ingest.Guard.
func (s *Service) Apply(e *usage.Event) {
	st := s.state.Load()
	rules, keep := st.of(e.Project)
	e.ErrorCode = rules.Text(e.ErrorCode)
	e.Metadata = rules.JSON(e.Metadata)
	s.tags(e, rules)
	if e.Prompt == "" {
		return
	}
	e.Prompt = rules.Text(e.Prompt)
	e.PromptBytes = int64(len(e.Prompt))
	if st.key == nil {
		e.Prompt = "" // without the key nothing can name it
		return
	}
	e.PromptID = promptID(st.key, e.Project, e.Prompt)
	if !keep {
		e.Prompt = ""
	}
}

// tags redacts the values of tags. The map is the sender's and may be judged once
// more: it is copied where it changes.
func (s *Service) tags(e *usage.Event, rules *redact.Rules) {
	copied := false
	for name, value := range e.Tags {
		clean := rules.Text(value)
		if clean == value {
			continue
		}
		if !copied {
			e.Tags, copied = maps.Clone(e.Tags), true
		}
		e.Tags[name] = clean
	}
}

// promptID names a redacted text: HMAC-SHA-256 under a key of the project, which
// is made of the ledger's secret, so that who has the ledger's files alone cannot
// try out texts where secrets are sealed, and nobody can tell that two projects
// have the same prompt.
func promptID(secret []byte, project, text string) usage.ID {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("costprof/prompt/1\x00" + project))
	mac = hmac.New(sha256.New, mac.Sum(nil))
	mac.Write([]byte(text))
	return usage.ID(mac.Sum(nil)[:16])
}
