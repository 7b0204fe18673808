package client

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"
)

func TestUnitPriceForms(t *testing.T) {
	for _, text := range []string{`2.5`, `0`, `{"price":3,"above":[{"inputTokens":200000,"price":6}]}`, `{"price":0.111,"minimum":10000}`} {
		var p UnitPrice
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if b, err := json.Marshal(p); err != nil || string(b) != text {
			t.Errorf("%s came back as %s, %v", text, b, err)
		}
	}
	var p UnitPrice
	if err := json.Unmarshal([]byte(`"cheap"`), &p); err == nil {
		t.Errorf("a price of %q was taken", p.Price)
	}
}

func TestDeletePriceNamesExactlyOne(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.Method+" "+r.URL.String(), "DELETE /api/v1/prices?effectiveFrom=2026-01-01T00%3A00%3A00Z&model=m%2F1&project=x&provider=p"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		w.WriteHeader(204)
	})
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := c.DeletePrice(t.Context(), DeletePrice{Provider: "p", Model: "m/1", Project: "x", EffectiveFrom: &from}); err != nil {
		t.Error(err)
	}
}

func TestQuotesKeepTheirOrder(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if got, want := string(b), `{"items":[{"provider":"p","model":"a","inputTokens":1,"outputTokens":0},{"provider":"p","model":"b","inputTokens":0,"outputTokens":2}]}`; got != want {
			t.Errorf("body %s\nwant %s", got, want)
		}
		io.WriteString(w, `{"data":[{"model":"a","cost":0.000001},{"model":"b","cost":0}]}`)
	})
	quotes, err := c.Quotes(t.Context(), []Call{{Provider: "p", Model: "a", InputTokens: 1}, {Provider: "p", Model: "b", OutputTokens: 2}})
	if err != nil || len(quotes) != 2 || quotes[0].Cost != "0.000001" || quotes[1].Model != "b" {
		t.Errorf("Quotes = %+v, %v", quotes, err)
	}
}

func TestBackfill(t *testing.T) {
	j := Job{Result: json.RawMessage(`{"scanned":9,"calls":3,"oldCost":0,"newCost":0.000000000001}`)}
	if b, err := j.Backfill(); err != nil || b.Calls != 3 || b.NewCost != "0.000000000001" {
		t.Errorf("Backfill = %+v, %v", b, err)
	}
}
