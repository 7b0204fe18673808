package pricing

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Format names the book's form; another one gets another number.
const Format = "costprof/book/1"

// Data is a book as its file holds it.
type Data struct {
	Format string `json:"format"`
	Provenance
	// Gateways are providers that only pass calls on to the vendor which the
	// model's name begins with.
	Gateways  []string       `json:"gateways,omitzero"`
	Providers []ProviderData `json:"providers"`
}

// Provenance says where the figures come from.
type Provenance struct {
	Source  string `json:"source"`
	Version string `json:"version"`
	// Listed is the day the list was published, YYYY-MM-DD.
	Listed  string `json:"listed"`
	License string `json:"license"`
	URL     string `json:"url,omitzero"`
}

// ProviderData is one provider of a book.
type ProviderData struct {
	ID string `json:"id"`
	// Aliases are other names of the provider; Match recognises more of them.
	Aliases []string `json:"aliases,omitzero"`
	Match   *Rule    `json:"match,omitzero"`
	// ModelMatch guesses the provider from a model's name. It explains, it never
	// prices.
	ModelMatch *Rule `json:"modelMatch,omitzero"`
	// Fallback lists the providers whose models this one serves at their price.
	Fallback []string `json:"fallback,omitzero"`
	// Regional says that the region before a model's name ("us.") changes the
	// price, so that it is the last thing to be stripped.
	Regional bool        `json:"regional,omitzero"`
	Models   []ModelData `json:"models"`
}

// ModelData is one model with all of its prices, each a version without the
// names that stand around it. Later versions win where two are in force.
type ModelData struct {
	ID       string    `json:"id"`
	Match    *Rule     `json:"match,omitzero"`
	Versions []Version `json:"versions"`
	// Unread says of a model without prices that the list has some which could not
	// be read. Its names are its own, so that no other model's rule prices them.
	Unread bool `json:"unread,omitzero"`
}

// Encode writes a book with one model on a line, so that a change shows as
// what it is.
func Encode(d *Data) ([]byte, error) {
	b := []byte("{\n")
	member := func(name string, v any, end string) error {
		val, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("encode the price book: %w", err)
		}
		b = fmt.Appendf(b, "%q: %s%s", name, val, end)
		return nil
	}
	for _, m := range []struct {
		name  string
		value any
	}{
		{"format", Format},
		{"source", d.Source},
		{"version", d.Version},
		{"listed", d.Listed},
		{"license", d.License},
		{"url", d.URL},
		{"gateways", d.Gateways},
	} {
		if err := member(m.name, m.value, ",\n"); err != nil {
			return nil, err
		}
	}
	b = append(b, "\"providers\": [\n"...)
	for i, p := range d.Providers {
		models := p.Models
		p.Models = nil
		text, err := json.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encode provider %s: %w", p.ID, err)
		}
		head, ok := strings.CutSuffix(string(text), `"models":[]}`)
		if !ok {
			return nil, fmt.Errorf("encode provider %s: models are not the last member", p.ID)
		}
		b = append(b, head...)
		b = append(b, "\"models\":[\n"...)
		for j := range models {
			line, err := json.Marshal(&models[j])
			if err != nil {
				return nil, fmt.Errorf("encode %s %s: %w", p.ID, models[j].ID, err)
			}
			b = append(b, line...)
			if j < len(models)-1 {
				b = append(b, ',')
			}
			b = append(b, '\n')
		}
		b = append(b, "]}"...)
		if i < len(d.Providers)-1 {
			b = append(b, ',')
		}
		b = append(b, '\n')
	}
	b = append(b, "]}\n"...)
	if !jsontext.Value(b).IsValid() {
		return nil, errors.New("encode the price book: not valid JSON")
	}
	return b, nil
}

// Decode reads a book's file. Unknown and repeated members are errors: a book
// that says something we do not understand must not be priced from.
func Decode(b []byte) (*Data, error) {
	d := new(Data)
	if err := json.Unmarshal(b, d, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("read the price book: %w", err)
	}
	if d.Format != Format {
		return nil, fmt.Errorf("read the price book: its format is %q, not %q", d.Format, Format)
	}
	return d, nil
}
