package pricing

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// versionWire is how a version is written: in the book, in the catalog and on
// the wire. Units go by name and prices as decimal USD.
type versionWire struct {
	ID          string      `json:"id,omitzero"`
	Provider    string      `json:"provider,omitzero"`
	Model       string      `json:"model,omitzero"`
	Project     string      `json:"project,omitzero"`
	ServiceTier string      `json:"serviceTier,omitzero"`
	Region      string      `json:"region,omitzero"`
	From        time.Time   `json:"effectiveFrom,omitzero"`
	To          time.Time   `json:"effectiveTo,omitzero"`
	Window      *windowWire `json:"window,omitzero"`
	Prices      rates       `json:"prices"`
	Source      string      `json:"source,omitzero"`
}

type windowWire struct {
	Start    string   `json:"start"`
	End      string   `json:"end"`
	Weekdays []string `json:"weekdays,omitzero"`
	Zone     string   `json:"zone,omitzero"`
}

// MarshalJSON writes the project's own form, the same as in the book.
func (v Version) MarshalJSON() ([]byte, error) { return json.Marshal(v.wire()) }

// UnmarshalJSON reads what MarshalJSON wrote. Prices finer than a picodollar
// and unknown members are errors.
func (v *Version) UnmarshalJSON(b []byte) error {
	var w versionWire
	if err := json.Unmarshal(b, &w, json.RejectUnknownMembers(true)); err != nil {
		return err
	}
	got, err := w.version()
	if err != nil {
		return err
	}
	*v = got
	return nil
}

type ownWire struct {
	versionWire
	PutAt time.Time `json:"putAt,omitzero"`
}

// MarshalJSON writes the version's form and when it was put.
func (o Own) MarshalJSON() ([]byte, error) {
	return json.Marshal(ownWire{o.Version.wire(), o.PutAt})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (o *Own) UnmarshalJSON(b []byte) error {
	var w ownWire
	if err := json.Unmarshal(b, &w, json.RejectUnknownMembers(true)); err != nil {
		return err
	}
	v, err := w.version()
	if err != nil {
		return err
	}
	*o = Own{Version: v, PutAt: w.PutAt}
	return nil
}

func (v *Version) wire() versionWire {
	w := versionWire{
		ID: v.ID, Provider: v.Provider, Model: v.Model, Project: v.Project, ServiceTier: v.ServiceTier,
		Region: v.Region, From: v.From, To: v.To, Prices: rates(v.Rates), Source: v.Source,
	}
	if v.Window != nil {
		w.Window = &windowWire{Start: clock(v.Window.Start), End: clock(v.Window.End), Zone: v.Window.Zone}
		for _, d := range v.Window.Weekdays {
			w.Window.Weekdays = append(w.Window.Weekdays, strings.ToLower(d.String()[:3]))
		}
	}
	return w
}

func (w *versionWire) version() (Version, error) {
	v := Version{
		ID: w.ID, Provider: w.Provider, Model: w.Model, Project: w.Project, ServiceTier: w.ServiceTier,
		Region: w.Region, From: bound(w.From), To: bound(w.To), Rates: w.Prices, Source: w.Source,
	}
	if w.Window == nil {
		return v, nil
	}
	v.Window = &Window{Zone: w.Window.Zone}
	var err error
	if v.Window.Start, err = parseClock(w.Window.Start); err != nil {
		return v, err
	}
	if v.Window.End, err = parseClock(w.Window.End); err != nil {
		return v, err
	}
	for _, name := range w.Window.Weekdays {
		d, ok := weekdays[name]
		if !ok {
			return v, fmt.Errorf("no weekday %q: mon, tue, wed, thu, fri, sat, sun", usage.Shorten(name))
		}
		v.Window.Weekdays = append(v.Window.Weekdays, d)
	}
	return v, nil
}

var weekdays = map[string]time.Weekday{
	"sun": time.Sunday, "mon": time.Monday, "tue": time.Tuesday, "wed": time.Wednesday,
	"thu": time.Thursday, "fri": time.Friday, "sat": time.Saturday,
}

// clock writes a time of day as hh:mm, with :ss when there are seconds.
func clock(d time.Duration) string {
	s := int(d / time.Second)
	text := fmt.Sprintf("%02d:%02d", s/3600, s/60%60)
	if s%60 != 0 {
		text += fmt.Sprintf(":%02d", s%60)
	}
	return text
}

func parseClock(s string) (time.Duration, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return 0, fmt.Errorf("a time of day is hh:mm or hh:mm:ss, not %q", usage.Shorten(s))
	}
	total := 0
	limits := [...]int{24, 59, 59}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || len(part) != 2 || n < 0 || n > limits[i] {
			return 0, fmt.Errorf("a time of day is hh:mm or hh:mm:ss, not %q", usage.Shorten(s))
		}
		total = total*60 + n
	}
	if len(parts) == 2 {
		total *= 60
	}
	if total > 24*3600 {
		return 0, fmt.Errorf("a time of day is at most 24:00, not %q", usage.Shorten(s))
	}
	return time.Duration(total) * time.Second, nil
}

