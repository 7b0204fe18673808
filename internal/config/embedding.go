package config

import (
	"net/url"
	"strings"
)

func (c *Config) validateEmbedding() error {
	if c.OpenAIKey != strings.TrimSpace(c.OpenAIKey) || strings.ContainsFunc(c.OpenAIKey, func(r rune) bool { return r < ' ' || r > '~' }) {
		return bad("openai-api-key", "OPENAI_API_KEY", "must be without blanks around it, and of characters that a header can have")
	}
	if c.OpenAIBaseURL != "" {
		u, err := url.Parse(c.OpenAIBaseURL)
		// The URL is not repeated: it may hold what it should not.
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return bad("openai-base-url", "OPENAI_BASE_URL", "must be a URL such as https://host/v1, without a user, query or fragment")
		}
	}
	if c.EmbeddingModel == "" || len(c.EmbeddingModel) > 200 || strings.TrimSpace(c.EmbeddingModel) != c.EmbeddingModel {
		return bad("embedding-model", "EMBEDDING_MODEL", "must name a model, in at most 200 characters")
	}
	return nil
}
