package demo

import (
	"fmt"
	"time"

	"github.com/costprof/costprof/client"
)

// feature is one place where the company uses AI.
type feature struct {
	name, department, team string
	// weight is how often it is used, beside the others'.
	weight int
	// job runs at night and has no user.
	job  bool
	make func(*generator, *act) []client.Event
}

var features = []feature{
	{name: "support-chat", department: "support", team: "helpdesk", weight: 240, make: supportChat},
	{name: "rag-search", department: "product", team: "search", weight: 110, make: ragSearch},
	{name: "code-review", department: "engineering", team: "platform", weight: 60, make: codeReview},
	{name: "research-agent", department: "research", team: "insights", weight: 14, make: researchAgent},
	{name: "document-extract", department: "operations", team: "back-office", weight: spikeShare, job: true, make: documentExtract},
	{name: "email-drafts", department: "sales", team: "outreach", weight: 90, make: emailDrafts},
	{name: "sql-assistant", department: "data", team: "analytics", weight: 45, make: sqlAssistant},
	{name: "meeting-notes", department: "sales", team: "field", weight: 25, make: meetingNotes},
	{name: "content-moderation", department: "trust", team: "safety", weight: 90, make: contentModeration},
	{name: "translation", department: "marketing", team: "localisation", weight: 50, make: translation},
	{name: "image-captions", department: "marketing", team: "catalogue", weight: 30, make: imageCaptions},
	{name: "ticket-routing", department: "support", team: "helpdesk", weight: 100, make: ticketRouting},
}

// spikeShare is the weight of the feature that runs away on one day.
const spikeShare = 60

func totalWeight() int {
	total := 0
	for i := range features {
		total += features[i].weight
	}
	return total
}

var (
	gpt41Mini = model{"openai", "gpt-4.1-mini", 350, 7_000}
	gpt5Mini  = model{"openai", "gpt-5-mini", 600, 8_000}
	gpt4o     = model{"openai", "gpt-4o", 420, 11_000}
	o4Mini    = model{"openai", "o4-mini", 900, 6_000}
	embedding = model{"openai", "text-embedding-3-small", 60, 0}
	sonnet    = model{"anthropic", "claude-sonnet-4-5", 900, 13_000}
	haiku     = model{"anthropic", "claude-haiku-4-5", 450, 6_000}
	flash     = model{"google", "gemini-2.5-flash", 300, 5_000}
	pro       = model{"google", "gemini-2.5-pro", 1200, 9_000}
	deepseek  = model{"deepseek", "deepseek-chat", 700, 16_000}
	mistral   = model{"mistral", "mistral-small-latest", 250, 6_000}
	bedrock   = model{"aws", "global.anthropic.claude-haiku-4-5-20251001-v1:0", 500, 7_000}
)

// bloatTag marks the version of the client that sends too much.
const bloatTag = "client"

// filler is a small call that stands alone.
func filler(g *generator, at time.Time) client.Event {
	f := &features[len(features)-1]
	return ticketRouting(g, g.begin(f, at))[0]
}

// supportChat is a conversation: every turn sends the turns before it again,
// most of them from the cache. Its fixed prompt is what grew.
func supportChat(g *generator, a *act) []client.Event {
	m := gpt41Mini
	if g.chance(150) {
		m = gpt4o
	}
	fixed := g.planted.Jump.Before
	if !a.at.Before(g.planted.Jump.Since) {
		fixed = g.planted.Jump.After
	}
	var events []client.Event
	history, offset := int64(0), time.Duration(0)
	for turn := range int(g.between(1, 5)) {
		question, answer := g.spread(60), g.spread(180)
		e := g.call(a, m, offset, fixed+history+question, answer)
		if turn > 0 {
			// Providers cache whole blocks of 128 tokens of what came before.
			e.CachedTokens = (fixed + history) / 128 * 128
		}
		e.Operation = "chat.reply"
		e.Prompt = supportQuestion(g)
		g.stream(&e, m)
		attempts := g.mayFail(a, e, 12)
		events = append(events, attempts...)
		history += question + answer
		offset = after(a, &attempts[len(attempts)-1]) + time.Duration(g.between(8, 90))*time.Second
	}
	return events
}

// ragSearch embeds the question, finds passages and answers from them.
func ragSearch(g *generator, a *act) []client.Event {
	question := g.spread(24)
	find := g.call(a, embedding, 0, question, 0)
	find.Operation, find.Name = "embed", "embed question"
	m := flash
	if g.chance(250) {
		m = haiku
	}
	answer := g.call(a, m, after(a, &find)+time.Duration(g.between(20, 120))*time.Millisecond, g.spread(3200)+question, g.spread(260))
	answer.Operation, answer.Name = "answer", "answer from passages"
	answer.Prompt = searchQuestion(g)
	g.stream(&answer, m)
	calls := append([]client.Event{find}, g.mayFail(a, answer, 10)...)
	return append([]client.Event{g.root(a, "search", calls)}, calls...)
}

