package probe

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/costprof/costprof/internal/testserver"
)

// The other engine gets the same bodies, and the values that could break out of a
// text: its SQL is another one. What they pass before is the same code.
func TestProbePostgres(t *testing.T) {
	address := serve(t, "DATABASE_URL="+testserver.Database(t))
	store(t, address, "mine", "visible", "7")
	t.Run("hostile bodies", func(t *testing.T) { hostileBodies(t, address) })
	t.Run("hostile values", func(t *testing.T) { hostileValues(t, address, breaking(hostileTexts())) })
}

// breaking are the texts that end a quoted one.
func breaking(texts []string) []string {
	return slices.DeleteFunc(texts, func(s string) bool {
		return !strings.ContainsAny(s, "'\"$\\\x00") && utf8.ValidString(s) && !strings.Contains(s, "SELECT")
	})
}

// schema is what a sample of a body is made from.
type schema struct {
	Ref                  string `json:"$ref"`
	Type                 kind
	Format, Pattern      string
	Enum                 []any
	Minimum              json.Number
	Properties           map[string]schema
	AdditionalProperties json.RawMessage
	Required             []string
	Items                *schema
	AllOf, AnyOf         []schema
}

// kind is the first type that a schema names.
type kind string

func (k *kind) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*k = kind(one)
		return nil
	}
	var several []string
	err := json.Unmarshal(b, &several)
	if len(several) > 0 {
		*k = kind(several[0])
	}
	return err
}

// change is an operation that changes something, or reads a body.
type change struct {
	id, method, path string
	parameters       []string
	body             *schema
}

// declared are the document's operations other than plain questions.
func declared(t *testing.T, address string) (list []change, components map[string]schema) {
	t.Helper()
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string
			Parameters  []struct{ Name, In string }
			RequestBody *struct {
				Content map[string]struct{ Schema schema }
			}
		}
		Components struct{ Schemas map[string]schema }
	}
	_, _, text := get(t, address, adminKey, "/openapi.json")
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	for _, path := range slices.Sorted(maps.Keys(document.Paths)) {
		if strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/api/v1/") {
			continue // served by the same code
		}
		for method, operation := range document.Paths[path] {
			if method == "get" {
				continue
			}
			c := change{id: operation.OperationID, method: strings.ToUpper(method), path: path}
			for _, p := range operation.Parameters {
				if p.In == "query" {
					c.parameters = append(c.parameters, p.Name)
				}
			}
			if operation.RequestBody != nil {
				body := operation.RequestBody.Content["application/json"].Schema
				c.body = &body
			}
			list = append(list, c)
		}
	}
	if len(list) < 10 {
		t.Fatalf("only %d operations are declared", len(list))
	}
	return list, document.Components.Schemas
}

// sampler makes bodies of schemas. Its word stands for every text, so that what
// one operation stores is nothing to another one.
type sampler struct {
	word       string
	components map[string]schema
}

func (s sampler) resolve(in schema) schema {
	if in.Ref != "" {
		return s.resolve(s.components[in.Ref[strings.LastIndexByte(in.Ref, '/')+1:]])
	}
	for i, part := range append(in.AllOf, in.AnyOf...) {
		part = s.resolve(part)
		if i == 0 && in.Type == "" {
			in.Type, in.Format, in.Pattern, in.Items = part.Type, part.Format, part.Pattern, part.Items
		}
		if i == 0 || len(in.AllOf) > 0 {
			in.Required = append(in.Required, part.Required...)
			for name, p := range part.Properties {
				if in.Properties == nil {
					in.Properties = map[string]schema{}
				}
				if _, known := in.Properties[name]; !known {
					in.Properties[name] = p
				}
			}
			for _, one := range part.AnyOf[:min(1, len(part.AnyOf))] {
				in.Required = append(in.Required, one.Required...)
			}
		}
	}
	return in
}

