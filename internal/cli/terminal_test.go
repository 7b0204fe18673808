package cli

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"support-chat":          "support-chat",
		"Übersetzung 翻訳 🚀":      "Übersetzung 翻訳 🚀",
		"\x1b]0;owned\x07":      `\x1b]0;owned\a`,
		"a\r\nb\tc":             `a\r\nb\tc`,
		"\u009b31m":             `\u009b31m`, // a control character of its own
		"pay\u202Egnp.exe":      `pay\u202egnp.exe`,
		"zero\u200Bwidth":       `zero\u200bwidth`,
		"\xff\xfeok":            `\xff\xfeok`,
		"replacement \ufffd ok": "replacement \ufffd ok",
		"":                      "",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPrintableNeverDrivesTheTerminal(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := string(rapid.SliceOf(rapid.Byte()).Draw(rt, "in")) + rapid.String().Draw(rt, "text")
		got := printable(in)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			rt.Fatalf("printable(%q) = %q", in, got)
		}
	})
}

func TestTableFits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tab := &table{columns: []column{
			{title: "FEATURE", shrink: true},
			{title: "COST", right: true},
			{title: "SHARE", right: true, drop: 1},
			{title: "", drop: 9},
			{title: "CALLS", right: true, drop: 2},
		}}
		for range rapid.IntRange(0, 5).Draw(rt, "rows") {
			tab.add(printable(rapid.String().Draw(rt, "name")), "$1,234.5678", "12.3%", bar(rapid.Float64Range(-1, 2).Draw(rt, "share"), 10), "1,000")
		}
		width := rapid.IntRange(30, 120).Draw(rt, "width")
		var out strings.Builder
		tab.write(&out, terminal{width: width})
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if cells(line) > width {
				rt.Fatalf("%d cells in a terminal of %d: %q", cells(line), width, line)
			}
			if len(tab.rows) > 0 && line != "" && !strings.Contains(line, "$1,234.5678") && !strings.Contains(line, "COST") {
				rt.Fatalf("the amount was cut: %q", line)
			}
		}
	})
}

func TestTableAligns(t *testing.T) {
	tab := &table{columns: []column{{title: "FEATURE", shrink: true}, {title: "COST", right: true}, {title: "CALLS", right: true, drop: 1}}}
	tab.add("翻訳", "$1.0000", "5")
	tab.add("support-chat-of-the-whole-company", "$1,000.0000", "12,345")
	var out strings.Builder
	tab.write(&out, terminal{})
	want := "" +
		"FEATURE                                   COST   CALLS\n" +
		"翻訳                                   $1.0000       5\n" +
		"support-chat-of-the-whole-company  $1,000.0000  12,345\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	out.Reset()
	tab.write(&out, terminal{width: 32})
	want = "" +
		"FEATURE                     COST\n" +
		"翻訳                     $1.0000\n" +
		"support-chat-of-th…  $1,000.0000\n"
	if out.String() != want {
		t.Errorf("narrow: got\n%swant\n%s", out.String(), want)
	}
}

func TestTableLeavesOutColumnsThatSayNothing(t *testing.T) {
	tab := &table{columns: []column{{title: "MODEL"}, {title: "FOR", idle: "all"}, {title: "TO", idle: "–"}}}
	tab.add("a", "all", "–")
	tab.add("b", "all", "2026-01-01")
	var out strings.Builder
	tab.write(&out, terminal{})
	if want := "MODEL  TO\na      –\nb      2026-01-01\n"; out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestClocks(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when.In(berlin)
	}
	for _, tc := range []struct{ in, want []string }{
		{[]string{"2026-07-01T22:00:00Z", "2026-07-02T22:00:00Z"}, []string{"2026-07-02", "2026-07-03"}},
		{[]string{"2026-07-01T21:00:00Z", "2026-07-01T22:00:00Z"}, []string{"2026-07-01 23:00", "2026-07-02 00:00"}},
		{ // the hour that happens twice
			[]string{"2026-10-24T23:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
			[]string{"2026-10-25 01:00 +02:00", "2026-10-25 02:00 +02:00", "2026-10-25 02:00 +01:00", "2026-10-25 03:00 +01:00"},
		},
		{nil, []string{}},
	} {
		times := make([]time.Time, len(tc.in))
		for i, text := range tc.in {
			times[i] = at(text)
		}
		if diff := cmp.Diff(tc.want, clocks(times)); diff != "" {
			t.Error(diff)
		}
	}
	for want, in := range map[string][2]string{
		"2026-10-25":                           {"2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"}, // a day of 25 hours
		"2026-03-01 to 2026-03-31":             {"2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"},
		"2026-03-01 00:00 to 2026-03-01 12:30": {"2026-02-28T23:00:00Z", "2026-03-01T11:30:00Z"},
	} {
		if got := window(at(in[0]), at(in[1])); got != want {
			t.Errorf("window(%v) = %q, want %q", in, got, want)
		}
	}
}

func TestPainterDrawsOver(t *testing.T) {
	var screen bytes.Buffer
	p := &painter{out: bufio.NewWriter(&screen), over: true}
	for _, text := range []string{"a long line\nb\n", "short\n"} {
		if err := p.draw(text); err != nil {
			t.Fatal(err)
		}
	}
	// Every line and the rest of the screen are cleared where the old ones stood,
	// and nothing before it is drawn again.
	want := "\x1b[2J\x1b[Ha long line\x1b[K\nb\x1b[K\n\x1b[J" + "\x1b[Hshort\x1b[K\n\x1b[J"
	if got := screen.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBar(t *testing.T) {
	for _, tc := range []struct {
		share float64
		want  string
	}{{0, ""}, {-1, ""}, {0.0001, "▏"}, {0.5, "██"}, {0.625, "██▌"}, {1, "████"}, {7, "████"}} {
		if got := bar(tc.share, 4); got != tc.want {
			t.Errorf("bar(%v) = %q, want %q", tc.share, got, tc.want)
		}
	}
	if got, want := sparkline([]float64{0, 1, 2, 4}, 10), " ▃▅█"; got != want {
		t.Errorf("sparkline = %q, want %q", got, want)
	}
	if got := sparkline(make([]float64, 1000), 40); cells(got) != 40 {
		t.Errorf("sparkline of 1000 zeros has %d cells", cells(got))
	}
}
