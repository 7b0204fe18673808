package httpapi

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/auth"
)

//go:embed docs/page.html docs/page.css
var docsFiles embed.FS

// docsPage is the document as people read it: one page without scripts, written
// when the server starts. Its only style is in it and named by its hash, so that
// the policy allows that and nothing else.
type docsPage struct{ html, policy []byte }

func (s *server) docsRoute() *route {
	return &route{
		id: "docs", method: http.MethodGet, path: "/docs", tag: "Operation", need: auth.Public, summary: "This document, for people",
		doc: "One page without scripts or anything from elsewhere.", status: http.StatusOK,
		answer: &huma.Schema{Type: huma.TypeString}, media: "text/html",
		raw: func(w http.ResponseWriter, r *http.Request) {
			if s.refuseQuery(w, r) {
				return
			}
			h := w.Header()
			h.Set("Content-Type", "text/html; charset=utf-8")
			h.Set("Content-Length", strconv.Itoa(len(s.docs.html)))
			h.Set("Content-Security-Policy", string(s.docs.policy))
			hurry(w, len(s.docs.html))
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write(s.docs.html)
		},
	}
}

// newDocsPage writes the page of a document; order lists the operations' ids.
func newDocsPage(document []byte, order []string) (docsPage, error) {
	fail := func(err error) (docsPage, error) { return docsPage{}, fmt.Errorf("write the page of the API: %w", err) }
	var doc openDocument
	if err := json.Unmarshal(document, &doc); err != nil {
		return fail(err)
	}
	t, err := template.ParseFS(docsFiles, "docs/page.html")
	if err != nil {
		return fail(err)
	}
	style, err := docsFiles.ReadFile("docs/page.css")
	if err != nil {
		return fail(err)
	}
	view := docsView{
		Title: doc.Info.Title, Version: doc.Info.Version, OpenAPI: doc.OpenAPI, Text: paragraphs(doc.Info.Description),
		Style: template.CSS(style), //nolint:gosec // our own file
		Tags:  doc.tags(order),
	}
	for _, name := range slices.Sorted(maps.Keys(doc.Components.SecuritySchemes)) {
		c := doc.Components.SecuritySchemes[name]
		how := "Authorization: Bearer …"
		switch c.In {
		case "header":
			how = c.Name + ": …"
		case "cookie":
			how = "Cookie: " + c.Name + "=…"
		}
		view.Credentials = append(view.Credentials, docsCredential{name, c.Description, how})
	}
	for status, name := range errorNames {
		r := doc.Components.Responses[name]
		view.Errors = append(view.Errors, docsError{status, name, r.Description, slices.Sorted(maps.Keys(r.Headers))})
	}
	slices.SortFunc(view.Errors, func(a, b docsError) int { return a.Status - b.Status })
	for _, name := range slices.Sorted(maps.Keys(doc.Components.Schemas)) {
		view.Schemas = append(view.Schemas, docsSchema{name, bodyOf("", doc.Components.Schemas[name])})
	}
	var html bytes.Buffer
	if err := t.Execute(&html, view); err != nil {
		return fail(err)
	}
	// The hash is of the element as it stands in the page.
	_, rest, _ := strings.Cut(html.String(), "<style>")
	inline, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(inline))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
	return docsPage{html.Bytes(), []byte(policy)}, nil
}

// tags groups the operations; those with a second path are one.
func (d *openDocument) tags(order []string) []docsTag {
	place := map[string]int{}
	for i, id := range order {
		place[id] = i
	}
	var all []docsOperation
	aliases := map[string][]docsAlias{}
	for at, methods := range d.Paths {
		for method, op := range methods {
			method = strings.ToUpper(method)
			if id, alias := strings.CutSuffix(op.ID, aliasSuffix); alias {
				aliases[id] = append(aliases[id], docsAlias{op.ID, method, at})
				continue
			}
			all = append(all, operationOf(method, at, op))
		}
	}
	slices.SortFunc(all, func(a, b docsOperation) int { return place[a.ID] - place[b.ID] })
	var tags []docsTag
	for _, op := range all {
		op.Aliases = aliases[op.ID]
		at := slices.IndexFunc(tags, func(t docsTag) bool { return t.Name == op.tag })
		if at < 0 {
			at = len(tags)
			tags = append(tags, docsTag{ID: "tag-" + strings.ReplaceAll(op.tag, " ", "-"), Name: op.tag})
		}
		tags[at].Operations = append(tags[at].Operations, op)
	}
	return tags
}