func (s sampler) sample(in schema) any {
	in = s.resolve(in)
	switch {
	case len(in.Enum) > 0:
		return in.Enum[0]
	case in.Type == "object" || len(in.Properties) > 0:
		out := map[string]any{}
		for _, name := range in.Required {
			out[name] = s.sample(in.Properties[name])
		}
		if _, both := out["from"]; both && out["to"] != nil {
			out["to"] = time.Now().UTC().Format(time.RFC3339)
		}
		return out
	case in.Type == "array":
		return []any{s.sample(*in.Items)}
	case in.Type == "integer" || in.Type == "number":
		return 1
	case in.Type == "boolean":
		return false
	case in.Format == "date-time" || in.Pattern != "":
		return time.Now().UTC().Add(-time.Hour).Format(time.RFC3339)
	}
	return s.word
}

// places are the paths to every member that the schema declares, with one that it
// does not, and one of each open object.
func (s sampler) places(in schema, at []string, depth int) [][]string {
	in = s.resolve(in)
	var out [][]string
	if len(at) > 0 {
		out = append(out, at)
	}
	if depth == 0 {
		return out
	}
	below := func(name string) []string { return append(slices.Clone(at), name) }
	if in.Items != nil {
		return append(out, s.places(*in.Items, below("0"), depth-1)...)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Properties)) {
		out = append(out, s.places(in.Properties[name], below(name), depth-1)...)
	}
	if in.Type == "object" {
		out = append(out, below("another"))
	}
	return out
}

// put gives the sample with value at a place.
func put(body any, at []string, value any) any {
	if len(at) == 0 {
		return value
	}
	if list, ok := body.([]any); ok && at[0] == "0" {
		return []any{put(list[0], at[1:], value)}
	}
	object, _ := body.(map[string]any)
	out := maps.Clone(object)
	if out == nil {
		out = map[string]any{}
	}
	out[at[0]] = put(out[at[0]], at[1:], value)
	return out
}

// hostileMembers are what no member should be hurt by. None of them is an amount
// that could be billed.
func hostileMembers() map[string]any {
	out := map[string]any{
		"null": nil, "true": true, "negative": -1, "huge": json.Number("1e999999999"), "beyond 64 bits": json.Number("18446744073709551616"),
		"tiny": json.Number("1e-999999999"), "long number": json.Number(strings.Repeat("9", 1000)), "list": []any{}, "object": map[string]any{}, "lists": json.RawMessage(strings.Repeat("[", 200) + strings.Repeat("]", 200)),
		"objects": json.RawMessage(strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)), "U+0000": json.RawMessage(`"a\u0000b"`),
		"half a character": json.RawMessage(`"\ud800"`), "not UTF-8": json.RawMessage("\"a\xff\""), "a name twice": json.RawMessage(`{"a":"1","a":"2"}`), "empty": "",
	}
	for _, value := range hostileTexts() {
		out[fmt.Sprintf("%.40q", value)] = value
	}
	return out
}

