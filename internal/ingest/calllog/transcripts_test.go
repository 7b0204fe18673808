package calllog_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/costprof/costprof/internal/usage"
)

// message is a record of a Claude Code transcript.
func message(id, request, stop string, output int, more string) string {
	quoted := "null"
	if stop != "" {
		quoted = `"` + stop + `"`
	}
	if request != "" {
		request = `"requestId":"` + request + `",`
	}
	return fmt.Sprintf(`{"parentUuid":"p","isSidechain":false,"userType":"external","cwd":"/home/me/shop","sessionId":"session-1","version":"2.1.0","gitBranch":"main","type":"assistant",`+
		`"message":{"model":"claude-sonnet-4-5-20250929","id":%q,"type":"message","role":"assistant","content":[{"type":"text","text":"x"}],"stop_reason":%s,`+
		`"usage":{"input_tokens":4,"cache_creation_input_tokens":1000,"cache_read_input_tokens":20000,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":1000},"output_tokens":%d,"service_tier":"standard"}},`+
		`%s"uuid":"u-%s-%d","timestamp":"2026-10-31T10:00:%02dZ"%s}`+"\n", id, quoted, output, request, id, output, output%60, more)
}

const user = `{"type":"user","sessionId":"session-1","uuid":"u","message":{"role":"user","content":"hi"},"timestamp":"2026-10-31T10:00:00Z"}` + "\n"

const m1, m2, m3 = "msg_01AbCdEfGhIjKlMnOpQr0001", "msg_01AbCdEfGhIjKlMnOpQr0002", "msg_01AbCdEfGhIjKlMnOpQr0003"

func TestClaudeCode(t *testing.T) {
	text := `{"type":"summary","summary":"s","leafUuid":"l"}` + "\n" + user +
		message(m1, "req_1", "", 1, "") + message(m1, "req_1", "", 1, "") + user + message(m1, "req_1", "tool_use", 42, "") +
		user + message(m2, "req_2", "end_turn", 7, "") +
		`{"type":"assistant","isApiErrorMessage":true,"sessionId":"session-1","uuid":"e","message":{"model":"<synthetic>","usage":{"input_tokens":0,"output_tokens":0}},"timestamp":"2026-10-31T10:00:00Z"}` + "\n"
	r := load(t, text).valid(t)
	if r.Calls != 2 || r.Parts != 2 || r.NoUsage != 5 {
		t.Errorf("%+v", r.Tally)
	}
	e := r.events[0]
	// An hour's write is one, reads are not charged twice, the last record counts
	// and the first one's time.
	want := map[string]int64{"inputTokens": 21004, "cachedTokens": 20000, "cacheWrite1hTokens": 1000, "outputTokens": 42}
	if diff := cmp.Diff(want, counts(e)); diff != "" {
		t.Error(diff)
	}
	if e.EventID != m1 || e.TraceID != "session-1" || e.SessionID != "session-1" || e.SpanID != m1 || e.Feature != "claude-code" || e.Provider != "anthropic" ||
		e.Tags["project"] != "shop" || e.Tags["branch"] != "main" || e.Operation != "main" || e.Timestamp.Second() != 1 {
		t.Errorf("%+v", e)
	}
}

func TestClaudeCodeForksAndCopies(t *testing.T) {
	original := user + message(m1, "req_1", "tool_use", 42, "") + message(m2, "req_2", "end_turn", 7, "")
	fork := strings.ReplaceAll(original, "session-1", "session-2") + strings.ReplaceAll(message(m3, "req_3", "end_turn", 5, ""), "session-1", "session-2")
	// Gateways and sub-agents leave the request's id out.
	without := message(m1, "", "tool_use", 42, "") + message(m1, "", "tool_use", 42, "")
	all := ids(load(t, original).events)
	for _, text := range []string{fork, without} {
		for id := range ids(load(t, text).events) {
			all[id] = true
		}
	}
	if len(all) != 3 {
		t.Errorf("%d identities of 3 messages", len(all))
	}
	// Messages without an id of their own are not one message: a local server may
	// give all the same. Records that follow each other still tell of one.
	local := message("msg_1", "", "", 1, "") + message("msg_1", "", "end_turn", 5, "") + user + message("msg_1", "", "", 2, "") + message("msg_1", "", "end_turn", 6, "") +
		message("", "", "end_turn", 5, "") + message("", "", "end_turn", 6, "")
	if r := load(t, local).valid(t); len(ids(r.events)) != 4 {
		t.Errorf("%d identities of 4 messages: %+v", len(ids(r.events)), r.Tally)
	}
}

