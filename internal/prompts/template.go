package prompts

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxTemplateTexts and maxTemplateTokens bound the work of MineTemplate: some
	// fifty million comparisons.
	maxTemplateTexts  = 50
	maxTemplateTokens = 1000
	// A constant part between two varying ones is told apart from words that happen
	// to be the same when it has so many words.
	leastWords = 2
)

// Part of a template.
type Part struct {
	// Text is what all have in common; "" of a part that varies.
	Text string
	// Least, Median and Most are the lengths of a varying part, in bytes.
	Least, Median, Most int
}

// Varies says that the part is not the same in all texts.
func (p Part) Varies() bool { return p.Text == "" }

// Template is what prompts have in common, in their order.
type Template struct {
	Parts []Part
	// Constant is the length of all that is common, Prefix of what all begin with,
	// and Median that of the median text, in bytes.
	Constant, Prefix, Median int
	// Texts is how many were looked at.
	Texts int
}

// PrefixPerMille is the shared beginning's part of the median text, in thousandths.
func (t Template) PrefixPerMille() int64 {
	if t.Median == 0 {
		return 0
	}
	return min(1000, int64(t.Prefix)*1000/int64(t.Median))
}

// MineTemplate tells the constant from the varying parts of texts, in whole words
// and signs: what all begin and end with, and between these what all have in the
// same order. It looks at the first 50 texts; of what lies
// between a common beginning and end it looks into at most 1,000 words and signs.
func MineTemplate(texts []string) Template {
	texts = texts[:min(len(texts), maxTemplateTexts)]
	if len(texts) == 0 {
		return Template{}
	}
	all := make([][]string, len(texts))
	lengths := make([]int, len(texts))
	for i, text := range texts {
		all[i], lengths[i] = tokens(text), len(text)
	}
	t := Template{Texts: len(texts), Median: median(lengths)}

	prefix := common(all, func(text []string, i int) string { return text[i] })
	head := all[0][:prefix]
	for i := range all {
		all[i] = all[i][prefix:]
	}
	suffix := common(all, func(text []string, i int) string { return text[len(text)-1-i] })
	tail := all[0][len(all[0])-suffix:]
	for i := range all {
		all[i] = all[i][:len(all[i])-suffix]
	}

	t.Prefix = len(strings.Join(head, ""))
	t.add(head)
	t.middle(all)
	t.add(tail)
	return t
}

func (t *Template) add(constant []string) {
	if text := strings.Join(constant, ""); text != "" {
		t.Parts = append(t.Parts, Part{Text: text})
		t.Constant += len(text)
	}
}

// vary adds a varying part of the texts between tokens from and to of each.
func (t *Template) vary(all [][]string, from, to []int) {
	lengths := make([]int, len(all))
	for i, text := range all {
		lengths[i] = len(strings.Join(text[from[i]:to[i]], ""))
	}
	if most := slices.Max(lengths); most > 0 {
		t.Parts = append(t.Parts, Part{Least: slices.Min(lengths), Median: median(lengths), Most: most})
	}
}

// middle adds the parts of what begins and ends differently.
func (t *Template) middle(all [][]string) {
	shared := all[0]
	for _, text := range all[1:] {
		if len(shared) > maxTemplateTokens || len(text) > maxTemplateTokens {
			shared = nil
		}
		shared = subsequence(shared, text)
	}
	from, ends := make([]int, len(all)), make([]int, len(all))
	for i := range all {
		ends[i] = len(all[i])
	}
	for len(shared) > 0 {
		run, at := longestRun(shared, all, from)
		if words(shared[:run]) >= leastWords {
			t.vary(all, from, at)
			t.add(shared[:run])
			for i := range from {
				from[i] = at[i] + run
			}
		}
		shared = shared[run:]
	}
	t.vary(all, from, ends)
}

// longestRun gives how many of the first shared tokens stand together in all
// texts, and where.
func longestRun(shared []string, all [][]string, from []int) (int, []int) {
	at := from
	for run := 1; run <= len(shared); run++ {
		next := make([]int, len(all))
		for i, text := range all {
			// What a longer run begins with stands no earlier than it.
			if next[i] = indexOf(text, shared[:run], at[i]); next[i] < 0 {
				return max(1, run-1), at
			}
		}
		at = next
	}
	return len(shared), at
}

func indexOf(text, run []string, from int) int {
	for i := from; i+len(run) <= len(text); i++ {
		if slices.Equal(text[i:i+len(run)], run) {
			return i
		}
	}
	return -1
}

func words(tokens []string) (n int) {
	for _, t := range tokens {
		if r, _ := utf8.DecodeRuneInString(t); unicode.IsLetter(r) {
			n++
		}
	}
	return n
}

// common counts how far all agree.
func common(all [][]string, token func(text []string, i int) string) int {
	n := 0
	for ; ; n++ {
		for _, text := range all {
			if n == len(text) || token(text, n) != token(all[0], n) {
				return n
			}
		}
	}
}

// subsequence is the longest that both have in the same order.
func subsequence(a, b []string) []string {
	w := len(b) + 1
	best := make([]int16, (len(a)+1)*w)
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				best[i*w+j] = best[(i+1)*w+j+1] + 1
			} else {
				best[i*w+j] = max(best[(i+1)*w+j], best[i*w+j+1])
			}
		}
	}
	var out []string
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			out = append(out, a[i])
			i, j = i+1, j+1
		case best[(i+1)*w+j] >= best[i*w+j+1]:
			i++
		default:
			j++
		}
	}
	return out
}

// tokens cuts a text into words, numbers, blanks and single signs.
func tokens(text string) []string {
	var out []string
	class := func(r rune) int {
		switch {
		case unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r):
			return 1
		case unicode.IsSpace(r):
			return 2
		}
		return 0
	}
	for text != "" {
		r, end := utf8.DecodeRuneInString(text)
		if c := class(r); c != 0 {
			for end < len(text) {
				next, size := utf8.DecodeRuneInString(text[end:])
				if class(next) != c {
					break
				}
				end += size
			}
		}
		out = append(out, text[:end])
		text = text[end:]
	}
	return out
}

func median(n []int) int {
	sorted := slices.Sorted(slices.Values(n))
	return sorted[len(sorted)/2]
}
