package usage

import (
	"regexp"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseInstant(t *testing.T) {
	for text, want := range map[string]string{
		"2026-01-31T15:04:05Z":                 "2026-01-31T15:04:05Z",
		"2026-01-31t15:04:05z":                 "2026-01-31T15:04:05Z",
		"2026-01-31T15:04:05.5Z":               "2026-01-31T15:04:05.5Z",
		"2026-01-31T15:04:05.123456789012345Z": "2026-01-31T15:04:05.123456789Z",
		"2026-01-31T15:04:05+05:45":            "2026-01-31T09:19:05Z",
		"2026-01-31T15:04:05-23:59":            "2026-02-01T15:03:05Z",
		"2026-01-31T15:04:05+23:59":            "2026-01-30T15:05:05Z",
		"2024-02-29T00:00:00-00:00":            "2024-02-29T00:00:00Z",
		"2026-01-31T15:04:05+24:00":            "",
		"2026-01-31T15:04:05-24:00":            "",
		"2026-01-31T15:04:05+99:00":            "",
		"2026-01-31T15:04:05+01:60":            "",
		"2026-01-31T15:04:05+0100":             "",
		"2026-01-31T15:04:05+01":               "",
		"2026-01-31T15:04:05,5Z":               "",
		"2026-01-31T15:04:05.Z":                "",
		"2026-01-31T15:04:05":                  "",
		"2026-01-31T15:04:05.5":                "",
		"2026-01-31T15:04Z":                    "",
		"2026-01-31T5:04:05Z":                  "",
		"2026-01-31 15:04:05Z":                 "",
		"2026-01-31T24:00:00Z":                 "",
		"2026-01-31T15:04:60Z":                 "",
		"2026-02-29T15:04:05Z":                 "",
		"2026-1-31T15:04:05Z":                  "",
		"12026-01-31T15:04:05Z":                "",
		"-2026-01-31T15:04:05Z":                "",
		"2026-01-31T15:04:05ZZ":                "",
		"2026-01-31T15:04:05Z ":                "",
		"２026-01-31T15:04:05Z":                 "",
		"2026-01-31T15:04:05.":                 "",
		"":                                     "",
	} {
		got, ok := ParseInstant(text)
		bytes, same := ParseInstant([]byte(text))
		if ok != (want != "") || ok && got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q: got %v, %v, want %q", text, got, ok, want)
		}
		if same != ok || !bytes.Equal(got) {
			t.Errorf("%q as bytes: got %v, %v", text, bytes, same)
		}
	}
}

// What the grammar of RFC 3339 refuses is refused, and what the time package
// makes of the rest is what it is.
func TestParseInstantLikeTheGrammar(t *testing.T) {
	grammar := regexp.MustCompile(`^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`\d{4}-[01]\d-[0-3]\d[Tt ][0-2]?\d:[0-6]\d:[0-6]\d([.,]\d{0,10})?([Zz]|[+-]\d{1,2}:?[0-7]\d)?`).Draw(t, "text")
		got, ok := ParseInstant(text)
		if !grammar.MatchString(text) {
			if ok {
				t.Fatalf("%q is taken", text)
			}
			return
		}
		upper := []byte(text)
		for i, c := range upper {
			if c == 't' || c == 'z' {
				upper[i] = c - 0x20
			}
		}
		want, err := time.Parse(time.RFC3339Nano, string(upper))
		if ok != (err == nil) || ok && !got.Equal(want) {
			t.Fatalf("%q: got %v, %v, want %v, %v", text, got, ok, want, err)
		}
	})
}

func BenchmarkParseInstant(b *testing.B) {
	text := []byte("2026-11-01T14:00:00.1234567+02:00")
	for b.Loop() {
		ParseInstant(text)
	}
}
