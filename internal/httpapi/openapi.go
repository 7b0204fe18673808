package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

// mount registers every route with the mux and gives the document of them.
//
// huma holds the document and makes schemas of Go types. It does not read
// requests: it could neither tell an empty parameter from a missing one nor a
// repeated one from a single one, and its errors have another shape.
func (s *server) mount(routes []*route) ([]byte, error) {
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title:       "costprof",
			Version:     s.version,
			Description: description,
			License:     &huma.License{Name: "MIT", Identifier: "MIT"},
		},
		Servers:    []*huma.Server{{URL: "/"}},
		Components: &huma.Components{Schemas: s.schemas, Responses: errorResponses(s.schemas), SecuritySchemes: schemes()},
		// An empty list says that no credential is asked for, a missing one nothing.
		Extensions: map[string]any{"security": []any{}},
	}
	for _, rt := range routes {
		if rt.need == 0 {
			return nil, fmt.Errorf("the route %s does not say what right it needs", rt.id)
		}
		for i, p := range rt.paths() {
			s.mux.HandleFunc(rt.method+" "+p, s.handle(rt))
			op := s.operation(rt, p)
			if i > 0 {
				op.OperationID += aliasSuffix
				op.Description = strings.TrimSpace("The same as " + rt.path + ". " + op.Description)
			}
			doc.AddOperation(op)
		}
	}
	for _, schema := range s.schemas.Map() {
		neverNull(schema)
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the OpenAPI document: %w", err)
	}
	return append(text, '\n'), nil
}

// aliasSuffix marks the operation of a second path.
const aliasSuffix = "-alias"

// schemes are the ways to show who asks.
func schemes() map[string]*huma.SecurityScheme {
	return map[string]*huma.SecurityScheme{
		"bearer":  {Type: "http", Scheme: "bearer", Description: "An API key, or a token of a person (JWT)."},
		"apiKey":  {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "An API key."},
		"session": {Type: "apiKey", In: "cookie", Name: sessionCookie, Description: "A browser's session; see POST /api/v1/session."},
	}
}

// credentials are the alternatives of a route that asks for one; the empty one
// is an open server's.
func credentials() []map[string][]string {
	return []map[string][]string{{"bearer": {}}, {"apiKey": {}}, {"session": {}}, {}}
}

const description = `Records every LLM call and charge, prices each exactly, and shows where the money goes.

Amounts are USD as JSON numbers with every significant digit: read them as decimals, not as binary floating point. ` +
	`Every error has the same shape; every list that can be long has the same pagination; every question takes the same range and filters.`

