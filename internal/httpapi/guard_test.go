package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

func TestHostRule(t *testing.T) {
	f := setup(t)
	for _, h := range []string{
		"localhost", "localhost:3100", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:3100", "[::1]", "[::1]:3100",
		"costs.example.com", "Costs.Example.com:9", "other.example.com:8443",
	} {
		f.get("/health", host(h)).want(200)
	}
	for _, h := range []string{
		"", "evil.example.com", "evil.example.com:3100", "localhost.evil.example.com", "127.0.0.1.evil.example.com",
		"127.0.0.2", "0.0.0.0", "10.0.0.1", "[::]", "[::ffff:127.0.0.1]", "localhost:", "localhost:x", "localhost:3100:1",
		"localhost@evil.example.com", "other.example.com", "other.example.com:1", "localhost/", "::1",
	} {
		for _, target := range []string{"/health", "/", "/api/v1/events", "/openapi.json", "/metrics", "/nowhere"} {
			f.get(target, host(h)).want(403).says("ALLOWED_HOSTS")
		}
		f.post("/api/v1/events", batch(event(1)), host(h)).want(403)
	}
	if n := f.stored(); n != 0 {
		t.Errorf("%d events were stored", n)
	}
}

func TestForwardedRule(t *testing.T) {
	f := setup(t)
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Anything", "x-forwarded-for"} {
		f.get("/api/v1/events", header(name, "")).want(403).says("costprof keys create")
		f.post("/api/v1/events", batch(event(1)), header(name, "for=1.2.3.4")).want(403)
	}
	if n := f.stored(); n != 0 {
		t.Errorf("%d events were stored", n)
	}
}

func TestInsecureLiftsHostAndForwarding(t *testing.T) {
	f := setup(t, func(p *Params) { p.Access.AnyHost = true })
	f.get("/health", host("anything.example.com"), header("X-Forwarded-For", "1.2.3.4")).want(200)
	f.post("/api/v1/events", batch(event(1)), host("a.example.com"), header("Origin", "http://evil.example.com")).want(403)
	f.post("/api/v1/events", batch(event(1)), host("a.example.com"), header("Origin", "http://a.example.com")).want(202)
	// A proxy in front may serve https.
	f.post("/api/v1/events", batch(event(1)), host("a.example.com"), header("Origin", "https://a.example.com")).want(202)
}

func TestCrossOriginRule(t *testing.T) {
	f := setup(t)
	body := batch(event(1))
	for _, tc := range []struct {
		name    string
		options []option
		allowed bool
	}{
		{"a program", nil, true},
		{"own page", []option{header("Origin", "http://localhost:3100"), header("Sec-Fetch-Site", "same-origin")}, true},
		{"own page, old browser", []option{header("Origin", "http://localhost:3100")}, true},
		{"configured", []option{header("Origin", "http://localhost:3000"), header("Sec-Fetch-Site", "same-site")}, true},
		{"typed in", []option{header("Sec-Fetch-Site", "none")}, true},
		{"another site", []option{header("Origin", "http://evil.example.com"), header("Sec-Fetch-Site", "cross-site")}, false},
		{"another site, old browser", []option{header("Origin", "http://evil.example.com")}, false},
		{"another site that lies", []option{header("Origin", "http://evil.example.com"), header("Sec-Fetch-Site", "same-origin")}, false},
		{"another scheme", []option{header("Origin", "https://localhost:3100")}, false},
		{"another port", []option{header("Origin", "http://localhost:8080")}, false},
		{"null", []option{header("Origin", "null")}, false},
		{"empty", []option{header("Origin", "")}, false},
		{"no origin, cross-site", []option{header("Sec-Fetch-Site", "cross-site")}, false},
		{"no origin, same-site", []option{header("Sec-Fetch-Site", "same-site")}, false},
		{"configured in another case", []option{header("Origin", "http://LOCALHOST:3000")}, false},
		{"configured with more", []option{header("Origin", "http://localhost:3000.evil.example.com")}, false},
		{"configured with another scheme", []option{header("Origin", "https://localhost:3000")}, false},
		{"two origins", []option{header("Origin", "http://localhost:3000"), header("Origin", "http://evil.example.com")}, false},
	} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
			a := f.do(method, "/api/v1/prices", body, tc.options...)
			if got := a.status != 403; got != tc.allowed {
				t.Errorf("%s, %s: status %d, want it allowed: %v", tc.name, method, a.status, tc.allowed)
			}
		}
		if a := f.post("/api/v1/events", body, tc.options...); (a.status == 202) != tc.allowed {
			t.Errorf("%s: events %d, want them allowed: %v", tc.name, a.status, tc.allowed)
		}
	}
	// What a form can send without asking first.
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"} {
		f.post("/api/v1/events", body, func(r *http.Request) { r.Header.Set("Content-Type", kind) }).want(415)
	}
}

