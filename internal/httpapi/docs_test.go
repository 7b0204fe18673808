package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"html"
	"io"
	"regexp"
	"strings"
	"testing"
)

var (
	pageTag = regexp.MustCompile(`<[^>]*>`)
	pageID  = regexp.MustCompile(` id="([^"]*)"`)
	pageRef = regexp.MustCompile(` (?:href|src)="([^"]*)"`)
	blanks  = regexp.MustCompile(`\s+`)
)

// textOf is what a reader sees.
func textOf(page string) string {
	return blanks.ReplaceAllString(html.UnescapeString(pageTag.ReplaceAllString(page, "")), " ")
}

// Everything that the document says stands on the page, below its operation.
func TestDocsShowTheDocument(t *testing.T) {
	f := setup(t)
	page := string(f.get("/docs").want(200).body)
	whole := textOf(page)
	// blocks are the parts that belong to an id.
	blocks := map[string]string{}
	for _, m := range regexp.MustCompile(`(?s)<details>\s*<summary>.*?</summary>\s*<div id="([^"]*)">.*?</div>\s</details>`).FindAllStringSubmatch(page, -1) {
		blocks[m[1]] = textOf(m[0])
	}
	operations := 0
	for at, item := range f.doc.Paths.Map() {
		for method, op := range item.Operations() {
			operations++
			block := blocks[strings.TrimSuffix(op.OperationID, aliasSuffix)]
			for _, said := range []string{method, at, op.Summary} {
				if said = blanks.ReplaceAllString(said, " "); block == "" || !strings.Contains(block, said) {
					t.Errorf("%s %s: its block does not say %q", method, at, said)
				}
			}
			if !strings.Contains(page, ` id="`+op.OperationID+`"`) {
				t.Errorf("%s %s cannot be linked to as #%s", method, at, op.OperationID)
			}
			for _, p := range op.Parameters {
				for _, said := range []string{p.Value.Name, p.Value.Description} {
					if !strings.Contains(block, blanks.ReplaceAllString(said, " ")) {
						t.Errorf("%s %s: its block does not say %q of the parameter %s", method, at, said, p.Value.Name)
					}
				}
			}
			for status := range op.Responses.Map() {
				if !strings.Contains(block, status+" ") {
					t.Errorf("%s %s: its block has no answer %s", method, at, status)
				}
			}
		}
	}
	if operations < 40 {
		t.Errorf("only %d operations", operations)
	}
	for name, schema := range f.doc.Components.Schemas {
		block := blocks["schema-"+name]
		for field, s := range schema.Value.Properties {
			for _, said := range []string{field, s.Value.Description} {
				if s.Ref == "" && !strings.Contains(block, blanks.ReplaceAllString(said, " ")) {
					t.Errorf("schema %s: its block does not say %q", name, said)
				}
			}
		}
	}
	for name, r := range f.doc.Components.Responses {
		if !strings.Contains(whole, *r.Value.Description) || !strings.Contains(page, `id="error-`+name+`"`) {
			t.Errorf("the error %s is not explained", name)
		}
	}
}

// The page needs nothing but itself, and its policy allows nothing else.
func TestDocsStandAlone(t *testing.T) {
	f := setup(t)
	a := f.get("/docs").want(200)
	page := string(a.body)
	ids := map[string]bool{}
	for _, m := range pageID.FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("the id %s is there twice", m[1])
		}
		ids[m[1]] = true
	}
	links := 0
	for _, m := range pageRef.FindAllStringSubmatch(page, -1) {
		target, inside := strings.CutPrefix(m[1], "#")
		switch {
		case inside && !ids[target]:
			t.Errorf("a link to %s leads nowhere", m[1])
		case !inside && m[1] != "/openapi.json":
			t.Errorf("the page refers to %s", m[1])
		}
		links++
	}
	if links < 100 {
		t.Errorf("only %d links", links)
	}
	for _, no := range []string{"<script", "style=", "onclick", "@import", "url(", "//cdn", "ZgotmplZ"} {
		if strings.Contains(page, no) {
			t.Errorf("the page contains %s", no)
		}
	}
	_, rest, _ := strings.Cut(page, "<style>")
	style, _, found := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
	if got := a.header.Get("Content-Security-Policy"); !found || len(style) < 1000 || got != want {
		t.Errorf("policy %q, want %q", got, want)
	}
	if got := a.header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	// Every element is closed in its order.
	d := xml.NewDecoder(strings.NewReader(page))
	d.Entity = xml.HTMLEntity
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
	}
	f.get("/docs?x=1").want(400).says("x")
	f.do("HEAD", "/docs", "").want(200)
	f.get("/").want(200).says(`"docs":"/docs"`)
}