func (s *server) operation(rt *route, path string) *huma.Operation {
	op := &huma.Operation{
		OperationID: rt.id, Method: rt.method, Path: path, Tags: []string{rt.tag},
		Summary: rt.summary, Description: rt.doc, RequestBody: rt.body,
		Responses: map[string]*huma.Response{},
	}
	for part := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok && part != "{$}" {
			op.Parameters = append(op.Parameters, &huma.Param{Name: strings.TrimSuffix(name, "}"), In: "path", Required: true, Schema: text()})
		}
	}
	op.Path = strings.TrimSuffix(op.Path, "{$}")
	for _, p := range rt.params {
		op.Parameters = append(op.Parameters, p.document())
	}
	for _, h := range rt.headers {
		op.Parameters = append(op.Parameters, &huma.Param{Name: h.name, In: "header", Schema: h.schema, Description: h.doc})
	}
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: "X-Request-ID", In: "header", Schema: text(),
		Description: "Names the request in answer and log: at most 128 printable characters, others are replaced.",
	})

	success := &huma.Response{Description: http.StatusText(rt.status), Headers: map[string]*huma.Param{
		"X-Request-ID": {Description: "The id of the request.", Schema: text()},
	}}
	if rt.answer != nil {
		media := rt.media
		if media == "" {
			media = "application/json"
		}
		success.Content = map[string]*huma.MediaType{media: {Schema: rt.answer}}
		for _, f := range rt.files {
			f.schema.Description = f.doc
			media, _, _ := strings.Cut(f.media, ";")
			success.Content[media] = &huma.MediaType{Schema: f.schema}
			success.Headers["Content-Disposition"] = &huma.Param{Description: "Of a file: names it.", Schema: text()}
		}
	}
	for _, t := range rt.trailers {
		success.Headers[t.name] = &huma.Param{Description: t.doc, Schema: t.schema}
	}
	op.Responses[strconv.Itoa(rt.status)] = success
	if rt.also != 0 {
		again := *success
		again.Description = http.StatusText(rt.also)
		op.Responses[strconv.Itoa(rt.also)] = &again
	}
	errs := append([]int{http.StatusBadRequest, http.StatusForbidden, http.StatusInternalServerError}, rt.errors...)
	if rt.need != auth.Public {
		errs = append(errs, http.StatusUnauthorized)
		op.Security = credentials()
	}
	if rt.pace != paceExempt || rt.need != auth.Public { // who guesses is told to wait anywhere
		errs = append(errs, http.StatusTooManyRequests)
	}
	if rt.serve != nil {
		errs = append(errs, http.StatusServiceUnavailable)
	}
	if rt.body != nil {
		errs = append(errs, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	for _, status := range errs {
		if key := strconv.Itoa(status); op.Responses[key] == nil {
			op.Responses[key] = &huma.Response{Ref: "#/components/responses/" + errorNames[status]}
		}
	}
	if rt.unavailable != nil {
		op.Responses["503"] = &huma.Response{
			Description: errorDocs[http.StatusServiceUnavailable],
			Content:     map[string]*huma.MediaType{"application/json": {Schema: rt.unavailable}},
		}
	}
	return op
}

// errorNames are the errors a route can give, by status. The two of the mux (no
// such path, wrong method) belong to none of them.
var errorNames = map[int]string{
	http.StatusBadRequest:            "Invalid",
	http.StatusUnauthorized:          "Unauthorized",
	http.StatusForbidden:             "Forbidden",
	http.StatusTooManyRequests:       "RateLimited",
	http.StatusNotFound:              "NotFound",
	http.StatusMethodNotAllowed:      "MethodNotAllowed",
	http.StatusRequestTimeout:        "RequestTimeout",
	http.StatusConflict:              "Conflict",
	http.StatusGone:                  "Gone",
	http.StatusRequestEntityTooLarge: "TooLarge",
	http.StatusUnsupportedMediaType:  "UnsupportedMediaType",
	http.StatusInternalServerError:   "Internal",
	http.StatusServiceUnavailable:    "Unavailable",
}

var errorDocs = map[int]string{
	http.StatusBadRequest:            "The input breaks rules; details names them by field or parameter. Nothing was stored.",
	http.StatusUnauthorized:          "The server asks for a credential: there was none, or nobody knows it.",
	http.StatusForbidden:             "The role or the project does not allow it; or, on an open server, the request may not come in this way: by this host name, through a proxy, or from a page of another origin.",
	http.StatusTooManyRequests:       "Too many requests in the window; try again after Retry-After seconds.",
	http.StatusNotFound:              "There is no such thing.",
	http.StatusMethodNotAllowed:      "The path does not answer to this method; Allow lists those it answers to.",
	http.StatusRequestTimeout:        "The body did not arrive in time.",
	http.StatusConflict:              "The state does not allow it.",
	http.StatusGone:                  "The list that the cursor goes through is no longer there: start again without it.",
	http.StatusRequestEntityTooLarge: "The body is too large, as it is or decompressed.",
	http.StatusUnsupportedMediaType:  "The Content-Type or Content-Encoding is not one of those named.",
	http.StatusInternalServerError:   "A fault of the server; its log has the cause under requestId.",
	http.StatusServiceUnavailable:    "The server cannot do it now, nothing was stored; try again after Retry-After seconds.",
}

func errorResponses(reg huma.Registry) map[string]*huma.Response {
	schema := reg.Schema(reflect.TypeFor[errorBody](), true, "Error")
	out := map[string]*huma.Response{}
	for status, name := range errorNames {
		r := &huma.Response{
			Description: errorDocs[status], Content: map[string]*huma.MediaType{"application/json": {Schema: schema}},
			Headers: map[string]*huma.Param{"X-Request-ID": {Description: "The id of the request.", Schema: text()}},
		}
		switch status {
		case http.StatusServiceUnavailable, http.StatusTooManyRequests:
			r.Headers["Retry-After"] = &huma.Param{Description: "Seconds to wait.", Schema: &huma.Schema{Type: huma.TypeInteger}}
		case http.StatusMethodNotAllowed:
			r.Headers["Allow"] = &huma.Param{Description: "The methods of the path.", Schema: text()}
		}
		out[name] = r
	}
	return out
}

// document describes a parameter.
func (p *param) document() *huma.Param {
	out := &huma.Param{Name: p.name, In: "query", Description: p.doc, Required: p.required, Schema: p.schema}
	switch {
	case p.name == tagParam:
		// An exploded object is how OpenAPI says "parameters of these names".
		out.Style, out.Explode = "form", new(bool)
		*out.Explode = true
		out.Schema = &huma.Schema{Type: huma.TypeObject, AdditionalProperties: &huma.Schema{Type: huma.TypeArray, Items: p.schema}}
	case p.repeat:
		out.AllowEmptyValue = p.empty
		out.Explode = new(bool)
		*out.Explode = true
		out.Schema = &huma.Schema{Type: huma.TypeArray, Items: p.schema}
	}
	return out
}

// newSchemas is a registry that knows how our own types are written.
func newSchemas() huma.Registry {
	reg := huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
		name := huma.DefaultSchemaNamer(t, hint)
		if better, ok := schemaNames[name]; ok {
			return better
		}
		return name
	})
	reg.RegisterTypeAlias(reflect.TypeFor[money.USD](), reflect.TypeFor[amount]())
	reg.RegisterTypeAlias(reflect.TypeFor[money.Total](), reflect.TypeFor[amount]())
	reg.RegisterTypeAlias(reflect.TypeFor[usage.ID](), reflect.TypeFor[eventID]())
	reg.RegisterTypeAlias(reflect.TypeFor[usage.Source](), reflect.TypeFor[costSource]())
	reg.RegisterTypeAlias(reflect.TypeFor[json.RawMessage](), reflect.TypeFor[object]())
	return reg
}

