package httpapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/usage"
)

// Price is a version of a model's price as it is answered.
type Price struct {
	PriceID       string       `json:"priceId"`
	Provider      string       `json:"provider"`
	Model         string       `json:"model"`
	Project       string       `json:"project,omitempty" doc:"The only project it is for; absent for all."`
	ServiceTier   string       `json:"serviceTier,omitempty" doc:"Absent for the standard one."`
	Region        string       `json:"region,omitempty" doc:"Absent for any."`
	EffectiveFrom time.Time    `json:"effectiveFrom,omitzero"`
	EffectiveTo   time.Time    `json:"effectiveTo,omitzero"`
	Window        *priceWindow `json:"window,omitempty" doc:"The times of day at which it applies; absent for all."`
	Prices        unitPrices   `json:"prices"`
	Source        string       `json:"source,omitempty" doc:"Where the figures come from."`
}

type priceWindow struct {
	Start    string   `json:"start" doc:"Local time hh:mm or hh:mm:ss."`
	End      string   `json:"end" doc:"Local time; not after start when it crosses midnight."`
	Weekdays []string `json:"weekdays,omitempty" doc:"mon to sun; absent for all."`
	Zone     string   `json:"zone" doc:"IANA time zone."`
}

// unitPrices are written in the order of the units.
type unitPrices []pricing.Rate

// MarshalJSON writes USD by name of the price: a number, or an object when there
// are thresholds or a minimum.
func (ps unitPrices) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, r := range ps {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%q:", usage.Units[r.Unit].Price)
		if len(r.Above) == 0 && r.Minimum == 0 {
			b = r.Price.AppendText(b)
			continue
		}
		tiered := tieredPrice{Price: r.Price, Minimum: r.Minimum}
		for _, step := range r.Above {
			tiered.Above = append(tiered.Above, priceStep{step.InputTokens, step.Price})
		}
		text, err := json.Marshal(tiered)
		if err != nil {
			return nil, err
		}
		b = append(b, text...)
	}
	return append(b, '}'), nil
}

type tieredPrice struct {
	Price   money.USD   `json:"price"`
	Above   []priceStep `json:"above,omitempty" doc:"When a call has more input tokens than this, all its tokens take this price."`
	Minimum int64       `json:"minimum,omitempty" doc:"The least quantity charged when any was used."`
}

type priceStep struct {
	InputTokens int64     `json:"inputTokens"`
	Price       money.USD `json:"price"`
}

// Schema says what is written.
func (unitPrices) Schema(reg huma.Registry) *huma.Schema {
	names := make([]string, 0, usage.NumUnits)
	for u := range usage.NumUnits {
		names = append(names, usage.Units[u].Price)
	}
	return &huma.Schema{
		Type:        huma.TypeObject,
		Description: "USD per million tokens, per thousand of other units, per hour of audio, by name: " + strings.Join(names, ", ") + ".",
		AdditionalProperties: &huma.Schema{AnyOf: []*huma.Schema{
			amountSchema(), reg.Schema(typeOf[tieredPrice](), true, ""),
		}},
	}
}

func priceJSON(v *pricing.Version) Price {
	p := Price{
		PriceID: v.ID, Provider: v.Provider, Model: v.Model, Project: v.Project, ServiceTier: v.ServiceTier,
		Region: v.Region, EffectiveFrom: v.From, EffectiveTo: v.To, Prices: unitPrices(v.Rates), Source: v.Source,
	}
	p.Window = windowJSON(v.Window)
	return p
}

func windowJSON(w *pricing.Window) *priceWindow {
	if w == nil {
		return nil
	}
	out := &priceWindow{Start: clock(w.Start), End: clock(w.End), Zone: w.Zone}
	if w.Zone == "" {
		out.Zone = "UTC"
	}
	for _, d := range w.Weekdays {
		out.Weekdays = append(out.Weekdays, strings.ToLower(d.String()[:3]))
	}
	return out
}

func clock(d time.Duration) string {
	seconds := int(d / time.Second)
	text := fmt.Sprintf("%02d:%02d", seconds/3600, seconds/60%60)
	if seconds%60 != 0 {
		text += fmt.Sprintf(":%02d", seconds%60)
	}
	return text
}

// explanation is pricing's, with prices as they are answered elsewhere.
type explanation struct {
	pricing.Explanation
	Candidates []candidate `json:"candidates" doc:"The versions that could apply, in precedence."`
}

type candidate struct {
	Price  Price  `json:"price"`
	Chosen bool   `json:"chosen"`
	Why    string `json:"why" doc:"Why it was chosen or lost."`
}

func explanationJSON(e pricing.Explanation) explanation {
	out := explanation{Explanation: e, Candidates: []candidate{}}
	for i := range e.Candidates {
		c := &e.Candidates[i]
		out.Candidates = append(out.Candidates, candidate{priceJSON(&c.Version), c.Chosen, c.Why})
	}
	return out
}
