package calllog

import "strings"

// makers tell whose a model is by how its name begins, where a log does not
// say who served it. First match wins.
var makers = []struct{ prefix, provider string }{
	{"claude", "anthropic"},
	{"gpt-oss", ""},
	{"gpt-", "openai"},
	{"chatgpt-", "openai"},
	{"o1", "openai"},
	{"o3", "openai"},
	{"o4-", "openai"},
	{"text-embedding-3", "openai"},
	{"text-embedding-ada", "openai"},
	{"dall-e", "openai"},
	{"whisper", "openai"},
	{"tts-", "openai"},
	{"davinci", "openai"},
	{"codex-", "openai"},
	{"computer-use-preview", "openai"},
	{"omni-moderation", "openai"},
	{"babbage", "openai"},
	{"gemini", "google"},
	{"imagen", "google"},
	{"veo", "google"},
	{"text-embedding-00", "google"},
	{"deepseek-chat", "deepseek"},
	{"deepseek-reasoner", "deepseek"},
	{"grok", "xai"},
	{"mistral-", "mistral"},
	{"magistral", "mistral"},
	{"codestral", "mistral"},
	{"ministral", "mistral"},
	{"pixtral", "mistral"},
	{"devstral", "mistral"},
	{"sonar", "perplexity"},
	{"command-", "cohere"},
	{"embed-english", "cohere"},
	{"embed-multilingual", "cohere"},
	{"rerank-", "cohere"},
	{"kimi-", "moonshotai"},
	{"moonshot-", "moonshotai"},
	{"glm-", "zai"},
	{"voyage-", "voyageai"},
	{"nova-", "aws"},
	{"amazon.", "aws"},
	{"anthropic.", "aws"},
	{"us.anthropic.", "aws"},
	{"eu.anthropic.", "aws"},
	{"global.anthropic.", "aws"},
	{"apac.anthropic.", "aws"},
}

// routes are what stands before a slash in names that gateways use.
var routes = map[string]string{
	"openai": "openai", "azure": "azure", "azure_ai": "azure", "anthropic": "anthropic", "bedrock": "aws", "aws": "aws", "vertex_ai": "google",
	"gemini": "google", "google": "google", "groq": "groq", "mistral": "mistral", "deepseek": "deepseek", "xai": "xai", "openrouter": "openrouter",
	"together_ai": "together", "fireworks_ai": "fireworks", "perplexity": "perplexity", "cohere": "cohere", "ollama": "ollama",
}

// ProviderOf guesses who served a model from its name, "" when nothing tells.
func ProviderOf(model string) string {
	name := strings.ToLower(model)
	if before, after, ok := strings.Cut(name, "/"); ok {
		if p := routes[before]; p != "" {
			return p
		}
		name = after
	}
	name = strings.TrimPrefix(name, "ft:")
	for _, m := range makers {
		if strings.HasPrefix(name, m.prefix) {
			return m.provider
		}
	}
	return ""
}

// hosts tell who served a call by what its address holds.
var hosts = []struct{ part, provider string }{
	{"openai.azure.com", "azure"},
	{"cognitiveservices.azure.com", "azure"},
	{"services.ai.azure.com", "azure"},
	{"bedrock", "aws"},
	{"aiplatform.googleapis.com", "google"},
	{"generativelanguage.googleapis.com", "google"},
	{"api.openai.com", "openai"},
	{"api.anthropic.com", "anthropic"},
	{"openrouter.ai", "openrouter"},
	{"api.deepseek.com", "deepseek"},
	{"api.groq.com", "groq"},
	{"api.mistral.ai", "mistral"},
	{"api.x.ai", "xai"},
	{"api.together", "together"},
	{"api.fireworks.ai", "fireworks"},
	{"api.perplexity.ai", "perplexity"},
	{"api.moonshot", "moonshotai"},
	{"api.z.ai", "zai"},
}

// ProviderAt says who serves an address, "" when nothing tells.
func ProviderAt(address string) string {
	address = strings.ToLower(address)
	for _, h := range hosts {
		if strings.Contains(address, h.part) {
			return h.provider
		}
	}
	return ""
}
