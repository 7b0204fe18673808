// Package demo holds what the real server finds to what costprof demo has hidden
// in its traffic.
package demo

import (
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/demo"
	"github.com/costprof/costprof/internal/testserver"
)

func TestPlantedIsFound(t *testing.T) {
	bin := testserver.Binary(t)
	t.Run("embedded", func(t *testing.T) { find(t, bin) })
	t.Run("postgres", func(t *testing.T) { find(t, bin, "DATABASE_URL="+testserver.Database(t)) })
}

// cluster is a row of /api/v1/analytics/prompt-clusters.
type cluster struct {
	Kind      string
	Prompts   int
	CallCount int
	Template  []struct{ Text string }
	NearCache struct {
		Hits  int
		Saved json.Number
	}
	PromptCache struct{ SavedAlready json.Number }
}

func find(t *testing.T, bin string, settings ...string) {
	s := testserver.Serve(t, bin, settings...)
	said, err := exec.CommandContext(t.Context(), bin, "demo", "--server", s.URL, "--days", "10", "--events", "8000", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var filled struct{ Planted demo.Planted }
	if err := json.Unmarshal(said, &filled); err != nil {
		t.Fatal(err)
	}
	planted := filled.Planted
	if planted.Duplicate.Calls < 100 || len(planted.Bloat.Spans) < 3 || planted.Cache.WrittenTokens == 0 {
		t.Fatalf("hardly anything is planted: %+v", planted)
	}
	for begin := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		var answer struct {
			Meta struct{ PromptsWithoutVector int }
		}
		get(t, s, "analytics/prompt-clusters?project=demo&limit=1", &answer)
		if answer.Meta.PromptsWithoutVector == 0 {
			break
		}
		if time.Since(begin) > 2*time.Minute {
			t.Fatalf("%d prompts have no vector after two minutes", answer.Meta.PromptsWithoutVector)
		}
	}

	// The family of nearly the same requests: every call of it, in few groups, each with
	// the words that all have.
	calls, groups := 0, 0
	for _, c := range clusters(t, s, planted.Duplicate.Feature) {
		if c.Kind != "near-duplicates" {
			continue
		}
		calls, groups = calls+c.CallCount, groups+1
		if !slices.ContainsFunc(c.Template, func(p struct{ Text string }) bool { return strings.Contains(p.Text, "follow-up e-mail") }) {
			t.Errorf("the template of a group: %+v", c.Template)
		}
		if c.NearCache.Hits == 0 || c.NearCache.Saved == "0" || strings.HasPrefix(c.NearCache.Saved.String(), "-") {
			t.Errorf("a cache of answers would have saved %+v", c.NearCache)
		}
	}
	if calls != planted.Duplicate.Calls || groups > 4 {
		t.Errorf("%d calls of %s in %d groups, planted are %d", calls, planted.Duplicate.Feature, groups, planted.Duplicate.Calls)
	}

	// The cache that is written and never read has cost money; one that is read has
	// saved some.
	for _, c := range clusters(t, s, planted.Cache.Feature) {
		if !strings.HasPrefix(c.PromptCache.SavedAlready.String(), "-") {
			t.Errorf("the cache that nobody reads saved %s", c.PromptCache.SavedAlready)
		}
	}
	for _, c := range clusters(t, s, planted.Jump.Feature) {
		if strings.HasPrefix(c.PromptCache.SavedAlready.String(), "-") {
			t.Errorf("the cache of %s is taken for harmful: %s", planted.Jump.Feature, c.PromptCache.SavedAlready)
		}
	}

	findGrowth(t, s, planted)

	// The calls with a dozen times the usual input.
	var bloat struct {
		Data []struct {
			EventID     string
			Suggestions []string
			LongPart    *struct{ Characters, Part, PartCharacters int }
		}
	}
	get(t, s, "analytics/prompts?project=demo&limit=1000&feature="+planted.Bloat.Feature, &bloat)
	found, named := map[string]bool{}, 0
	for _, b := range bloat.Data {
		if b.LongPart != nil && b.LongPart.Part == 1 && b.LongPart.PartCharacters > 1000 && strings.Contains(b.Suggestions[1], `behind "Review pull request #"`) {
			named++
		}
		var event struct{ Data struct{ SpanID string } }
		get(t, s, "events/"+b.EventID, &event)
		found[event.Data.SpanID] = true
		if len(b.Suggestions) == 0 {
			t.Errorf("nothing is suggested for %s", b.EventID)
		}
	}
	for _, span := range planted.Bloat.Spans {
		if !found[span] {
			t.Errorf("the call %s with a dozen times the usual input is not found among %d", span, len(found))
		}
	}
	if named < len(planted.Bloat.Spans) {
		t.Errorf("of %d calls the part with whole files in it is named, planted are %d: %+v", named, len(planted.Bloat.Spans), bloat.Data)
	}
	if len(found) > 2*len(planted.Bloat.Spans) {
		t.Errorf("%d calls are taken for bloated, %d are", len(found), len(planted.Bloat.Spans))
	}
}