func TestClaudeCodeSubAgents(t *testing.T) {
	r := load(t, message(m1, "r", "end_turn", 1, `,"agentId":"a17","attributionAgent":"explore"`)+
		strings.Replace(message(m2, "r", "end_turn", 1, ""), `"isSidechain":false`, `"isSidechain":true`, 1)).valid(t)
	if a, b := r.events[0], r.events[1]; a.Operation != "sub-agent" || a.Tags["agent"] != "a17" || a.Tags["agentType"] != "explore" || b.Operation != "sub-agent" {
		t.Errorf("%+v", r.events)
	}
}

// However a growing file is cut, importing its pieces one after another stores
// what importing it whole does.
func TestClaudeCodeGrowing(t *testing.T) {
	var b strings.Builder
	for i := range 12 {
		id := fmt.Sprintf("msg_01AbCdEfGhIjKlMnOpQr1%03d", i)
		b.WriteString(user + message(id, "r", "", 1, "") + message(id, "r", "", 3, "") + message(id, "r", "end_turn", 40+i, ""))
	}
	text := b.String()
	whole := map[string]usage.Counts{}
	for _, e := range load(t, text).valid(t).events {
		whole[e.EventID] = e.Counts
	}
	head := strings.Index(text, "\n") + 1
	for cut := head; cut < len(text); cut += 97 {
		stored := map[string]usage.Counts{}
		for _, part := range []string{text[:cut], text} {
			for _, e := range load(t, part, growing).events {
				if _, there := stored[e.EventID]; !there { // the ledger keeps the first
					stored[e.EventID] = e.Counts
				}
			}
		}
		if diff := cmp.Diff(whole, stored); diff != "" {
			t.Fatalf("cut at %d (-whole +in two):\n%s", cut, diff)
		}
	}
}

// One that broke off and was followed by others is not waited for.
func TestClaudeCodeAborted(t *testing.T) {
	text := message(m1, "r", "", 3, "")
	for i := range 5 {
		text += message(fmt.Sprintf("msg_01AbCdEfGhIjKlMnOpQr2%03d", i), "r", "end_turn", 1, "")
	}
	if r := load(t, text, growing); len(r.events) != 6 || r.Unfinished != 0 {
		t.Errorf("%+v", r.Tally)
	}
	if r := load(t, message(m1, "r", "", 3, ""), growing); len(r.events) != 0 || r.Unfinished != 1 {
		t.Errorf("at the end: %+v", r.Tally)
	}
	if r := load(t, message(m1, "r", "", 3, "")); len(r.events) != 1 {
		t.Errorf("at the end of an old file: %+v", r.Tally)
	}
}

func tokens(total, last [5]int, at int) string {
	form := func(n [5]int) string {
		return fmt.Sprintf(`{"input_tokens":%d,"cached_input_tokens":%d,"output_tokens":%d,"reasoning_output_tokens":%d,"total_tokens":%d}`, n[0], n[1], n[2], n[3], n[0]+n[2])
	}
	return fmt.Sprintf(`{"timestamp":"2026-10-31T10:%02d:00.000Z","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":%s,"last_token_usage":%s,"model_context_window":400000},"rate_limits":null}}`+"\n", at, form(total), form(last))
}

func codexHead(id, more string) string {
	return `{"timestamp":"2026-10-31T10:00:00Z","type":"session_meta","payload":{"id":"` + id + `","cwd":"C:\\work\\shop","originator":"codex_cli_rs","model_provider":"openai","git":{"branch":"main"}` + more + `}}` + "\n" +
		`{"timestamp":"2026-10-31T10:00:01Z","type":"turn_context","payload":{"cwd":"C:\\work\\shop","model":"gpt-5.2-codex"}}` + "\n"
}

