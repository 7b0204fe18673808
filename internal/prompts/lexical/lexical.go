// Package lexical embeds prompts by the words they are made of: offline, without
// a key, and the same on every machine. It knows nothing of meaning: two texts
// are alike when they say it with the same words.
package lexical

import (
	"context"
	"math"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/costprof/costprof/internal/prompts"
)

const (
	// Name is the embedder's; a change of anything that changes vectors changes
	// the number, so that old vectors are not compared with new ones.
	Name = "lexical-1"
	// Dim is the number of buckets that features are hashed into. Two texts
	// without a word in common have a cosine of about 1/√Dim by chance.
	Dim = 1024

	maxBatch = 64
)

// Weights of a feature, by what it is. A word counts most. Pairs of words tell
// the order. Parts of words let a changed ending pass for a small change. What
// usually differs between two uses of one template (numbers; names, recognised by
// a capital letter within a sentence) counts little, and so do short words, which
// in most languages that have them are articles and prepositions.
const (
	wordWeight  = 6
	shortWeight = 3
	nameWeight  = 2
	pairWeight  = 2
	partWeight  = 1
	partLength  = 4
	shortLength = 3
)

// Embedder needs no state.
type Embedder struct{}

// Name of the embedder.
func (Embedder) Name() string { return Name }

// MaxBatch keeps a batch in the region of a tenth of a second.
func (Embedder) MaxBatch() int { return maxBatch }

// Charged is false: it is our own work.
func (Embedder) Charged() bool { return false }

// Embed gives a vector for each text. A text without a letter or digit has the
// vector of its characters.
func (Embedder) Embed(ctx context.Context, texts []string) (prompts.Embeddings, error) {
	out := make([][]float32, len(texts))
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return prompts.Embeddings{}, err
		}
		out[i] = Vector(text)
	}
	return prompts.Embeddings{Vectors: out}, nil
}

// Vector is the embedding of one text. Sums are of integers, and the division by the length is
// the only floating point, so that every machine gives the same bits.
func Vector(text string) []float32 {
	f := features{}
	f.read(norm.NFKC.String(prompts.CutRunes(strings.ToValidUTF8(text, ""), prompts.MaxEmbedRunes)))
	var sums [Dim]int64
	for hash, n := range f {
		// Sub-linear: a word said eight times counts four times.
		v := int64(n.weight) * int64(bits.Len32(n.count))
		if hash>>63 != 0 {
			v = -v
		}
		sums[hash%Dim] += v
	}
	var square int64
	for _, v := range sums {
		square += v * v
	}
	out := make([]float32, Dim)
	if square == 0 {
		// Nothing to go by: a text of blanks is like another of blanks.
		out[0] = 1
		return out
	}
	length := math.Sqrt(float64(square))
	for i, v := range sums {
		out[i] = float32(float64(v) / length)
	}
	return out
}

type feature struct{ weight, count uint32 }

type features map[uint64]feature

func (f features) add(hash uint64, weight uint32) {
	n := f[hash]
	n.weight = max(n.weight, weight)
	n.count++
	f[hash] = n
}

// read adds what the text is made of.
func (f features) read(text string) {
	var before uint64
	begins := true // of a sentence: a capital says nothing there
	for text != "" {
		size, kind := next(text)
		word := text[:size]
		text = text[size:]
		switch kind {
		case blank:
			continue
		case stop:
			begins = true
			continue
		case sign:
			// Code and formats differ by their signs; a little.
			f.add(hashOf('s', word), partWeight)
			continue
		}
		var hash uint64
		weight := uint32(wordWeight)
		switch kind {
		case number:
			hash, weight = hashOf('n', "0"), nameWeight
		case ideograph:
			hash = hashOf('w', word)
		default:
			first, _ := utf8.DecodeRuneInString(word)
			capital := unicode.IsUpper(first) && !begins
			word = strings.ToLower(word)
			hash = hashOf('w', word)
			long := utf8.RuneCountInString(word) > shortLength
			switch {
			case capital:
				weight = nameWeight
			case !long:
				weight = shortWeight
			}
			if long && !capital {
				f.parts(word)
			}
		}
		f.add(hash, weight)
		if before != 0 {
			f.add(mix(before*31+hash), pairWeight)
		}
		before, begins = hash, false
	}
}

// parts adds the runs of partLength characters of a word, with its borders.
func (f features) parts(word string) {
	word = "<" + word + ">"
	// end runs partLength characters before i.
	end, ahead := 0, 0
	for i := range word {
		for ahead < partLength && end < len(word) {
			_, n := utf8.DecodeRuneInString(word[end:])
			end += n
			ahead++
		}
		if ahead < partLength {
			return
		}
		f.add(hashOf('p', word[i:end]), partWeight)
		ahead--
	}
}

type kind uint8

const (
	blank kind = iota
	stop
	sign
	number
	ideograph
	letters
)

// next gives the size and kind of the token that text begins with.
func next(text string) (int, kind) {
	r, size := utf8.DecodeRuneInString(text)
	switch {
	case spaceless(r):
		return size, ideograph
	case unicode.IsLetter(r):
		return run(text, func(r rune) bool {
			return (unicode.IsLetter(r) || unicode.IsMark(r) || r == '\'' || r == '’') && !spaceless(r)
		}), letters
	case unicode.IsDigit(r):
		// 12,345.60 and 2026-03-01 and 10:30 are one number each.
		return run(text, func(r rune) bool {
			return unicode.IsDigit(r) || r == '.' || r == ',' || r == ':' || r == '-' || r == '/'
		}), number
	case r == '.' || r == '!' || r == '?' || r == ':' || r == '\n' || r == '。' || r == '"' || r == '#' || r == '*':
		return size, stop
	case unicode.IsSpace(r) || unicode.IsControl(r) || r == ',' || r == ';':
		return size, blank
	}
	return size, sign
}

func run(text string, in func(rune) bool) int {
	for i, r := range text {
		if !in(r) {
			return i
		}
	}
	return len(text)
}

// spaceless says of a letter that its script writes words without blanks between
// them; there each letter stands for itself and the pairs tell words.
func spaceless(r rune) bool {
	return r >= 0x0E00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// hashOf is FNV-1a over a kind and a text, mixed so that its low and its high
// bits are independent.
func hashOf(kind byte, text string) uint64 {
	const prime = 1099511628211
	h := (uint64(14695981039346656037) ^ uint64(kind)) * prime
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * prime
	}
	return mix(h)
}

func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
