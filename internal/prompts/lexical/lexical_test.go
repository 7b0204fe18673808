package lexical

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"math"
	"strings"
	"testing"

	"github.com/costprof/costprof/internal/prompts"
)

// The vectors of a name never change: those that are stored are compared with new
// ones, on whatever machine. When this test fails, Name needs another number.
func TestVectorsStay(t *testing.T) {
	h := fnv.New64a()
	for _, text := range []string{
		"", " \n", "a", "Hello, World! 42 apples.", "Ärger im Café", "日本語のテキスト", "ﬁne ＡＢＣ", "x := y[3] + 1\n", "\xff\xfe broken",
		strings.Repeat("the same words again and again ", 400),
	} {
		for _, v := range Vector(text) {
			_ = binary.Write(h, binary.LittleEndian, math.Float32bits(v))
		}
	}
	if got, want := h.Sum64(), uint64(0x9581a187d237bf72); got != want {
		t.Errorf("the vectors are %#x, want %#x", got, want)
	}
}

func TestVectorsAreUnits(t *testing.T) {
	for _, text := range []string{"", "   ", "?", "🎉", "one", "ไทย", strings.Repeat("word ", 50_000)} {
		v := Vector(text)
		if got := cosine(v, v); len(v) != Dim || math.Abs(got-1) > 1e-5 {
			t.Errorf("%.10q: %d dimensions, length %v", text, len(v), got)
		}
	}
}

func TestEmbedCutsAndKeepsOrder(t *testing.T) {
	head := strings.Repeat("é ", prompts.MaxEmbedRunes/2)
	texts := []string{head + "tail of one", "second", head + "of another"}
	got, err := Embedder{}.Embed(t.Context(), texts)
	if err != nil || len(got.Vectors) != 3 {
		t.Fatal(len(got.Vectors), err)
	}
	if c := cosine(got.Vectors[0], got.Vectors[2]); math.Abs(c-1) > 1e-5 {
		t.Errorf("what stands behind %d characters counts: cosine %v", prompts.MaxEmbedRunes, c)
	}
	if c := cosine(got.Vectors[1], Vector("second")); math.Abs(c-1) > 1e-5 {
		t.Errorf("the order is lost: cosine %v", c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Embedder{}).Embed(ctx, texts); err == nil {
		t.Error("goes on after the end of its context")
	}
}

func BenchmarkVector(b *testing.B) {
	text := strings.Repeat("You are a helpful assistant of Acme; answer order 12345 politely. ", 30)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Vector(text)
	}
}
