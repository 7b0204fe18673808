package litellm

import (
	"regexp"
	"strings"
)

// providers are the book's names of LiteLLM's providers where they differ, and
// which of several goes first where they come to the same.
var providers = map[string]struct {
	id   string
	rank int
}{
	"azure": {"azure", 0}, "azure_ai": {"azure", 1}, "azure_text": {"azure", 2},
	"bedrock_converse": {"aws", 0}, "bedrock": {"aws", 1}, "bedrock_mantle": {"aws", 2}, "amazon_nova": {"aws", 3},
	"openai": {"openai", 0}, "text-completion-openai": {"openai", 1},
	"gemini":       {"google", 0},
	"xai":          {"x-ai", 0},
	"fireworks_ai": {"fireworks", 0}, "fireworks_ai-embedding-models": {"fireworks", 1},
	"together_ai": {"together", 0},
	"mistral":     {"mistral", 0}, "codestral": {"mistral", 1}, "text-completion-codestral": {"mistral", 2},
	"cohere_chat": {"cohere", 0}, "cohere": {"cohere", 1},
	"moonshot":       {"moonshotai", 0},
	"voyage":         {"voyageai", 0},
	"bigmodel":       {"zhipuai", 0},
	"github_copilot": {"github-copilot", 0},
}

type placed struct {
	name
	region string
	rank   int
}

// maxLength bounds names, as the book does.
const maxLength = 256

var (
	cloudRegion = regexp.MustCompile(`^[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-?\d{1,2}$`)
	commitment  = regexp.MustCompile(`(?:^|/)\d+-month-commitment/|(?:^|/)ptu/`)
)

// place finds where an entry belongs in a book, or why nowhere.
func place(key, provider string) (placed, string) {
	provider = strings.TrimSpace(provider)
	switch {
	case provider == "":
		return placed{}, noProvider
	case len(key) > maxLength || len(provider) > maxLength:
		return placed{}, nameTooLong
	case commitment.MatchString(key):
		return placed{}, provisioned
	}
	p := placed{name: name{provider: provider, model: strings.TrimSpace(key)}}
	if known, ok := providers[provider]; ok {
		p.provider, p.rank = known.id, known.rank
	} else if strings.HasPrefix(provider, "vertex_ai") {
		p.provider, p.rank = "google", 1
	}
	// The provider before the model, as LiteLLM routes by it.
	prefixes := []string{provider + "/"}
	if strings.HasPrefix(provider, "vertex_ai") {
		prefixes = append(prefixes, "vertex_ai/")
	}
	if p.provider == "aws" {
		prefixes = append(prefixes, "bedrock/", "bedrock_mantle/")
	}
	if strings.HasPrefix(provider, "fireworks_ai") {
		prefixes = append(prefixes, "fireworks_ai/")
	}
	for _, prefix := range prefixes {
		if rest, ok := strings.CutPrefix(p.model, prefix); ok && rest != "" {
			p.model = rest
			break
		}
	}
	first, rest, slashed := strings.Cut(p.model, "/")
	switch {
	case !slashed || rest == "":
	case p.provider == "azure" && (first == "eu" || first == "us"), p.provider == "aws" && cloudRegion.MatchString(first):
		p.region, p.model = first, rest
	case p.provider == "azure" && (first == "global" || first == "global-standard"), p.provider == "aws" && first == "invoke":
		return placed{}, deployment
	}
	// Ollama's and others' names may end with a space or differ in case only.
	if p.model = strings.TrimSpace(p.model); p.model == "" {
		return placed{}, noProvider
	}
	p.model = strings.ToLower(p.model)
	return p, ""
}