// encode is JSON that may be invalid inside of raw messages.
func encode(v any) string {
	switch v := v.(type) {
	case json.RawMessage:
		return string(v)
	case map[string]any:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, encode(name)+":"+encode(v[name]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, encode(e))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// hostileBodies sends hostile values as each member of each body, as each
// parameter and as each id of each operation that changes something, and asks for
// what was stored by its literal name.
func hostileBodies(t *testing.T, address string) {
	operations, components := declared(t, address)
	asked, stored := 0, 0
	for _, o := range operations {
		s := sampler{o.id, components}
		send := func(what, path, body string) int {
			asked++
			status, header, text := ask(t, address, adminKey, o.method, path, body)
			if status >= 500 || header.Get("Set-Cookie") != "" && o.id != "create-session" && o.id != "delete-session" || status >= 400 && leaks.MatchString(text) && !strings.Contains(body+path, "SELECT") {
				t.Errorf("%s with %s: %d %.300s", o.id, what, status, text)
			}
			return status
		}
		path := inPath.ReplaceAllLiteralString(o.path, "0123456789abcdef")
		sample := ""
		if o.body != nil {
			base := s.sample(*o.body)
			sample = encode(base)
			if status := send("a good body", path, sample); status >= 300 && o.id != "put-price-list" && !strings.Contains(o.path, "{") {
				t.Errorf("%s: its sample is refused with %d: %s", o.id, status, sample)
			}
			for _, at := range s.places(*o.body, nil, 4) {
				for name, value := range hostileMembers() {
					if send(strings.Join(at, ".")+" = "+name, path, encode(put(base, at, value))) < 300 {
						stored++
					}
				}
			}
		}
		for _, value := range hostileTexts() {
			if strings.Contains(o.path, "{") {
				send("an id", inPath.ReplaceAllLiteralString(o.path, url.PathEscape(value)), sample)
			}
			for _, name := range append(o.parameters, value) {
				send(name, path+"?"+url.Values{name: {value}}.Encode(), sample)
			}
		}
	}
	unchanged(t, address)
	t.Logf("%d requests, %d of them taken", asked, stored)
	roundTrip(t, address)
}

// unchanged: what the server knew before is as it was.
func unchanged(t *testing.T, address string) {
	t.Helper()
	for _, q := range []string{"", "?groupBy=project", "?project=mine", "?groupBy=tag:visible", "?user=visible"} {
		_, _, text := get(t, address, adminKey, "/api/v1/analytics/cost-breakdown"+q)
		if !strings.Contains(text, `"totalCost":7,`) && !strings.Contains(text, `"totalCost":7}`) {
			t.Errorf("%s afterwards: %.500s", q, text)
		}
	}
	if _, _, text := get(t, address, viewerKey, "/api/v1/events"); strings.Count(text, `"visible"`) < 5 {
		t.Errorf("the event afterwards: %s", text)
	}
}

// roundTrip stores a call whose every text is hostile, and finds it by each of
// them, alone.
func roundTrip(t *testing.T, address string) {
	fields := map[string]string{
		"feature": "feature", "model": "model", "provider": "provider", "userId": "user", "department": "department",
		"environment": "environment", "sessionId": "session", "operation": "operation", "project": "project",
	}
	for i, value := range hostileTexts() {
		text := fmt.Sprintf("%d %s", i, strings.ToValidUTF8(strings.ReplaceAll(value, "\x00", ""), ""))
		if runes := []rune(text); len(runes) > 60 {
			text = string(runes[:60])
		}
		event := map[string]any{
			"traceId": text, "spanId": text, "name": text, "timestamp": time.Now().UTC().Add(-time.Minute).Format(time.RFC3339), "inputTokens": 1, "outputTokens": 1, "latencyMs": 1,
			"tags": map[string]any{text: text}, "metadata": map[string]any{text: text}, "errorCode": text, "serviceTier": text, "region": text, "eventId": text,
		}
		for field := range fields {
			event[field] = text
		}
		if status, _, answer := ask(t, address, adminKey, http.MethodPost, "/api/v1/events", encode(map[string]any{"events": []any{event}})); status != http.StatusAccepted {
			t.Errorf("%q is not stored: %d %.300s", text, status, answer)
			continue
		}
		queries := []url.Values{{"tag:" + text: {text}}}
		for _, name := range fields {
			queries = append(queries, url.Values{name: {text}})
		}
		for _, query := range queries {
			_, _, answer := get(t, address, adminKey, "/api/v1/events?"+query.Encode())
			var found struct {
				Data []struct{ TraceID, Feature string }
			}
			if err := json.Unmarshal([]byte(answer), &found); err != nil || len(found.Data) != 1 || found.Data[0].TraceID != text || found.Data[0].Feature != text {
				t.Errorf("by %s: %v, got %.500s", query.Encode(), err, answer)
			}
		}
	}
	unchanged(t, address)
}