var schemaNames = map[string]string{"ErrorBody": "Error"}

// The types below only say what is written for the types they stand for.
type (
	amount     struct{}
	eventID    struct{}
	costSource struct{}
	object     struct{}
)

func (amount) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeNumber, Description: "USD, exact: a decimal number with every significant digit."}
}

func (eventID) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: "^[0-9a-f]{32}$", Description: "Identity of an event."}
}

func (costSource) Schema(huma.Registry) *huma.Schema {
	s := text("billed", "catalog", "client", "unpriced")
	s.Description = "Where the cost came from: what the provider charged, our price book, the caller's estimate, or nowhere (0)."
	return s
}

func (object) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// neverNull takes back that lists may be null, which huma says of every slice:
// here an empty list is written as one.
func neverNull(s *huma.Schema) {
	if s == nil {
		return
	}
	if s.Type == huma.TypeArray {
		s.Nullable = false
	}
	for _, p := range s.Properties {
		neverNull(p)
	}
	neverNull(s.Items)
	if inner, ok := s.AdditionalProperties.(*huma.Schema); ok {
		neverNull(inner)
	}
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// schemaOf is the schema of T.
func schemaOf[T any](s *server) *huma.Schema {
	return s.schemas.Schema(reflect.TypeFor[T](), true, "")
}

// envelope is the schema of a success; meta and paged add their parts.
func (s *server) envelope(data, meta *huma.Schema, parts ...part) *huma.Schema {
	props := map[string]*huma.Schema{"data": data}
	required := []string{"data"}
	if meta != nil {
		props["meta"] = meta
		required = append(required, "meta")
	}
	if slices.Contains(parts, paged) {
		props["pagination"] = schemaOf[pagination](s)
		required = append(required, "pagination")
	}
	return &huma.Schema{Type: huma.TypeObject, Properties: props, Required: required, AdditionalProperties: false}
}

type part int

const paged part = 1

func arrayOf(items *huma.Schema) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, Items: items}
}

func anyOf(schemas ...*huma.Schema) *huma.Schema { return &huma.Schema{AnyOf: schemas} }

func withDefault(s *huma.Schema, v any) *huma.Schema {
	s.Default = v
	return s
}