// Another protocol is not subject to CORS: a page could read all of it.
func TestCrossOriginUpgrade(t *testing.T) {
	f := setup(t)
	upgrade := []option{header("Connection", "Upgrade"), header("Upgrade", "websocket")}
	f.get("/ws", append(upgrade, header("Origin", "http://evil.example.com"))...).want(403)
	f.get("/api/v1/events", append(upgrade, header("Origin", "http://localhost:8080"))...).want(403)
	f.get("/ws", append(upgrade, header("Origin", "http://localhost:3000"))...).want(404)
	f.get("/ws", upgrade...).want(404)
}

func TestCORS(t *testing.T) {
	f := setup(t)
	const own, evil = "http://localhost:3000", "http://evil.example.com"
	a := f.get("/api/v1/events", header("Origin", own)).want(200)
	if a.header.Get("Access-Control-Allow-Origin") != own || !strings.Contains(a.header.Get("Vary"), "Origin") {
		t.Errorf("configured origin: %v", a.header)
	}
	// A page of another origin may send this, and cannot read the answer.
	a = f.get("/api/v1/events", header("Origin", evil), header("Sec-Fetch-Site", "cross-site")).want(200)
	for name := range a.header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("another origin got %s", name)
		}
	}
	if a.header.Get("Cross-Origin-Resource-Policy") != "same-origin" || !strings.Contains(a.header.Get("Vary"), "Origin") {
		t.Errorf("another origin: %v", a.header)
	}
	a = f.do(http.MethodOptions, "/api/v1/events", "", header("Origin", own), header("Access-Control-Request-Method", "POST"), header("Access-Control-Request-Headers", "content-type")).want(204)
	if a.header.Get("Access-Control-Allow-Origin") != own || !strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "POST") ||
		!strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "Content-Type") || a.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("preflight: %v", a.header)
	}
	for _, origin := range []string{evil, "null"} {
		a = f.do(http.MethodOptions, "/api/v1/events", "", header("Origin", origin), header("Access-Control-Request-Method", "POST"), header("Access-Control-Request-Private-Network", "true")).want(403)
		if a.header.Get("Access-Control-Allow-Origin") != "" || a.header.Get("Access-Control-Allow-Private-Network") != "" {
			t.Errorf("preflight of %s: %v", origin, a.header)
		}
	}
	// Errors can be read by who may read answers, so that a page can show them.
	if a := f.get("/nowhere", header("Origin", own)).want(404); a.header.Get("Access-Control-Allow-Origin") != own {
		t.Errorf("error: %v", a.header)
	}
}

func TestSecurityHeaders(t *testing.T) {
	f := setup(t)
	for _, a := range []*answer{f.get("/"), f.get("/nowhere"), f.get("/", host("evil.example.com")), f.post("/api/v1/events", "{")} {
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store", "Server": "",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%d: %s is %q, want %q", a.status, name, got, want)
			}
		}
		if !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("CSP %q", a.header.Get("Content-Security-Policy"))
		}
	}
}
