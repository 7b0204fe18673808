package csvevents

import (
	"testing"
	"time"
)

func TestTimes(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	utc := timing{location: time.UTC}
	tests := []struct {
		text string
		at   timing
		want string // "" is an error
	}{
		{"2023-11-16 18:17:03.9799600", utc, "2023-11-16T18:17:03.97996Z"},
		{"2023-11-16 18:17:03.9799609", utc, "2023-11-16T18:17:03.97996Z"},
		{"2023-11-16T18:17:03Z", utc, "2023-11-16T18:17:03Z"},
		{"2023-11-16T18:17:03+05:45", utc, "2023-11-16T12:32:03Z"},
		{"2023-11-16 18:17:03+0100", utc, "2023-11-16T17:17:03Z"},
		{"2023-11-16 18:17:03.97996+00", timing{location: berlin}, "2023-11-16T18:17:03.97996Z"}, // as PostgreSQL writes it
		{"2023-11-16 18:17:03-03:30", utc, "2023-11-16T21:47:03Z"},
		{"2023-11-16 18:17:03 +0100", utc, "2023-11-16T17:17:03Z"},
		{"2023-11-16 18:17:03+01:00", utc, "2023-11-16T17:17:03Z"},
		{"2023-11-16 18:17:03 UTC", timing{location: berlin}, "2023-11-16T18:17:03Z"},
		{"2023-11-16 18:17:03", timing{location: berlin}, "2023-11-16T17:17:03Z"},
		{"2026-07-01T00:00:00", timing{location: berlin}, "2026-06-30T22:00:00Z"},
		{"2026-03-29 02:30:00", timing{location: berlin}, ""},                     // skipped
		{"2026-10-25 02:30:00", timing{location: berlin}, "2026-10-25T00:30:00Z"}, // twice
		{"1700158623", utc, ""},
		{"1700158623", timing{format: UnixSeconds, location: time.UTC}, "2023-11-16T18:17:03Z"},
		{"1700158623.97996", timing{format: UnixSeconds, location: time.UTC}, "2023-11-16T18:17:03.97996Z"},
		{"1700158623.9799609", timing{format: UnixSeconds, location: time.UTC}, "2023-11-16T18:17:03.97996Z"},
		{"1700158623979.9609", timing{format: UnixMillis, location: time.UTC}, "2023-11-16T18:17:03.97996Z"},
		{"253402300799", timing{format: UnixSeconds, location: time.UTC}, ""},
		{"1.7001586239e9", timing{format: UnixSeconds, location: time.UTC}, "2023-11-16T18:17:03.9Z"},
		{"1700158623979", timing{format: UnixMillis, location: time.UTC}, "2023-11-16T18:17:03.979Z"},
		{"1700158623979000000", timing{format: UnixMillis, location: time.UTC}, ""},
		{"-1", timing{format: UnixSeconds, location: time.UTC}, ""},
		{"2023-11-16T18:17:03Z", timing{format: UnixSeconds, location: time.UTC}, ""},
		{"2023-11-16", utc, ""},
		{"2023-11-16T18:17:03,5Z", utc, ""},
		{"2023-11-16 18:17:03,5", utc, ""},
		{"2023-11-16T18:17:03+24:00", utc, ""},
		{"2023-11-16 18:17:03+24:00", utc, ""},
		{"2023-11-16 18:17:03 -2400", utc, ""},
		{"2023-11-16 18:17:03+24", utc, ""},
		{"2023-11-16 18:17:03+23:59", utc, "2023-11-15T18:18:03Z"},
		{"16/11/2023 18:17:03", utc, ""},
		{"2023-11-16 24:00:00", utc, ""},
	}
	for _, tt := range tests {
		got, err := convert(target{field: fieldIndex["timestamp"]}, []byte(tt.text), tt.at)
		want := tt.want
		if want != "" {
			want = `"` + want + `"`
		}
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q in %v: got %s, %v, want %s", tt.text, tt.at, got, err, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"5": "5", " 5 ": "5", "+5": "5", "007": "7", "000": "0", ".5": "0.5", "5.": "5", "-.5e3": "-0.5e3", "1E+05": "1E+05",
		"1,234": "", "1 234": "", "NaN": "", "0x10": "", "-": "", ".": "", "1e": "", "--1": "", "+-1": "", "٣": "",
	} {
		got, err := convert(target{field: fieldIndex["latencyMs"]}, []byte(text), timing{})
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}
