package httpapi

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/costprof/costprof/internal/auth"
)

// readers are the routes that read a JSON body other than events, whose decoder
// has tests of its own, with a member that takes any text, one for numbers, and
// the most bytes of a body.
var readers = []struct {
	id, method, path, text, numbers string
	most                            int
}{
	{"put-price", http.MethodPut, "/api/v1/prices", "provider", "prices", 1 << 20},
	{"quote", http.MethodPost, "/api/v1/prices/quote", "provider", "usage", 1 << 20},
	{"rerate", http.MethodPost, "/api/v1/prices/rerate", "model", "apply", 1 << 20},
	{"create-key", http.MethodPost, "/api/v1/admin/keys", "name", "expires", 1 << 20},
	{"rotate-key", http.MethodPost, "/api/v1/admin/keys/0123456789abcdef/rotate", "graceSeconds", "graceSeconds", 1 << 20},
	{"put-price-list", http.MethodPut, "/api/v1/prices/list", "format", "providers", 5 << 20},
}

// hostileJSON are bodies made to hurt, of nearly size bytes where more of it
// hurts more.
func hostileJSON(text, numbers string, size int) map[string]string {
	size -= 200
	members := func(value string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, `"%d":%s,`, i, value)
		}
		return strings.TrimSuffix(b.String()[:size], ",")
	}
	whole := func(s string) string { return s[:strings.LastIndexByte(s, ',')] }
	member := func(name, value string) string { return fmt.Sprintf(`{%q:%s}`, name, value) }
	return map[string]string{
		"deep lists":          member(text, strings.Repeat("[", size)),
		"deep objects":        member(numbers, strings.Repeat(`{"a":`, size/6)),
		"deep and whole":      member(numbers, strings.Repeat(`{"a":`, 9000)+"1"+strings.Repeat("}", 9000)),
		"a million members":   "{" + whole(members("1")) + "}",
		"a million numbers":   member(numbers, "{"+whole(members("1"))+"}"),
		"a million bad ones":  member(numbers, "{"+whole(members("{}"))+"}"),
		"a long number":       member(numbers, "{\"input\":"+strings.Repeat("9", size)+"}"),
		"a long exponent":     member(numbers, "{\"input\":1e"+strings.Repeat("9", size)+"}"),
		"a tiny exponent":     member(numbers, "{\"input\":1e-"+strings.Repeat("9", size)+"}"),
		"a long text":         member(text, `"`+strings.Repeat("x", size)+`"`),
		"a long escaped text": member(text, `"`+strings.Repeat(`\u00e9`, size/6)+`"`),
		"a long name":         "{\"" + strings.Repeat("x", size) + "\":1}",
		"a name twice":        fmt.Sprintf(`{%[1]q:"a",%[1]q:"b"}`, text),
		"a number twice":      member(numbers, `{"input":1,"input":2}`),
		"U+0000":              member(text, `"a\u0000b"`),
		"not UTF-8":           member(text, "\"a\xffb\""),
		"half a character":    member(text, `"\ud800"`),
		"nothing":             " ",
		"a text":              `"a"`,
		"two documents":       `{}{}`,
	}
}

// Whatever a body holds, it is refused with an answer of a few kilobytes, for a
// bounded amount of memory, and changes nothing.
func TestHostileBodies(t *testing.T) {
	f := closed(t)
	admin := as(auth.Admin, "")
	for _, r := range readers {
		for name, body := range hostileJSON(r.text, r.numbers, r.most) {
			t.Run(r.id+"/"+name, func(t *testing.T) {
				f.T = t
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				a := f.do(r.method, r.path, body, admin)
				runtime.ReadMemStats(&after)
				if a.status < 400 || a.status >= 500 {
					t.Errorf("status %d: %.300s", a.status, a.body)
				}
				if len(a.body) > 20_000 {
					t.Errorf("the answer has %d bytes", len(a.body))
				}
				if said := string(a.body); name == "a name twice" && !strings.Contains(said, "twice") && !strings.Contains(said, "duplicate") {
					t.Errorf("the repeated name is not what is wrong: %s", said)
				}
				// TotalAlloc counts garbage too, and the harness itself.
				if used := after.TotalAlloc - before.TotalAlloc; used > 60*uint64(r.most) {
					t.Errorf("a body of %d bytes allocated %d MiB", len(body), used>>20)
				}
			})
		}
		t.Run(r.id+"/too large", func(t *testing.T) {
			f.T = t
			spaces := strings.Repeat(" ", r.most)
			f.do(r.method, r.path, spaces+"{}", admin).want(413)
			f.do(r.method, r.path, string(gzipped([]byte(spaces+"{}"))), admin, header("Content-Encoding", "gzip")).want(413)
			f.do(r.method, r.path, string(zstded([]byte(spaces+"{}"))), admin, header("Content-Encoding", "zstd")).want(413)
		})
	}
	f.T = t
	if n := len(f.catalog.audit); n != 0 {
		t.Errorf("%d changes are in the audit log", n)
	}
	if taken := f.api.server.bodies.budget.taken(64 << 20); taken != 0 {
		t.Errorf("%d bytes are still taken", taken)
	}
}

// A query string of thousands of parameters is answered in a few lines.
func TestHostileQueries(t *testing.T) {
	f := setup(t)
	var many strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&many, "x%d=1&", i)
	}
	for name, query := range map[string]string{"parameters": many.String(), "tags": strings.ReplaceAll(many.String(), "x", "tag:x")} {
		if a := f.get("/api/v1/analytics/features?" + query).want(400); len(a.body) > 20_000 {
			t.Errorf("%s: the answer has %d bytes", name, len(a.body))
		}
	}
}
