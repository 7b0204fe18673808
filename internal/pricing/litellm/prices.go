package litellm

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

// dearest is the highest price per million tokens that is believed: 0.01 USD for
// a token, fifteen times what any model costs.
const dearest money.USD = 10_000 * money.PerUSD

// unitOf are the keys of prices by what they price. Tokens are priced one by one;
// the rest as each says.
var unitOf = map[string]struct {
	unit usage.Unit
	// scale is how many digits the price of one moves to become picodollars of as
	// many as the unit is priced by.
	scale int
}{
	"input_cost_per_token":                      {usage.Input, 18},
	"output_cost_per_token":                     {usage.Output, 18},
	"cache_read_input_token_cost":               {usage.CacheRead, 18},
	"cache_creation_input_token_cost":           {usage.CacheWrite, 18},
	"cache_creation_input_token_cost_above_1hr": {usage.CacheWrite1h, 18},
	"output_cost_per_reasoning_token":           {usage.Reasoning, 18},
	"input_cost_per_audio_token":                {usage.InputAudio, 18},
	"output_cost_per_audio_token":               {usage.OutputAudio, 18},
	"cache_read_input_audio_token_cost":         {usage.CachedAudio, 18},
	"cache_read_input_image_token_cost":         {usage.CachedImage, 18},
	"input_cost_per_image_token":                {usage.InputImage, 18},
	"output_cost_per_image_token":               {usage.OutputImage, 18},
	"input_cost_per_video_token":                {usage.InputVideo, 18},
	"output_cost_per_video_token":               {usage.OutputVideo, 18},
	"citation_cost_per_token":                   {usage.Citation, 18},
	"input_cost_per_request":                    {usage.Requests, 15},
	"output_cost_per_image":                     {usage.Images, 15},
	"ocr_cost_per_page":                         {usage.Pages, 15},
	"annotation_cost_per_page":                  {usage.AnnotatedPages, 15},
	"input_cost_per_text_message":               {usage.Messages, 15},
	"file_search_cost_per_1k_calls":             {usage.StorageSearches, 12},
}

// queries are what a price per query means, by the kind of model.
var queries = map[string]usage.Unit{"rerank": usage.RerankSearches, "search": usage.WebSearches}

var (
	tierAfter  = regexp.MustCompile(`^(.+)_(batches|flex|priority|ultrafast|balanced)$`)
	aboveAfter = regexp.MustCompile(`^(.+)_above_(\d{1,6})k_tokens$`)
)

// tierOf are the service tiers' names in answers of providers where LiteLLM's
// differ.
var tierOf = map[string]string{"batches": "batch"}

type key struct {
	unit usage.Unit
	tier string
	// above is the threshold, 0 for none.
	above int64
}

// reading is one entry's prices.
type reading struct {
	prices     map[key]money.USD
	tiers      []string // "" first
	thresholds []int64  // ascending
	ignored    []string
	rounded    []string
	reason     string // why the entry is skipped
}

// parse takes a key apart.
func parse(member, mode string) (k key, scale int, ok bool) {
	base := member
	if m := tierAfter.FindStringSubmatch(base); m != nil {
		base, k.tier = m[1], m[2]
		if t, ok := tierOf[k.tier]; ok {
			k.tier = t
		}
	}
	if m := aboveAfter.FindStringSubmatch(base); m != nil {
		base = m[1]
		n, err := strconv.ParseInt(m[2], 10, 64)
		if err != nil || n == 0 {
			return k, 0, false
		}
		k.above = n * 1000
	}
	if base == "input_cost_per_query" {
		unit, ok := queries[mode]
		k.unit = unit
		return k, 15, ok
	}
	u, ok := unitOf[base]
	k.unit = u.unit
	return k, u.scale, ok
}

// isPrice says whether a member's name says that it is a price.
func isPrice(member string) bool {
	return strings.Contains(member, "cost") || strings.Contains(member, "pric")
}

func readPrices(members map[string]jsontext.Value, mode string) (*reading, error) {
	r := &reading{prices: make(map[key]money.USD)}
	nonzero := false
	for _, member := range slices.Sorted(maps.Keys(members)) {
		v := members[member]
		if !isPrice(member) || v.Kind() == 'n' {
			continue
		}
		if v.Kind() != '0' {
			if err := r.special(member, v); err != nil {
				return nil, err
			}
			continue
		}
		if v[0] == '-' {
			return nil, fmt.Errorf("%s is %s; a price is 0 or more", member, v)
		}
		k, scale, ok := parse(member, mode)
		if !ok {
			r.unknown(member, v, mode)
			continue
		}
		d, _ := money.ParseDecimal(v, scale)
		if d.Over || scale == 18 && d.Value > int64(dearest) || d.Value > int64(pricing.MaxPrice) {
			r.reason = tooDear
			return r, nil
		}
		if !d.Exact {
			r.rounded = append(r.rounded, member)
		}
		nonzero = nonzero || d.Value > 0
		r.put(k, money.USD(d.Value))
	}
	r.seconds(members, mode, &nonzero)
	r.once()
	slices.Sort(r.thresholds)
	slices.Sort(r.tiers)
	switch {
	case r.reason != "":
	case len(r.prices) == 0:
		r.reason = noPrices
	case !nonzero:
		r.reason = allZero
	case !r.has(usage.Input) && !r.has(usage.Output) && r.tokensOnly():
		r.reason = noCommonPrice
	}
	return r, nil
}

