package redis

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestURL(t *testing.T) {
	type want struct {
		Kind          form
		Addrs         []string
		User, Pass    string
		Master        string
		DB            int
		TLS           bool
		Network, Name string
	}
	for text, w := range map[string]want{
		"redis://h":                             {Addrs: []string{"h:6379"}, Name: "Redis at h:6379"},
		"redis://u:p%40%2Fw@h:1/3":              {Addrs: []string{"h:1"}, User: "u", Pass: "p@/w", DB: 3, Name: "Redis at h:1"},
		"redis://:p@[::1]:7?db=2":               {Addrs: []string{"[::1]:7"}, Pass: "p", DB: 2, Name: "Redis at [::1]:7"},
		"rediss://h/":                           {Addrs: []string{"h:6379"}, TLS: true, Name: "Redis at h:6379"},
		"unix:///run/r.sock?db=1":               {Addrs: []string{"/run/r.sock"}, DB: 1, Network: "unix", Name: "Redis at /run/r.sock"},
		"redis+sentinel://u:p@a,b:5/m%20y?db=4": {Kind: sentinel, Addrs: []string{"a:26379", "b:5"}, User: "u", Pass: "p", Master: "m y", DB: 4, Name: `Redis "m y" of the sentinels a:26379, b:5`},
		"rediss+cluster://a,[::2]:5?timeout=1s": {Kind: cluster, Addrs: []string{"a:6379", "[::2]:5"}, TLS: true, Name: "the Redis cluster at a:6379, [::2]:5"},
	} {
		got, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		o := got.options
		g := want{got.kind, o.Addrs, o.Username, o.Password, o.MasterName, o.DB, o.TLSConfig != nil, got.network, got.String()}
		if diff := cmp.Diff(w, g); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

// What is wrong is said in one line that holds nothing of the password, wherever an
// unescaped one breaks the URL.
func TestURLErrors(t *testing.T) {
	const secret = "s3cr3t"
	for _, text := range []string{
		secret, "http://u:" + secret + "@h", "redis://", "redis://u:" + secret + "@", "redis://u:" + secret + "@h:port", "redis://u:" + secret + "@h:0",
		"redis://u:" + secret + "@h:99999", "redis://u:%zz" + secret + "@h", "redis://u:" + secret + "@h/x", "redis://u:" + secret + "@a,b",
		"redis+sentinel://u:" + secret + "@a", "redis+cluster://u:" + secret + "@a/2", "redis+cluster://a?db=2&x=" + secret,
		"redis://u:a?" + secret + "@h", "redis://u:a/" + secret + "@h:x", "redis://h?password=" + secret, "unix://h/" + secret, "unix://",
		"redis://h?timeout=" + secret, "redis://h?skip_verify=true", "redis://h?" + secret + "=1", "redis://h?%zz" + secret,
	} {
		err := Check(text)
		if err == nil {
			t.Errorf("%s: no error", text)
			continue
		}
		if s := err.Error(); strings.Contains(s, secret) || strings.Contains(s, "\n") {
			t.Errorf("%s: %q", text, s)
		}
	}
}

func FuzzURL(f *testing.F) {
	f.Add("redis://u:p@h:1/3?db=2&timeout=1s")
	f.Add("rediss+sentinel://a,b:5/m")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parse(text)
		if err != nil {
			return
		}
		if p := got.options.Password; len(p) > 8 && !strings.Contains(strings.ReplaceAll(text, p, ""), p) && strings.Contains(got.String(), p) {
			t.Errorf("%q: its name %q holds the password", text, got)
		}
		_ = got.client().Close()
	})
}
