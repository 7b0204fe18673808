package csvevents

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const ownHead = "id,timestamp,feature,model,inputTokens,outputTokens,cost,latency,provider,traceId,spanId,usage,tags\n"

func TestOwnCSVHasObjects(t *testing.T) {
	got := read(t, ownHead+`00,2026-01-01T00:00:00Z,'=f,m,1,2,0.5,12.5,p,t,s,"{""webSearches"":2}","{""a.b"":""=x"",""empty"":""""}"`+"\n", Options{})
	want := []string{`2: {"traceId":"t","spanId":"s","timestamp":"2026-01-01T00:00:00Z","feature":"=f","provider":"p","model":"m","inputTokens":1,"outputTokens":2,"latencyMs":12.5,"usage":{"webSearches":2},"tags":{"a.b":"=x","empty":""}}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for cells, rule := range map[string]string{
		"[],":                      "usage must be a JSON object",
		`"{""unknown"":1}",`:       "usage.unknown is nothing",
		`,"{""a"":{}}"`:            "tags.a is nothing",
		`"{""webSearches"":1.5}",`: "usage.webSearches must be a whole number",
		`,"{""a"":""b"""`:          "tags must be a JSON object",
	} {
		r := open(t, ownHead+"00,2026-01-01T00:00:00Z,f,m,1,2,0.5,1,p,t,s,"+cells+"\n", Options{})
		for _, err := range r.Events() {
			if err == nil || !strings.Contains(err.Error(), rule) {
				t.Errorf("%s: %v, want %q", cells, err, rule)
			}
		}
	}
}

// An empty tag is a tag where an event has its identity, and stays none where it
// would change the identity of what was imported before.
func TestEmptyTags(t *testing.T) {
	const rest = `"timestamp":"2026-01-01T00:00:00Z","feature":"f","provider":"p","model":"m","inputTokens":1,"outputTokens":2,"latencyMs":1,"tags":{"a":"","n":null}}` + "\n"
	if got := read(t, `{"traceId":"t","spanId":"s",`+rest, Options{}); !strings.Contains(got[0], `"tags":{"a":""}`) {
		t.Errorf("with ids: %s", got)
	}
	if got := read(t, `{`+rest, Options{}); strings.Contains(got[0], "tags") {
		t.Errorf("without: %s", got)
	}
}