// codeReview reads a change with a long cached rule book. One version of its
// client sends whole files instead of the change.
func codeReview(g *generator, a *act) []client.Event {
	const rules = 9_216
	change := g.spread(2600)
	if g.chance(25) {
		change = g.between(90_000, 150_000)
		a.tags = map[string]string{"team": a.f.team, "plan": a.tags["plan"], bloatTag: "2.3.0-whole-files"}
	}
	e := g.call(a, sonnet, 0, rules+change, g.spread(650))
	e.Operation = "review"
	e.Prompt = reviewRequest(g, a.tags[bloatTag] != "")
	if g.chance(820) {
		e.CachedTokens = rules
	} else {
		e.CacheWrite1hTokens = rules
	}
	g.stream(&e, sonnet)
	return g.mayFail(a, e, 15)
}

// researchAgent plans, searches the web and writes, step by step.
func researchAgent(g *generator, a *act) []client.Event {
	plan := g.call(a, o4Mini, 0, g.spread(1500), g.spread(1400))
	plan.Operation, plan.Name = "plan", "plan steps"
	plan.ReasoningTokens = plan.OutputTokens * 3 / 4
	calls := []client.Event{plan}
	context, offset := int64(1800), after(a, &plan)
	for step := range int(g.between(2, 7)) {
		e := g.call(a, gpt5Mini, offset, g.spread(context), g.spread(500))
		e.Operation, e.Name = "search", fmt.Sprintf("search the web, step %d", step+1)
		e.ReasoningTokens = e.OutputTokens / 2
		e.Usage = map[string]int64{"webSearches": g.between(1, 4)}
		attempts := g.mayFail(a, e, 30)
		calls = append(calls, attempts...)
		offset = after(a, &attempts[len(attempts)-1])
		context += 2200
	}
	write := g.call(a, sonnet, offset, g.spread(context), g.spread(1600))
	write.Operation, write.Name = "write", "write report"
	g.stream(&write, sonnet)
	calls = append(calls, write)
	return append([]client.Event{g.root(a, "research", calls)}, calls...)
}

// documentExtract is a nightly batch.
func documentExtract(g *generator, a *act) []client.Event {
	e := g.call(a, pro, 0, g.spread(14_000), g.spread(700))
	e.Operation, e.ServiceTier = "extract", "batch"
	e.ReasoningTokens = e.OutputTokens / 4
	e.Metadata = []byte(fmt.Sprintf(`{"document":"INV-%06d"}`, g.between(1, 999_999)))
	return g.mayFail(a, e, 8)
}

func emailDrafts(g *generator, a *act) []client.Event {
	e := g.call(a, gpt41Mini, 0, g.spread(420), g.spread(230))
	e.Operation = "draft"
	e.Prompt = emailRequest(g)
	return g.mayFail(a, e, 8)
}

// sqlAssistant writes the schema into the cache on every call, with a timestamp
// in front of it: no later call can read what was written.
func sqlAssistant(g *generator, a *act) []client.Event {
	const schema = 6_400
	e := g.call(a, haiku, 0, schema+g.spread(120), g.spread(190))
	e.Operation = "generate-sql"
	e.CacheWriteTokens = schema
	e.Prompt = sqlQuestion(g)
	return g.mayFail(a, e, 10)
}

// meetingNotes runs where the provider says what it charged, at a discount.
func meetingNotes(g *generator, a *act) []client.Event {
	e := g.call(a, bedrock, 0, g.spread(8_500), g.spread(600))
	e.Operation, e.Region = "summarize", "eu-central-1"
	// 0.88 and 4.40 USD per million tokens.
	nano := e.InputTokens*880 + e.OutputTokens*4400
	e.BilledCostUSD = nanoUSD(nano)
	events := g.mayFail(a, e, 10)
	for i := range events {
		if events[i].BilledCostUSD == "" {
			continue
		}
		if events[i].IsError {
			events[i].BilledCostUSD = nanoUSD(events[i].InputTokens * 880)
		}
	}
	return events
}

// contentModeration runs on a machine of the company's own.
func contentModeration(g *generator, a *act) []client.Event {
	m := model{g.planted.Unpriced.Provider, g.planted.Unpriced.Model, 90, 1_500}
	e := g.call(a, m, 0, g.spread(350), g.between(2, 12))
	e.Operation = "classify"
	return []client.Event{e}
}

func translation(g *generator, a *act) []client.Event {
	m, size := mistral, g.spread(700)
	if g.chance(400) {
		m = deepseek
	}
	e := g.call(a, m, 0, size+90, g.vary(size, 15))
	e.Operation = "translate"
	e.Tags = map[string]string{"team": a.f.team, "plan": a.tags["plan"], "language": oneOf(g, "de", "fr", "es", "ja", "pt-BR")}
	return g.mayFail(a, e, 20)
}

func imageCaptions(g *generator, a *act) []client.Event {
	image := oneOf(g, int64(258), 516, 1032)
	e := g.call(a, flash, 0, image+g.spread(80), g.spread(70))
	e.Operation, e.ServiceTier = "caption", "flex"
	e.Usage = map[string]int64{"inputImageTokens": image}
	return g.mayFail(a, e, 10)
}

func ticketRouting(g *generator, a *act) []client.Event {
	e := g.call(a, gpt41Mini, 0, g.spread(380), g.between(4, 20))
	e.Operation = "route"
	return []client.Event{e}
}

func nanoUSD(n int64) client.USD {
	return client.USD(fmt.Sprintf("%d.%09d", n/1_000_000_000, n%1_000_000_000))
}
