package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/limit"
)

// The credentials of a closed fixture, one for each role, for project a and for
// all projects.
func closed(t *testing.T, change ...func(*Params)) *fixture {
	t.Helper()
	f := setup(t, append([]func(*Params){func(p *Params) {
		var keys []string
		for _, role := range auth.Roles {
			keys = append(keys, string(role)+"-of-a-secret:"+string(role)+":a", string(role)+"-of-all-secret:"+string(role))
		}
		static, err := auth.ParseStatic(keys)
		if err != nil {
			t.Fatal(err)
		}
		p.Auth = p.Audit.(*memoryCatalog).authority(t, auth.Params{Static: static, Now: p.Now, Log: p.Log})
	}}, change...)...)
	return f
}

func (c *memoryCatalog) authority(t *testing.T, p auth.Params) *auth.Service {
	t.Helper()
	p.Catalog, p.Secrets = c, c
	s, err := auth.Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func as(role auth.Role, project string) option {
	name := "all"
	if project != "" {
		name = project
	}
	return header("Authorization", "Bearer "+string(role)+"-of-"+name+"-secret")
}

// A body for the routes that read one, so that they get past its form.
var bodies4roles = map[string]string{
	"post-events": batch(event(900)), "put-price": `{"provider":"acme","model":"m","prices":{"input":1}}`,
	"quote": `{"provider":"openai","model":"gpt-4o","inputTokens":1}`, "create-key": `{"role":"viewer","project":"a"}`,
	"rerate": `{"from":"2026-01-01"}`, "put-retention": `{"eventDays":0}`, "erase": `{"userId":"nobody"}`, "put-price-list": `{}`, "put-log-level": `{"level":"warn"}`,
}

// The role walk: every operation of the document, with every role. What an
// operation needs is read from the routes; that it is the right thing stands in
// rightsWanted, written by hand.
func TestEveryRoute(t *testing.T) {
	f := closed(t)
	for _, rt := range f.api.server.routes() {
		want, known := rightsWanted[rt.id]
		if !known {
			t.Errorf("%s: which right it needs is not in this test's list", rt.id)
			continue
		}
		if rt.need != want {
			t.Errorf("%s needs right %d, want %d", rt.id, rt.need, want)
		}
		for _, path := range rt.paths() {
			f.now = f.now.Add(time.Minute) // who guesses for long is told to wait
			target := strings.NewReplacer("{id}", "0123456789abcdef0123456789abcdef", "{traceId}", "t1", "{$}", "", "{name}", "x").Replace(path)
			ask := func(options ...option) *answer {
				return f.askBriefly(rt.method, target, bodies4roles[rt.id], options...)
			}
			if want == auth.Public {
				if a := ask(); a.status == 403 || a.status == 401 && rt.id != "create-session" && rt.id != "get-session" {
					t.Errorf("%s %s without a credential: %d", rt.method, path, a.status)
				}
				continue
			}
			for _, options := range [][]option{nil, {header("Authorization", "Bearer wrong")}, {header("X-API-Key", "wrong")}, {header("Authorization", "Basic YTpi")}, {header("Cookie", sessionCookie+"=x.y")}} {
				if a := ask(options...); a.status != 401 || !strings.Contains(a.header.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("%s %s without a good credential: %d %s", rt.method, path, a.status, a.body)
				}
			}
			for _, role := range auth.Roles {
				for _, project := range []string{"a", ""} {
					a := ask(as(role, project))
					allowed := role.Can(want) && (project == "" || !rt.everywhere)
					switch {
					case a.status == 401 || a.status == 500:
						t.Errorf("%s %s as %s of %q: %d %s", rt.method, path, role, project, a.status, a.body)
					case allowed && a.status == 403, !allowed && a.status != 403:
						t.Errorf("%s %s as %s of %q: %d %s", rt.method, path, role, project, a.status, a.body)
					}
				}
			}
		}
	}
}

// askBriefly is do, for streams too: what does not end by itself is left soon.
func (f *fixture) askBriefly(method, target, body string, options ...option) *answer {
	f.Helper()
	ctx, cancel := context.WithCancel(f.Context())
	defer cancel()
	if strings.Contains(target, "/stream/") {
		ctx = context.WithValue(ctx, leaveKey{}, cancel)
	}
	return f.do(method, target, body, append(options, func(r *http.Request) { *r = *r.WithContext(ctx) })...)
}

var rightsWanted = map[string]auth.Right{
	"post-events": auth.Send, "list-events": auth.Read, "get-event": auth.Read, "get-events": auth.Read, "get-similar-prompts": auth.Read, "get-similar-prompts-of": auth.Read, "get-prompt-clusters": auth.Read, "list-traces": auth.Read, "get-trace": auth.Read,
	"get-cost-breakdown": auth.Read, "get-features": auth.Read, "get-models": auth.Read, "get-users": auth.Read,
	"get-timeseries": auth.Read, "get-compare": auth.Read, "get-flamegraph": auth.Read, "get-prompts": auth.Read, "get-prompts-growth": auth.Read, "get-prompts-history": auth.Read,
	"get-prices": auth.Read, "put-price": auth.Edit, "delete-price": auth.Edit, "quote": auth.Quote, "explain-price": auth.Read,
	"get-price-list": auth.Read, "put-price-list": auth.Administer, "delete-price-list": auth.Administer, "rerate": auth.Edit,
	"get-unpriced": auth.Read, "list-jobs": auth.Read, "get-job": auth.Read,
	"list-keys": auth.Administer, "create-key": auth.Administer, "rotate-key": auth.Administer, "revoke-key": auth.Administer,
	"list-audit": auth.Administer, "list-retention": auth.Administer, "put-retention": auth.Administer, "list-capture": auth.Administer, "put-capture": auth.Administer, "erase": auth.Administer, "backup": auth.Administer, "create-session": auth.Public, "get-session": auth.Public, "delete-session": auth.Public,
	"get-log-level": auth.Administer, "put-log-level": auth.Administer, "profile": auth.Administer,
	"health": auth.Public, "health-live": auth.Public, "health-ready": auth.Public, "metrics": auth.Read,
	"stream-costs": auth.Read, "export-events": auth.Read, "export-features": auth.Read, "export-prompts": auth.Read, "export-clusters": auth.Read, "get-realtime-totals": auth.Read, "root": auth.Public, "openapi": auth.Public, "docs": auth.Public,
}

// A key of project a gets nothing of project b, however it asks.
func TestProjectsAreApart(t *testing.T) {
	f := closed(t)
	const secret = "feature-of-b-4711"
	f.post("/api/v1/events", batch(
		event(1, `{"project":"a","feature":"mine"}`), event(2, `{"project":"b","feature":"`+secret+`","eventId":"b1","traceId":"trace-of-b","userId":"`+secret+`","tags":{"x":"`+secret+`"},"model":"`+secret+`"}`),
		event(3, `{"project":"b","feature":"mine"}`),
	), as(auth.Admin, "")).want(202)
	f.do(http.MethodPut, "/api/v1/prices", `{"provider":"acme","model":"`+secret+`","project":"b","prices":{"input":7}}`, as(auth.Admin, "")).want(200)
	var page struct {
		Data []struct{ ID, Project string }
	}
	f.get("/api/v1/events", as(auth.Viewer, "")).want(200).into(&page)
	if len(page.Data) != 3 {
		t.Fatalf("%d events in all", len(page.Data))
	}
	foreign := ""
	for _, e := range page.Data {
		if e.Project == "b" {
			foreign = e.ID
		}
	}
	f.get("/api/v1/events/"+foreign, as(auth.Viewer, "a")).want(404)
	f.get("/api/v1/events/"+foreign, as(auth.Viewer, "")).want(200)

	for _, rt := range f.api.server.routes() {
		if rt.method != http.MethodGet || rt.need == auth.Public {
			continue
		}
		for _, query := range []string{"", "?project=b", "?project=a&project=b", "?groupBy=project", "?groupBy=user", "?feature=" + secret, "?model=" + secret, "?provider=acme&project=b&model=" + secret, "?levels=project,feature,model,user"} {
			target := strings.NewReplacer("{id}", foreign, "{traceId}", "trace-of-b").Replace(rt.path)
			for _, role := range auth.Roles {
				a := f.askBriefly(rt.method, target+query, "", as(role, "a"))
				// What was asked for may be repeated, an explanation of a price by name too.
				if a.status < 300 && bytes.Contains(a.body, []byte(secret)) && !strings.Contains(query, "model="+secret) {
					t.Errorf("%s%s as %s of a: %s", target, query, role, a.body)
				}
				if a.status < 300 && bytes.Contains(a.body, []byte(`"project":"b"`)) {
					t.Errorf("%s%s as %s of a: %s", target, query, role, a.body)
				}
			}
		}
	}
	var total struct {
		Data []struct {
			Name      string
			CallCount int
		}
	}
	f.get("/api/v1/analytics/cost-breakdown", as(auth.Viewer, "a")).want(200).into(&total)
	if len(total.Data) != 1 || total.Data[0].CallCount != 1 {
		t.Errorf("a sees %+v", total.Data)
	}
	total.Data = nil
	f.get("/api/v1/analytics/cost-breakdown?project=b", as(auth.Viewer, "a")).want(200).into(&total)
	if len(total.Data) != 0 {
		t.Errorf("a sees of b %+v", total.Data)
	}
	// Quotes do not tell b's prices either.
	body := fmt.Sprintf(`{"provider":"acme","model":%q,"project":"b","inputTokens":1000000}`, secret)
	f.post("/api/v1/prices/quote", body, as(auth.Viewer, "")).want(200).says(`"cost":7`)
	f.post("/api/v1/prices/quote", body, as(auth.Ingest, "a")).want(200).says(`"unpriced"`)
}

func TestWritingToAnotherProject(t *testing.T) {
	f := closed(t)
	f.post("/api/v1/events", batch(event(1)), as(auth.Ingest, "a")).want(202)
	f.post("/api/v1/events", batch(event(2, `{"project":"a"}`)), as(auth.Ingest, "a")).want(202)
	f.post("/api/v1/events", batch(event(3), event(4, `{"project":"b"}`)), as(auth.Ingest, "a")).want(403).says("events[1].project")
	f.post("/api/v1/events?partial=true", batch(event(5), event(6, `{"project":"b"}`)), as(auth.Ingest, "a")).want(403)
	var total struct {
		Data []struct {
			Name      string
			CallCount int
		}
	}
	f.get("/api/v1/analytics/cost-breakdown?groupBy=project", as(auth.Viewer, "")).want(200).into(&total)
	if len(total.Data) != 1 || total.Data[0].Name != "a" || total.Data[0].CallCount != 2 {
		t.Errorf("stored %+v", total.Data)
	}
	const price = `{"provider":"acme","model":"m","prices":{"input":1}%s}`
	f.do("PUT", "/api/v1/prices", fmt.Sprintf(price, `,"project":"b"`), as(auth.Editor, "a")).want(403).says("own project")
	f.do("PUT", "/api/v1/prices", fmt.Sprintf(price, ``), as(auth.Editor, "a")).want(200).says(`"project":"a"`)
	f.do("DELETE", "/api/v1/prices?provider=acme&model=m&project=b", "", as(auth.Editor, "a")).want(403)
	f.do("DELETE", "/api/v1/prices?provider=acme&model=m", "", as(auth.Editor, "a")).want(204)
	f.do("DELETE", "/api/v1/prices?provider=acme&model=m", "", as(auth.Editor, "a")).want(404)
}

func TestKeysOverHTTP(t *testing.T) {
	f := setup(t)
	f.get("/api/v1/events").want(200)
	var made struct {
		Data struct{ ID, Secret, Warning, Role, State string }
	}
	f.post("/api/v1/admin/keys", `{"role":"admin","name":"first"}`).want(201).into(&made)
	admin := header("X-API-Key", made.Data.Secret)
	if made.Data.Warning != "" || made.Data.State != "active" {
		t.Errorf("%+v", made.Data)
	}
	// The server is closed at once; the rules of an open one are gone.
	f.get("/api/v1/events").want(401)
	f.get("/api/v1/events", admin).want(200)
	f.get("/api/v1/events", admin, host("costs.example.net"), header("X-Forwarded-For", "1.2.3.4")).want(200)
	f.get("/health", host("costs.example.net")).want(200)
	f.post("/api/v1/admin/keys", `{"role":"root","name":7,"colour":"red","expires":"2020-01-01T00:00:00Z"}`, admin).want(400).says("colour", "name")
	f.post("/api/v1/admin/keys", `{"role":"root","expires":"2020-01-01T00:00:00Z"}`, admin).want(400).says("role", "expires", "future")
	f.post("/api/v1/admin/keys", `{"role":"viewer","project":""}`, admin).want(400).says("project", "all projects")
	f.post("/api/v1/admin/keys", `{"role":"viewer","project":" "}`, admin).want(400).says("project", "all projects")
	f.post("/api/v1/admin/keys", `{"role":"viewer","project":"a","expires":"2026-12-01T00:00:00Z"}`, admin).want(201).into(&made)
	viewer := header("Authorization", "bearer "+made.Data.Secret)
	f.get("/api/v1/events", viewer).want(200)
	f.get("/api/v1/events", viewer, admin).want(401).says("two different")
	f.get("/api/v1/events?key=" + made.Data.Secret).want(401)
	f.get("/api/v1/events?access_token="+made.Data.Secret, viewer).want(400)
	old := made.Data.Secret
	f.post("/api/v1/admin/keys/"+made.Data.ID+"/rotate", "", admin).want(200).into(&made)
	if made.Data.Secret == old {
		t.Error("rotated into the same secret")
	}
	f.get("/api/v1/events", viewer).want(401)
	f.get("/api/v1/events", header("X-API-Key", made.Data.Secret)).want(200)
	f.post("/api/v1/admin/keys/"+made.Data.ID+"/rotate", `{"graceSeconds":99999999}`, admin).want(400).says("graceSeconds")
	f.post("/api/v1/admin/keys/nothing/rotate", `{"graceSeconds":1}`, admin).want(404)
	f.do("DELETE", "/api/v1/admin/keys/"+made.Data.ID, "", admin).want(204)
	f.do("DELETE", "/api/v1/admin/keys/nothing", "", admin).want(404)
	f.get("/api/v1/events", header("X-API-Key", made.Data.Secret)).want(401)
	a := f.get("/api/v1/admin/keys?limit=1", admin).want(200).says(`"hasMore":true`)
	if bytes.Contains(a.body, []byte(made.Data.Secret)) || bytes.Contains(a.body, []byte("hash")) {
		t.Errorf("the list tells too much: %s", a.body)
	}
	var page struct {
		Data       []struct{ State string }
		Pagination struct{ NextCursor string }
	}
	a.into(&page)
	f.get("/api/v1/admin/keys?limit=1&cursor="+page.Pagination.NextCursor, admin).want(200).says("revoked", `"hasMore":false`)
	f.get("/api/v1/admin/audit?limit=2", admin).want(200).says("key.revoke", "first", `"hasMore":true`).into(&page)
	f.get("/api/v1/admin/audit?limit=2&cursor="+page.Pagination.NextCursor, admin).want(200).says("key.create", "anonymous")
	if bytes.Contains(f.log.Bytes(), []byte("cpk_")) {
		t.Error("a secret is in the log")
	}
}

func TestSessions(t *testing.T) {
	f := closed(t)
	f.post("/api/v1/session", "").want(401)
	a := f.post("/api/v1/session", "", as(auth.Editor, "a")).want(200).says("editor", "until")
	set := a.header.Get("Set-Cookie")
	for _, part := range []string{"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} {
		if !strings.Contains(set, part) {
			t.Errorf("cookie %q lacks %s", set, part)
		}
	}
	if strings.Contains(set, "Secure") {
		t.Error("a cookie for https only, over http")
	}
	text, _, _ := strings.Cut(set, ";")
	cookie := header("Cookie", text)
	same, listed, other := header("Origin", "http://localhost:3100"), header("Origin", "http://localhost:3000"), header("Origin", "http://evil.example.com")
	f.get("/api/v1/session", cookie).want(200).says(`"project":"a"`)
	f.get("/api/v1/events", cookie).want(200)
	f.get("/api/v1/events", cookie, same).want(200)
	f.get("/api/v1/events", cookie, listed).want(200)
	f.get("/api/v1/events", cookie, other).want(401)
	f.get("/api/v1/events", cookie, header("Sec-Fetch-Site", "cross-site")).want(401)
	const price = `{"provider":"acme","model":"m","prices":{"input":1}}`
	f.do("PUT", "/api/v1/prices", price, cookie).want(401)
	f.do("PUT", "/api/v1/prices", price, cookie, other).want(403)
	f.do("PUT", "/api/v1/prices", price, cookie, same).want(200)
	f.do("PUT", "/api/v1/prices", price, cookie, listed).want(200)
	again, _, _ := strings.Cut(f.post("/api/v1/session", "", as(auth.Editor, "a")).want(200).header.Get("Set-Cookie"), ";")
	f.do("DELETE", "/api/v1/session", "", cookie, other).want(403)
	f.get("/api/v1/events", cookie).want(200)
	if a := f.do("DELETE", "/api/v1/session", "", cookie, same).want(204); !strings.Contains(a.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("the cookie is not taken back: %v", a.header)
	}
	f.get("/api/v1/events", cookie).want(401) // a copy of it
	f.do("DELETE", "/api/v1/session", "", cookie, same).want(204)
	f.get("/api/v1/events", header("Cookie", again)).want(200)
	f.now = f.now.Add(12 * time.Hour)
	f.get("/api/v1/events", header("Cookie", again)).want(401)
}

func limited(p *Params) {
	p.Limits.Ingest = limit.Rule{Name: "events", Most: 3, Per: time.Hour}
	p.Limits.Other = limit.Rule{Name: "requests", Most: 2, Per: 15 * time.Minute}
	p.Limits.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} // where httptest's requests come from
}