// findGrowth holds what is said of growth and of history to what is planted.
func findGrowth(t *testing.T, s *testserver.Server, planted demo.Planted) {
	t.Helper()
	var grown struct {
		Data []struct {
			Feature string
			Growth  struct{ Tokens, Ratio float64 }
			Parts   []struct {
				From, To          time.Time
				MedianInputTokens *float64
			}
		}
	}
	// Of ten days the last four are after the change.
	until := planted.Jump.Since.AddDate(0, 0, 4)
	span := "from=" + until.AddDate(0, 0, -10).Format(time.RFC3339) + "&to=" + until.Format(time.RFC3339)
	get(t, s, "analytics/prompts/growth?project=demo&parts=10&"+span, &grown)
	if len(grown.Data) == 0 || grown.Data[0].Feature != planted.Jump.Feature {
		t.Fatalf("what grew most is %+v, planted is %s", grown.Data, planted.Jump.Feature)
	}
	top := grown.Data[0]
	if want := float64(planted.Jump.After - planted.Jump.Before); top.Growth.Tokens < want*0.8 || top.Growth.Tokens > want*1.2 {
		t.Errorf("it grew by %v tokens, planted are %v", top.Growth.Tokens, want)
	}
	for _, p := range top.Parts {
		if p.MedianInputTokens != nil && (*p.MedianInputTokens > float64(planted.Jump.After)) != !p.From.Before(planted.Jump.Since) {
			t.Errorf("from %s its median is %v, and it grew on %s", p.From, *p.MedianInputTokens, planted.Jump.Since)
		}
	}

	var history struct {
		Data []struct {
			Feature                                         string
			CallCount                                       int
			Turns, ResentTokens, ResentCachedTokens         int64
			HistoryTokens, HistoryCachedTokens, InputTokens int64
		}
	}
	get(t, s, "analytics/prompts/history?project=demo&feature="+planted.History.Feature+"&"+span, &history)
	if len(history.Data) != 1 {
		t.Fatalf("history: %+v", history.Data)
	}
	h := history.Data[0]
	if h.CallCount != planted.History.Calls || h.ResentCachedTokens != planted.History.CachedTokens {
		t.Errorf("%d calls sent %d tokens again from the cache, planted are %d and %d", h.CallCount, h.ResentCachedTokens, planted.History.Calls, planted.History.CachedTokens)
	}
	// Less than 128 tokens a turn are not in whole blocks; a call that was repeated sent all of it again.
	if h.ResentTokens < h.ResentCachedTokens || h.ResentTokens > h.ResentCachedTokens+300*h.Turns || h.HistoryTokens <= 0 || h.HistoryTokens >= h.ResentTokens || h.HistoryCachedTokens > h.HistoryTokens {
		t.Errorf("%+v", h)
	}
}

func clusters(t *testing.T, s *testserver.Server, feature string) []cluster {
	t.Helper()
	var answer struct{ Data []cluster }
	get(t, s, "analytics/prompt-clusters?project=demo&limit=100&feature="+feature, &answer)
	if len(answer.Data) == 0 {
		t.Errorf("no groups of %s", feature)
	}
	return answer.Data
}

func get(t *testing.T, s *testserver.Server, path string, into any) {
	t.Helper()
	res, err := http.Get(s.URL + "/api/v1/" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d %s, %v", path, res.StatusCode, b, err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
}
