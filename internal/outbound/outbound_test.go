package outbound_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/outbound"
)

func guard(t *testing.T, allowed ...string) outbound.Guard {
	t.Helper()
	g, err := outbound.ParseGuard(allowed)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestCheck(t *testing.T) {
	g := guard(t)
	for _, text := range []string{
		"127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "::", "0.1.2.3", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200",
		"168.63.129.16", "192.0.0.192", "198.18.0.1", "203.0.113.9", "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1",
		"fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "2001::1", "100::1",
		"::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::1", "2002:a00:1::",
	} {
		if err := g.Check(netip.MustParseAddr(text)); fault.CodeOf(err) != fault.Forbidden {
			t.Errorf("%s: %v, want it refused", text, err)
		}
	}
	for _, text := range []string{"8.8.8.8", "172.32.0.1", "172.15.0.1", "100.128.0.1", "192.169.0.1", "::ffff:8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"} {
		if err := g.Check(netip.MustParseAddr(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	g = guard(t, "10.1.0.0/16", "fd00::5", "::ffff:192.168.0.9")
	for text, allowed := range map[string]bool{"10.1.2.3": true, "10.2.0.0": false, "::ffff:10.1.0.1": true, "fd00::5": true, "fd00::6": false, "192.168.0.9": true, "192.168.0.8": false} {
		if err := g.Check(netip.MustParseAddr(text)); (err == nil) != allowed {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, bad := range []string{"", "10.0.0.0/33", "http://a", "a:80", "*.example.com"} {
		if _, err := outbound.ParseGuard([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// What counts is the address that is connected to: by name, by number, and behind
// a redirect.
func TestClient(t *testing.T) {
	asked := 0
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		}
	}))
	defer target.Close()
	port := target.URL[strings.LastIndexByte(target.URL, ':'):]
	byName, byNumber := "http://localhost"+port, "http://127.0.0.1"+port
	ask := func(g outbound.Guard, where string) error {
		answer, err := g.Client(5 * time.Second).Get(where)
		if err == nil {
			answer.Body.Close()
		}
		return err
	}
	// Nobody's proxy makes the connection instead.
	t.Setenv("HTTP_PROXY", target.URL)
	for _, where := range []string{byName, byNumber, "http://2130706433" + port, "http://[::ffff:127.0.0.1]" + port, "http://0.0.0.0" + port} {
		if err := ask(guard(t), where); err == nil {
			t.Errorf("%s is asked", where)
		}
	}
	if asked != 0 {
		t.Fatalf("%d requests arrived", asked)
	}
	if err := ask(guard(t, "127.0.0.0/8"), byNumber); err != nil || asked != 1 {
		t.Errorf("an allowed network: %v", err)
	}
	named := guard(t, "LocalHost.")
	if err := ask(named, byName); err != nil || asked != 2 {
		t.Errorf("an allowed name: %v", err)
	}
	err := ask(named, byName+"?to="+url.QueryEscape(byNumber))
	if fault.CodeOf(err) != fault.Forbidden || asked != 3 {
		t.Errorf("behind a redirect: %v, %d requests", err, asked)
	}
}