func operationOf(method, at string, op openOperation) docsOperation {
	out := docsOperation{
		ID: op.ID, Method: method, Path: at, Short: strings.TrimPrefix(at, "/api/v1"), Summary: op.Summary, Text: paragraphs(op.Description),
		Closed: len(op.Security) > 0, BodyText: op.RequestBody.Description, Bodies: bodiesOf(op.RequestBody.Content),
	}
	if len(op.Tags) > 0 {
		out.tag = op.Tags[0]
	}
	for _, p := range op.Parameters {
		f := docsField{Name: p.Name, In: p.In, Required: p.Required, Doc: p.Description, Type: wordsOf(p.Schema), Rules: rulesOf(p.Schema)}
		if p.Schema != nil && p.Schema.Items != nil {
			f.Rules = append(f.Rules, rulesOf(p.Schema.Items)...)
		}
		out.Parameters = append(out.Parameters, f)
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		r := op.Responses[status]
		out.Answers = append(out.Answers, docsAnswer{
			Status: status, Doc: r.Description, Error: strings.TrimPrefix(r.Ref, "#/components/responses/"),
			Headers: slices.Sorted(maps.Keys(r.Headers)), Bodies: bodiesOf(r.Content),
		})
	}
	return out
}

func bodiesOf(content map[string]openMedia) []docsBody {
	var out []docsBody
	for _, media := range slices.Sorted(maps.Keys(content)) {
		out = append(out, bodyOf(media, content[media].Schema))
	}
	return out
}

func bodyOf(media string, s *openSchema) docsBody {
	b := docsBody{Media: media, Type: wordsOf(s), Rules: rulesOf(s)}
	if s != nil {
		b.Doc = s.Description
		b.Fields = fieldsOf("", s)
	}
	return b
}

func schemaName(ref string) string { return path.Base(ref) }

func paragraphs(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n\n"), func(p string) bool { return strings.TrimSpace(p) == "" })
}

// docsView is what the template shows.
type docsView struct {
	Title, Version, OpenAPI string
	Text                    []string
	Style                   template.CSS
	Credentials             []docsCredential
	Errors                  []docsError
	Tags                    []docsTag
	Schemas                 []docsSchema
}

type (
	docsCredential struct{ Name, Doc, How string }
	docsError      struct {
		Status    int
		Name, Doc string
		Headers   []string
	}
	docsTag struct {
		ID, Name   string
		Operations []docsOperation
	}
	docsAlias     struct{ ID, Method, Path string }
	docsOperation struct {
		ID, Method, Path, Short, Summary string
		tag                              string
		Text                             []string
		Aliases                          []docsAlias
		Closed                           bool // asks for a credential
		Parameters                       []docsField
		BodyText                         string
		Bodies                           []docsBody
		Answers                          []docsAnswer
	}
	docsAnswer struct {
		Status, Doc, Error string
		Headers            []string
		Bodies             []docsBody
	}
	docsSchema struct {
		Name string
		Body docsBody
	}
	docsBody struct {
		Media, Doc string
		Type       []docsWord
		Rules      []docsRule
		Fields     []docsField
	}
	docsField struct {
		Name, In, Doc string
		Required      bool
		Type          []docsWord
		Rules         []docsRule
	}
	// docsWord is text, or the name of a schema to link to.
	docsWord struct{ Text, Schema string }
	docsRule struct{ Name, Value string }
)

// Long says that the value would hide what stands beside it.
func (r docsRule) Long() bool { return len(r.Value) > 80 }