func TestCodexIsCumulative(t *testing.T) {
	text := codexHead("session-a", "") +
		`{"timestamp":"2026-10-31T10:00:02Z","type":"event_msg","payload":{"type":"token_count","info":null,"rate_limits":{}}}` + "\n" +
		tokens([5]int{1000, 400, 50, 20}, [5]int{1000, 400, 50, 20}, 1) +
		tokens([5]int{1000, 400, 50, 20}, [5]int{1000, 400, 50, 20}, 2) + // the limits changed
		tokens([5]int{3000, 2000, 80, 30}, [5]int{2000, 1600, 30, 10}, 3) +
		tokens([5]int{9000, 5000, 180, 70}, [5]int{3000, 1500, 60, 20}, 4) // a record is missing
	r := load(t, text).valid(t)
	want := []map[string]int64{
		{"inputTokens": 1000, "cachedTokens": 400, "outputTokens": 50, "reasoningTokens": 20},
		{"inputTokens": 2000, "cachedTokens": 1600, "outputTokens": 30, "reasoningTokens": 10},
		{"inputTokens": 6000, "cachedTokens": 3000, "outputTokens": 100, "reasoningTokens": 40},
	}
	var got []map[string]int64
	for _, e := range r.events {
		got = append(got, counts(e))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if e := r.events[0]; e.Model != "gpt-5.2-codex" || e.Provider != "openai" || e.Tags["project"] != "shop" || e.Tags["branch"] != "main" || e.SessionID != "session-a" || e.Feature != "codex" {
		t.Errorf("%+v", e)
	}
	// Its sums begin anew: what was last counts.
	r = load(t, text+tokens([5]int{500, 0, 5, 0}, [5]int{500, 0, 5, 0}, 5)).valid(t)
	if e := r.events[3]; counts(e)["inputTokens"] != 500 {
		t.Errorf("%v", counts(e))
	}
}

func TestCodexForks(t *testing.T) {
	first := tokens([5]int{1000, 400, 50, 20}, [5]int{1000, 400, 50, 20}, 1) + tokens([5]int{3000, 2000, 80, 30}, [5]int{2000, 1600, 30, 10}, 3)
	all := ids(load(t, codexHead("session-a", "")+first).events)
	// A fork copies what was before it, under new times, and goes on.
	copied := strings.ReplaceAll(first, "T10:", "T12:")
	more := tokens([5]int{4000, 2000, 90, 30}, [5]int{1000, 0, 10, 0}, 9)
	for _, text := range []string{
		codexHead("session-b", `,"forked_from_id":"session-a"`) + copied + more,
		codexHead("session-c", `,"forked_from_id":"session-b"`) + codexHead("session-a", "") + copied,
		codexHead("session-a", "") + first, // resumed
	} {
		r := load(t, text).valid(t)
		for id := range ids(r.events) {
			all[id] = true
		}
	}
	if len(all) != 3 {
		t.Errorf("%d identities of 3 calls", len(all))
	}
	// A helper that starts from its parent's sums is charged its own.
	r := load(t, codexHead("session-d", `,"source":{"subagent":{"thread_spawn":{"parent_thread_id":"session-a","depth":1,"agent_role":"explorer"}}}`)+
		tokens([5]int{3100, 2000, 85, 30}, [5]int{100, 0, 5, 0}, 4)).valid(t)
	if e := r.only(t); counts(e)["inputTokens"] != 100 || e.TraceID != "session-a" || e.SessionID != "session-d" || e.Tags["agent"] != "explorer" || e.Operation != "sub-agent" {
		t.Errorf("%+v", e)
	}
}

func TestCodexWithoutAModelSaysSo(t *testing.T) {
	text := `{"timestamp":"2026-10-31T10:00:00Z","type":"session_meta","payload":{"id":"s"}}` + "\n" + tokens([5]int{10, 0, 5, 0}, [5]int{10, 0, 5, 0}, 1)
	r := load(t, text)
	if len(r.bad) != 1 || !strings.Contains(r.bad[0], "line 2: no model is known") {
		t.Errorf("%q", r.bad)
	}
	if e := load(t, text, set(t, map[string]any{"model": "gpt-5", "timestamp": "2020-01-01T00:00:00Z", "tags": map[string]string{"team": "a"}})).valid(t).only(t); e.Model != "gpt-5" || e.Timestamp.Year() != 2026 || e.Tags["team"] != "a" {
		t.Errorf("%+v", e)
	}
}