// once leaves out what would charge the same twice: an image as itself and by its
// tokens.
func (r *reading) once() {
	_, byToken := r.prices[key{usage.OutputImage, "", 0}]
	for k := range r.prices {
		if k.unit == usage.Images && byToken {
			delete(r.prices, k)
			r.ignored = append(r.ignored, "output_cost_per_image (its tokens have a price)")
		}
	}
}

func (r *reading) put(k key, price money.USD) {
	r.prices[k] = price
	if !slices.Contains(r.tiers, k.tier) {
		r.tiers = append(r.tiers, k.tier)
	}
	if !slices.Contains(r.tiers, "") {
		r.tiers = append(r.tiers, "")
	}
	if k.above > 0 && !slices.Contains(r.thresholds, k.above) {
		r.thresholds = append(r.thresholds, k.above)
	}
}

func (r *reading) has(u usage.Unit) bool {
	_, ok := r.prices[key{u, "", 0}]
	return ok
}

// tokensOnly says that only parts of tokens have a price.
func (r *reading) tokensOnly() bool {
	for k := range r.prices {
		if usage.Units[k.unit].Per != 1_000_000 {
			return false
		}
	}
	return true
}

// special reads what is no number.
func (r *reading) special(member string, v jsontext.Value) error {
	switch member {
	case "tiered_pricing":
		r.reason = tiered
	case "off_peak_pricing":
		r.reason = offPeak
	case "search_context_cost_per_query":
		return r.searches(v)
	default:
		if v.Kind() == '"' {
			return fmt.Errorf("%s is a text, not a number", member)
		}
		r.ignored = append(r.ignored, member)
	}
	return nil
}

// searches reads the price of a web search when it is one for all sizes.
func (r *reading) searches(v jsontext.Value) error {
	var sizes map[string]jsontext.Value
	if err := json.Unmarshal(v, &sizes); err != nil {
		return fmt.Errorf("search_context_cost_per_query: %w", err)
	}
	var price money.USD
	first := true
	for _, size := range slices.Sorted(maps.Keys(sizes)) {
		d, ok := money.ParseDecimal(sizes[size], 15)
		if !ok || d.Negative || d.Over || d.Value > int64(pricing.MaxPrice) {
			return fmt.Errorf("search_context_cost_per_query.%s is %s; a price is a number that is 0 or more", size, sizes[size])
		}
		if !first && money.USD(d.Value) != price {
			r.ignored = append(r.ignored, "search_context_cost_per_query (one for each size)")
			return nil
		}
		price, first = money.USD(d.Value), false
	}
	if !first {
		r.put(key{unit: usage.WebSearches}, price)
	}
	return nil
}

// seconds reads a price per second of audio, which is heard by models that
// transcribe.
func (r *reading) seconds(members map[string]jsontext.Value, mode string, nonzero *bool) {
	const member = "input_cost_per_second"
	v := members[member]
	if mode != "audio_transcription" || v.Kind() != '0' || v[0] == '-' {
		return
	}
	d, _ := money.ParseDecimal(v, 18)
	price, err := money.MulDiv(d.Value, 3600, 1_000_000)
	if d.Over || err != nil || price > pricing.MaxPrice {
		r.reason = tooDear
		return
	}
	// 3,600 × value is a whole number of millions.
	if d.Value%2500 != 0 || !d.Exact {
		r.rounded = append(r.rounded, member)
	}
	*nonzero = *nonzero || price > 0
	r.put(key{unit: usage.AudioMilliseconds}, price)
}

// unknown judges a price that the book has no place for.
func (r *reading) unknown(member string, v jsontext.Value, mode string) {
	if d, _ := money.ParseDecimal(v, 12); d.Value == 0 && d.Exact {
		return // what costs nothing is not missed
	}
	switch {
	case member == "input_cost_per_second" && mode == "audio_transcription":
	case strings.Contains(member, "_per_character"):
		r.reason = byCharacter
	default:
		r.ignored = append(r.ignored, member)
	}
}
