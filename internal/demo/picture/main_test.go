package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// The picture is what its tree gives, so that nobody edits one alone.
func TestPictureIsOfItsTree(t *testing.T) {
	tree, err := os.Open("../../../docs/images/flame.json")
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	want, err := os.ReadFile("../../../docs/images/flame.svg")
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := run(tree, &got, "costprof flame --levels department,feature,model"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("flame.svg is not the picture of flame.json; the comment of the package says how to draw it")
	}
	if len(want) > 60_000 {
		t.Errorf("flame.svg has %d bytes, too many for a README", len(want))
	}
}

func TestAnyTreeIsXML(t *testing.T) {
	for _, tree := range []string{
		`{"name":"Project","value":0}`,
		`{"name":"Project","value":1e-12,"children":[{"name":"<&\">","value":0.5e-12,"children":[]},{"name":"","value":0}]}`,
		`{"name":"Project","value":-3,"children":[{"name":"a","value":-3}]}`,
		`{"name":"Project","value":10,"children":[{"name":"` + strings.Repeat("長", 200) + `","value":10}]}`,
	} {
		var out bytes.Buffer
		if err := run(strings.NewReader(tree), &out, "<caption>"); err != nil {
			t.Errorf("%s: %v", tree, err)
			continue
		}
		d := xml.NewDecoder(&out)
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", tree, err)
				break
			}
		}
	}
	if err := run(strings.NewReader(`{"name":`), io.Discard, ""); err == nil {
		t.Error("half a tree gave a picture")
	}
}