func TestRateLimits(t *testing.T) {
	f := closed(t, limited)
	viewer := as(auth.Viewer, "")
	a := f.get("/api/v1/events", viewer).want(200)
	for name, want := range map[string]string{
		"X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "900",
		"RateLimit": `"requests";r=1;t=900`, "RateLimit-Policy": `"requests";q=2;w=900`,
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	f.get("/api/v1/analytics/features", viewer).want(200)
	f.now = f.now.Add(10 * time.Second)
	a = f.get("/api/v1/events", viewer).want(429).says(`"error":"Rate limit exceeded"`, `"retryAfter":890`)
	if a.header.Get("Retry-After") != "890" || a.header.Get("X-RateLimit-Remaining") != "0" {
		t.Errorf("headers %v", a.header)
	}
	f.get("/api/v1/events", as(auth.Viewer, "a")).want(200) // another key
	for range 5 {
		f.get("/health").want(200)
		f.get("/health/ready").want(200)
		f.get("/metrics", viewer).want(200)
	}
	for i, want := range []int{202, 202, 202, 429} { // of its own
		f.post("/api/v1/events", batch(event(i)), as(auth.Admin, "")).want(want)
	}
	// Guessing is told to wait, and good keys are not.
	for i := range 35 {
		want := 401
		if i >= failures.Most {
			want = 429
		}
		f.get("/api/v1/events", header("X-API-Key", fmt.Sprint("guess ", i))).want(want)
	}
	f.get("/api/v1/events", as(auth.Editor, "")).want(200)
	f.now = f.now.Add(time.Hour)
	f.get("/api/v1/events", viewer).want(200)
}

func TestNoLimitsWhileOpen(t *testing.T) {
	f := setup(t, limited)
	for range 5 {
		if a := f.get("/api/v1/events").want(200); a.header.Get("X-RateLimit-Limit") != "" {
			t.Error("limited on an open server")
		}
	}
	f = setup(t, limited, func(p *Params) { p.Access.AnyHost = true })
	f.get("/api/v1/events").want(200)
	f.get("/api/v1/events").want(200)
	f.get("/api/v1/events").want(429)
	f.get("/api/v1/events", header("X-Forwarded-For", "203.0.113.9")).want(200) // another client behind the proxy
}

func TestClientAddress(t *testing.T) {
	f := setup(t, func(p *Params) {
		p.Limits.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	})
	for _, c := range []struct{ peer, xff, forwarded, want string }{
		{"203.0.113.5:1", "", "", "203.0.113.5"},
		{"203.0.113.5:1", "1.1.1.1", "", "203.0.113.5"}, // no proxy of ours: anyone can say so
		{"203.0.113.5:1", "", "for=1.1.1.1", "203.0.113.5"},
		{"10.0.0.1:1", "1.1.1.1", "", "1.1.1.1"},
		{"10.0.0.1:1", "6.6.6.6, 1.1.1.1", "", "1.1.1.1"}, // spoofed on the left
		{"10.0.0.1:1", "6.6.6.6, 1.1.1.1, 10.2.3.4", "", "1.1.1.1"},
		{"10.0.0.1:1", "10.9.9.9, 10.2.3.4", "", "10.9.9.9"}, // all of them proxies
		{"10.0.0.1:1", "rubbish", "", "10.0.0.1"},
		{"10.0.0.1:1", "1.1.1.1, rubbish, 10.2.3.4", "", "10.2.3.4"},
		{"10.0.0.1:1", ",,,", "", "10.0.0.1"},
		{"10.0.0.1:1", "1.1.1.1:4711", "", "1.1.1.1"},
		{"10.0.0.1:1", "", `for="[2001:db8:1:2:3:4:5:6]:99";proto=https;by=x`, "2001:db8:1:2::/64"},
		{"10.0.0.1:1", "9.9.9.9", "for=6.6.6.6, For=1.1.1.1;proto=http", "1.1.1.1"},
		{"10.0.0.1:1", "", "proto=https", "10.0.0.1"},
		{"10.0.0.1:1", "", "for=_hidden, for=10.1.1.1", "10.1.1.1"},
		{"[::1]:1", "2001:db8::1", "", "2001:db8::/64"},
		{"[::ffff:10.0.0.1]:1", "1.1.1.1", "", "1.1.1.1"},
		{"[fe80::1%eth0]:1", "", "", "fe80::/64"},
		{"pipe", "1.1.1.1", "", "pipe"},
		{"10.0.0.1:1", strings.Repeat("6.6.6.6,", 1000) + "1.1.1.1" + strings.Repeat(",10.0.0.2", 40), "", "10.0.0.2"},
	} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		if c.xff != "" {
			r.Header.Set("X-Forwarded-For", c.xff)
		}
		if c.forwarded != "" {
			r.Header.Set("Forwarded", c.forwarded)
		}
		if got := f.api.server.clientAddress(r); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestSecurityInTheDocument(t *testing.T) {
	f := setup(t)
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Security    []any
			Responses   map[string]any
		}
	}
	if err := json.Unmarshal(f.api.server.document, &doc); err != nil {
		t.Fatal(err)
	}
	for path, ops := range doc.Paths {
		for method, op := range ops {
			public := rightsWanted[strings.TrimSuffix(op.OperationID, "-alias")] == auth.Public
			if public == (len(op.Security) > 0) {
				t.Errorf("%s %s: security %v", method, path, op.Security)
			}
			if _, says := op.Responses["401"]; !public && !says {
				t.Errorf("%s %s: the document knows no 401", method, path)
			}
		}
	}
}
