package genaiprices

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

// units maps the list's price keys to ours. Both count per million tokens, per
// thousand of other things and per hour.
var units = map[string]usage.Unit{
	"input_mtok":                      usage.Input,
	"output_mtok":                     usage.Output,
	"cache_read_mtok":                 usage.CacheRead,
	"cache_write_mtok":                usage.CacheWrite,
	"cache_write_1h_mtok":             usage.CacheWrite1h,
	"input_audio_mtok":                usage.InputAudio,
	"cache_audio_read_mtok":           usage.CachedAudio,
	"output_audio_mtok":               usage.OutputAudio,
	"input_image_mtok":                usage.InputImage,
	"cache_image_read_mtok":           usage.CachedImage,
	"output_image_mtok":               usage.OutputImage,
	"input_video_mtok":                usage.InputVideo,
	"output_video_mtok":               usage.OutputVideo,
	"output_reasoning_mtok":           usage.Reasoning,
	"output_citation_mtok":            usage.Citation,
	"web_searches_kcount":             usage.WebSearches,
	"storage_searches_kcount":         usage.StorageSearches,
	"social_searches_kcount":          usage.SocialSearches,
	"rerank_searches_kcount":          usage.RerankSearches,
	"code_executions_kcount":          usage.CodeExecutions,
	"requests_kcount":                 usage.Requests,
	"input_document_kpages":           usage.Pages,
	"input_annotated_document_kpages": usage.AnnotatedPages,
	"audio_hours":                     usage.AudioMilliseconds,
	"input_text_messages_kcount":      usage.Messages,
}

// repeated are keys that say again what another key says; they must agree.
var repeated = map[string]string{"input_audio_hours": "audio_hours"}

type entry struct {
	Constraint jsontext.Value            `json:"constraint"`
	Prices     map[string]jsontext.Value `json:"prices"`
}

type constraint struct {
	Type      string `json:"type"`
	StartDate string `json:"start_date"`
	StartTime string `json:"start_time"`
	EndTime   string `json:"end_time"`
}