// rates are written as an object: a price's name to its amount, or to an
// object when there is more to say than the amount.
type rates []Rate

type rateWire struct {
	Price   jsontext.Value `json:"price"`
	Above   []stepWire     `json:"above,omitzero"`
	Minimum int64          `json:"minimum,omitzero"`
}

type stepWire struct {
	InputTokens int64          `json:"inputTokens"`
	Price       jsontext.Value `json:"price"`
}

func (rs rates) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, r := range rs {
		if r.Unit < 0 || r.Unit >= usage.NumUnits {
			return nil, fmt.Errorf("no unit %d", int(r.Unit))
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendQuote(b, usage.Units[r.Unit].Price)
		b = append(b, ':')
		if len(r.Above) == 0 && r.Minimum == 0 {
			b = r.Price.AppendText(b)
			continue
		}
		w := rateWire{Price: r.Price.AppendText(nil), Minimum: r.Minimum}
		for _, s := range r.Above {
			w.Above = append(w.Above, stepWire{s.InputTokens, s.Price.AppendText(nil)})
		}
		obj, err := json.Marshal(w)
		if err != nil {
			return nil, err
		}
		b = append(b, obj...)
	}
	return append(b, '}'), nil
}

var errPrice = errors.New("a price must be a decimal number of USD, at most a picodollar fine")

func (rs *rates) UnmarshalJSON(b []byte) error {
	dec := jsontext.NewDecoder(bytes.NewReader(b))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return errors.New("prices must be an object")
	}
	*rs = rates{}
	for dec.PeekKind() != '}' {
		tok, err := dec.ReadToken()
		if err != nil {
			return err
		}
		u, ok := usage.UnitByPrice(tok.String())
		if !ok {
			return unknownPrice(tok.String())
		}
		val, err := dec.ReadValue()
		if err != nil {
			return err
		}
		r := Rate{Unit: u}
		if val.Kind() != '{' {
			if r.Price, err = exactPrice(val); err != nil {
				return err
			}
			*rs = append(*rs, r)
			continue
		}
		var w rateWire
		if err := json.Unmarshal(val, &w, json.RejectUnknownMembers(true)); err != nil {
			return err
		}
		if r.Price, err = exactPrice(w.Price); err != nil {
			return err
		}
		r.Minimum = w.Minimum
		for _, s := range w.Above {
			p, err := exactPrice(s.Price)
			if err != nil {
				return err
			}
			r.Above = append(r.Above, Step{s.InputTokens, p})
		}
		*rs = append(*rs, r)
	}
	_, err := dec.ReadToken()
	return err
}

func exactPrice(v jsontext.Value) (money.USD, error) {
	if v.Kind() != '0' {
		return 0, errPrice
	}
	p, exact, err := money.ParseExact(v)
	if err != nil || !exact || p < 0 {
		return 0, errPrice
	}
	return p, nil
}

// priceNames lists the price keys for error messages.
func priceNames() string {
	names := make([]string, usage.NumUnits)
	for u := range usage.NumUnits {
		names[u] = usage.Units[u].Price
	}
	return strings.Join(names, ", ")
}

func unknownPrice(name string) error {
	return fmt.Errorf("no price %q; known are %s", usage.Shorten(name), priceNames())
}