// versions reads a model's prices: one object, or a list of entries in which
// the last one that holds wins. A time of day that follows a start date
// belongs to it, which the list's own form cannot say.
func versions(raw jsontext.Value, note func(key string)) ([]pricing.Version, error) {
	if raw.Kind() == '{' {
		var prices map[string]jsontext.Value
		if err := json.Unmarshal(raw, &prices); err != nil {
			return nil, err
		}
		rates, err := rates(prices, note)
		return []pricing.Version{{Rates: rates}}, err
	}
	var parts []jsontext.Value
	if err := json.Unmarshal(raw, &parts); err != nil {
		return nil, err
	}
	var entries []entry
	for _, part := range parts {
		var e entry
		if err := json.Unmarshal(part, &e); err != nil {
			return nil, err
		}
		if err := known(part, "its price depends on something that is not known", "constraint", "prices"); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	var out []pricing.Version
	var from time.Time
	for i, e := range entries {
		if e.Prices == nil {
			return nil, fmt.Errorf("entry %d has no prices", i)
		}
		r, err := rates(e.Prices, note)
		if err != nil {
			return nil, err
		}
		v := pricing.Version{Rates: r}
		switch {
		case e.constrained() == (i == 0):
			return nil, fmt.Errorf("entry %d: exactly the first entry must have no constraint", i)
		case !e.constrained():
		default:
			start, window, err := readConstraint(e.Constraint)
			if err != nil {
				return nil, fmt.Errorf("entry %d: %w", i, err)
			}
			if v.Window = window; window == nil {
				if !start.After(from) {
					return nil, fmt.Errorf("entry %d: start dates must ascend", i)
				}
				// A later start date ends everything before it, windows too.
				for j := range out {
					if out[j].To.IsZero() {
						out[j].To = start
					}
				}
				from = start
			}
		}
		v.From = from
		out = append(out, v)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no prices")
	}
	return out, nil
}

func (e *entry) constrained() bool { return len(e.Constraint) > 0 && e.Constraint.Kind() != 'n' }

func readConstraint(raw jsontext.Value) (start time.Time, w *pricing.Window, err error) {
	var c constraint
	if err := json.Unmarshal(raw, &c); err != nil {
		return start, nil, err
	}
	if err := known(raw, "its price depends on something that is not known", "type", "start_date", "start_time", "end_time"); err != nil {
		return start, nil, err
	}
	switch {
	case c.StartDate != "" && c.StartTime == "" && c.EndTime == "" && (c.Type == "" || c.Type == "start_date"):
		start, err = time.Parse(time.DateOnly, c.StartDate)
		return start, nil, err
	case c.StartDate == "" && c.StartTime != "" && c.EndTime != "" && (c.Type == "" || c.Type == "time_of_date"):
		w = &pricing.Window{}
		if w.Start, err = timeOfDay(c.StartTime); err != nil {
			return start, nil, err
		}
		if w.End, err = timeOfDay(c.EndTime); err != nil {
			return start, nil, err
		}
		if w.Start == w.End {
			return start, nil, fmt.Errorf("a window of no length")
		}
		return start, w, nil
	}
	return start, nil, odd("its price depends on something that is not known: %s", raw)
}

var timeForm = regexp.MustCompile(`^(\d{2}:\d{2}:\d{2})(Z|[+-]\d{2}:\d{2})$`)

// timeOfDay reads a time with its offset as time since midnight UTC.
func timeOfDay(s string) (time.Duration, error) {
	if !timeForm.MatchString(s) {
		return 0, fmt.Errorf("time of day %q", s)
	}
	t, err := time.Parse("15:04:05Z07:00", s)
	if err != nil {
		return 0, err
	}
	t = t.UTC()
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second, nil
}

func rates(prices map[string]jsontext.Value, note func(key string)) ([]pricing.Rate, error) {
	out := make([]pricing.Rate, 0, len(prices))
	for key, raw := range prices {
		if same, ok := repeated[key]; ok {
			if string(prices[same]) != string(raw) {
				return nil, fmt.Errorf("%s differs from %s", key, same)
			}
			continue
		}
		u, ok := units[key]
		if !ok {
			return nil, odd("it has a kind of price that is not known: %s", key)
		}
		r, rounded, err := rate(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if rounded {
			note(key)
		}
		r.Unit = u
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b pricing.Rate) int { return int(a.Unit) - int(b.Unit) })
	return out, nil
}

// rate reads a number, or a number with thresholds.
func rate(raw jsontext.Value) (r pricing.Rate, rounded bool, err error) {
	if raw.Kind() != '{' {
		r.Price, rounded, err = amount(raw)
		return r, rounded, err
	}
	var tiered struct {
		Base  jsontext.Value `json:"base"`
		Tiers []struct {
			Start jsontext.Value `json:"start"`
			Price jsontext.Value `json:"price"`
		} `json:"tiers"`
	}
	if err := json.Unmarshal(raw, &tiered, json.RejectUnknownMembers(true)); err != nil {
		return r, false, err
	}
	if r.Price, rounded, err = amount(tiered.Base); err != nil {
		return r, false, err
	}
	for _, t := range tiered.Tiers {
		start, err := strconv.ParseInt(string(t.Start), 10, 64)
		if err != nil {
			return r, false, fmt.Errorf("threshold %s", t.Start)
		}
		p, also, err := amount(t.Price)
		if err != nil {
			return r, false, err
		}
		rounded = rounded || also
		r.Above = append(r.Above, pricing.Step{InputTokens: start, Price: p})
	}
	slices.SortFunc(r.Above, func(a, b pricing.Step) int { return int(a.InputTokens - b.InputTokens) })
	return r, rounded, nil
}

// amount reads a price exactly and rounds it half-even to a picodollar.
func amount(v jsontext.Value) (p money.USD, rounded bool, err error) {
	if v.Kind() != '0' || strings.HasPrefix(string(v), "-") {
		return 0, false, fmt.Errorf("price %s is not a number that is 0 or more", v)
	}
	p, exact, err := money.ParseExact(v)
	return p, !exact, err
}
