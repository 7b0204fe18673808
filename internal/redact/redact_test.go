package redact

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Keys are put together here, so that scanners for leaked secrets leave this file
// alone.
func fake(prefix, body string, n int) string {
	return prefix + strings.Repeat(body, n/len(body)+1)[:n]
}

func TestFinds(t *testing.T) {
	body := "aB3dE6gH9jK2mN5pQ8sT"
	cases := map[string]struct{ in, want string }{
		"e-mail":                 {"write to jane.doe+x@mail.example.co.uk, please", "write to [email], please"},
		"e-mail in brackets":     {"<ops@example.com>", "<[email]>"},
		"e-mail at the end":      {"It was bob@example.com.", "It was [email]."},
		"e-mail behind a scheme": {"mailto:bob@example.com?subject=x", "mailto:[email]?subject=x"},
		"e-mail, other script":   {"почта: ivan@почта.рф!", "почта: [email]!"},
		"e-mail before kanji":    {"連絡はbob@example.com。", "連絡は[email]。"},
		"e-mail of digits":       {"1234567@163.com", "[email]"},
		"two e-mails":            {"a@example.com,b@example.com", "[email],[email]"},

		"phone, Germany":         {"call +49 30 1234567 now", "call [phone] now"},
		"phone, joined":          {"tel:+14155550100;", "tel:[phone];"},
		"phone, Britain":         {"+44 (0)20 7946 0958", "[phone]"},
		"phone, Denmark":         {"+45 12 34 56 78.", "[phone]."},
		"phone, dots":            {"+33.1.23.45.67.89", "[phone]"},
		"phone with 00":          {"0049 171 1234567", "[phone]"},
		"phone, brackets":        {"(415) 555-2671", "[phone]"},
		"phone, North America":   {"415-555-2671 or 1-800-555-0199", "[phone] or [phone]"},
		"phone then words":       {"+49 171 1234567 at 10:30", "[phone] at 10:30"},
		"card":                   {"card 4111111111111111.", "card [card]."},
		"card, spaces":           {"4111 1111 1111 1111 12/29", "[card] 12/29"},
		"card, dashes":           {"card-no: 5500-0055-5555-5559", "card-no: [card]"},
		"card, American Express": {"3782 822463 10005", "[card]"},
		"card, Diners":           {"30569309025904", "[card]"},
		"card, Discover":         {"6011000990139424", "[card]"},
		"card, JCB":              {"3530111333300000", "[card]"},
		"card of 13":             {"4222222222222", "[card]"},
		"card of 19":             {"4000000000000000006", "[card]"},
		"card, UnionPay":         {"6200000000000005", "[card]"},
		"card, Mastercard 2":     {"2223003122003222", "[card]"},
		"cards in a row":         {"4111 1111 1111 1111 5500 0055 5555 5559 4012 8888 8888 1881", "[card] [card] [card]"},

		"OpenAI":           {"key " + fake("sk-", body, 48), "key [key]"},
		"OpenAI, short":    {fake("sk-", body, 18), "[key]"},
		"OpenAI, project":  {fake("sk-proj-", body+"_-", 100) + "!", "[key]!"},
		"Anthropic":        {fake("sk-ant-api03-", body+"_-", 90), "[key]"},
		"Google":           {fake("AIza", body+"-_", 35), "[key]"},
		"AWS":              {"AKIA" + "IOSFODNN7EXAMPLE and ASIA" + "IOSFODNN7EXAMPLE", "[key] and [key]"},
		"AWS, secret":      {"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = [key]"},
		"GitHub":           {fake("ghp_", body, 36) + " " + fake("github_pat_", body+"_", 82), "[key] [key]"},
		"GitLab":           {fake("glpat-", body, 20), "[key]"},
		"Slack":            {"xoxb-" + "123456789012-" + body, "[key]"},
		"Stripe":           {fake("sk_"+"live_", body, 24) + fake(" rk_"+"test_", body, 24), "[key] [key]"},
		"Hugging Face":     {fake("hf_", body, 34), "[key]"},
		"Groq, xAI, npm":   {fake("gsk_", body, 52) + "," + fake("xai-", body, 80) + "," + fake("npm_", body, 36), "[key],[key],[key]"},
		"SendGrid":         {"SG." + body + "ab." + body + body, "[key]"},
		"our own":          {fake("cpk_", "abcdefghijklmnopqrstuvwxyz234567", 52), "[key]"},
		"JWT":              {"token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0." + body + body, "token=[key]"},
		"bearer":           {"Authorization: Bearer " + body + body, "Authorization: Bearer [key]"},
		"bearer alone":     {"send Bearer " + body + body + " with it", "send Bearer [key] with it"},
		"Azure":            {"api-key: 0123456789abcdef0123456789abcdef", "api-key: [key]"},
		"in JSON":          {`{"apiKey": "0123456789abcdef0123456789abcdef"}`, `{"apiKey": "[key]"}`},
		"in Go":            {`apiKey := "0123456789abcdef0123456789abcdef"`, `apiKey := "[key]"`},
		"named secret":     {"JWT_SECRET=0123456789abcdef0123456789abcdef", "JWT_SECRET=[key]"},
		"connection":       {"AccountName=x;AccountKey=" + body + body + "==;", "AccountName=x;AccountKey=[key];"},
		"password":         {"postgres://app:s3cret@db.example.com:5432/x", "postgres://app:[key]@db.example.com:5432/x"},
		"private key":      {"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nrest", "[key]\nrest"},
		"private key, cut": {"x -----BEGIN PRIVATE KEY-----\nMIIE", "x [key]"},
		"touching":         {"AKIA" + "IOSFODNN7EXAMPLE@example.com", "[key]@example.com"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := (*Rules)(nil).Text(c.in)
			if got != c.want {
				t.Errorf("Text(%q) = %q, want %q", c.in, got, c.want)
			}
			if again := (*Rules)(nil).Text(got); again != got {
				t.Errorf("again: %q", again)
			}
		})
	}
}

// What looks alike and stays.
func TestLeaves(t *testing.T) {
	for _, s := range []string{
		"", "Hello, world!", "naïve — 漢字 🙂",
		"550e8400-e29b-41d4-a716-446655440000", "41111111-1111-4111-8111-111111111111", "00000000-0000-0000-0000-000000000000",
		"d41d8cd98f00b204e9800998ecf8427e", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "commit 4b825dc642cb6eb9a060e54bf8d69288fbee4904",
		"sha256:4111111111111111aaaa4111111111111111bbbb", "0x4111111111111111",
		"2024-12-01T10:00:00.123456Z", "2024-12-01 10:00:00,123 +0100", "2024-12-01T10:00:00+0100", "20241201T100000Z", "1733047200000", "1733047200000000", "1733047200000000000",
		"+2024-12-01 10:00:00 changed", "+12345678 lines", "@@ -1,7 +1,7 @@", "1+4155550100", "x+491711234567", "+0.4111111111111111", "+1.41421356237309504880",
		"v1.2.3", "go1.25.4", "1.2.3-beta.4+exp.sha.5114f85", "10.0.19045.5131", "192.168.1.100", "255.255.255.255:8080", "2001:db8:85a3::8a2e:370:7334", "fe80::1ff:fe23:4567:890a",
		"$1,234,567.89", "0.000412500000", "3.14159265358979", "4.242424242424242", "4111111111111111.5", "1 234 567 890", "1,000,000,000,000", "4,111,111,111,111,111",
		"4111111111111112", "order 4111111111111119", "order no. 1234567890123456", "9999999999999999", "0000000000000000", "IMEI 356938035643809", "ICCID 8949020000001234569", "no secret: it was 0123456789", "secret santa = december2026", "invoice 2024-000123", "PO-4500012345", "ISBN 978-3-16-148410-0",
		"tokens: 4096 8192 1024 2048 512", "4096 4100 4200 4300 4400 4500 4600 4700 4800 4900 5000 5100 5200",
		"inputTokens=1234567890123 outputTokens=4567", "promptTokens: 4111", "maxTokens=16384", "token: 0123456789abcdef", "key=value", "cache_key=0123456789abcdef0123456789abcdef", "primary key: 0123456789abcdef",
		"api_key = os.environ['OPENAI_API_KEY']", "apiKey: process.env.OPENAI_API_KEY_2", "api_key=getKeyFromVault2024(name)", "const apiKey = config.key", "-H \"api-key: $AZURE_KEY\"", "Bearer tokens are sent", "Bearer $TOKEN",
		"git@github", "@Override public", "@scope/package@1.2.3", "pkg@1.2.3-beta.rc", "icon@2x.png", "user@localhost", "a @ b.com", "@example.com", "array[@]", "x@y", "R2@0.95",
		"sk-learn", "sk-learn-0-24-documentation-index", "task-0123456789abcdef0123", "disk-0123456789abcdef0123", "risk_live_0123456789abcdef", "hf_model_for_causal_language_1", "ghp_short", "AKIA is a prefix", "AIzawa", "BAKIAIOSFODNN7EXAMPLE",
		"eyJ", "hey.there.friend", "eyJhbGciOiJIUzI1NiJ9", "SG. Dynamo", "xoxo-kisses", "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----", "| ---- | ---- |",
		"https://example.com/a:b@c", "http://localhost:3100/api", "postgres://app:${PASSWORD}@db/x", "redis://cache:6379/0", "a://b:c",
		"TWFuIGlzIGRpc3Rpbmd1aXNoZWQsIG5vdCBvbmx5IGJ5IGhpcyByZWFzb24=", "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
		"00000000: 0020 4500 0054 1c46 4000 4001", "0020 4500 0054 1646", "12-31-2024", "555-0199", "1-2-3-4", "2024-12-01 2024-12-02", "123-456-7890 is no number there", "for (i = 0; i < 100; i++) {}", "(404) not found", "(415) 555", "f(123) 456-7890",
		"a[i] = [key-1]", "[email] and [phone] and [card] and [key]", "if x == y: pass", "SELECT * FROM t WHERE id = '550e8400-e29b-41d4-a716-446655440000'",
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "550e8400e29b41d4a716446655440000", "4 111 111 111 111 111", "+", "(", "@", ":", "=", "+1", "+49", "://", "x://", "://:@",
	} {
		if got := (*Rules)(nil).Text(s); got != s {
			t.Errorf("Text(%q) = %q", s, got)
		}
	}
}

func TestOwnPatterns(t *testing.T) {
	r, err := New("redact", []Pattern{{"employee", `\bE-\d{4,}\b`}, {"word", `[a-z]+ge`}, {"city", `(?i)paris( \[?.)?`}})
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"E-12345 asks":                   "[employee] asks",
		"one page of [email]":            "one [word] of [email]",
		"[employee] and bob@example.com": "[employee] and [email]",
		"Paris bob@example.com":          "[city]",
		"Paris [x]":                      "[city]]",
	} {
		if got := r.Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
	// One that eats one letter from the end at a time never comes to rest in time.
	if r, err = New("redact", []Pattern{{"last", `[^\x00](\x00)*$`}}); err != nil {
		t.Fatal(err)
	}
	if got := r.Text(strings.Repeat("ab ", 100)); got != all {
		t.Errorf("got %q, want %q", got, all)
	}
	// One that makes every letter longer is not let grow.
	if r, err = New("redact", []Pattern{{"a-very-long-name-indeed", `a`}}); err != nil {
		t.Fatal(err)
	}
	if got := r.Text(strings.Repeat("a", 100_000)); got != all {
		t.Errorf("got %d bytes, want %q", len(got), all)
	}
}

func TestPatternRules(t *testing.T) {
	many := make([]Pattern, MaxPatterns+1)
	for name, c := range map[string]struct {
		patterns []Pattern
		want     map[string]string
	}{
		"names": {[]Pattern{{"", "x"}, {"Upper", "x"}, {"email", "x"}, {strings.Repeat("x", MaxNameLength+1), "x"}, {"twice", "x"}, {"twice", "x"}, {"sk-0123456789abcdef01", "x"}, {"a]", "x"}}, map[string]string{
			"r[0].name": "must be 1 to 24", "r[1].name": "must be 1 to 24", "r[2].name": "must not be email", "r[3].name": "must be 1 to 24", "r[5].name": "must be given once",
			"r[6].name": "must not look like a secret", "r[7].name": "must be 1 to 24",
		}},
		"patterns": {[]Pattern{{"a", ""}, {"b", strings.Repeat("x", MaxPatternLength+1)}, {"c", "("}, {"d", "x*"}, {"e", `(?=x)`}, {"f", "x{1001}"}}, map[string]string{
			"r[0].pattern": "must have 1 to 200 bytes", "r[1].pattern": "must have 1 to 200 bytes", "r[2].pattern": "must be a regular expression (RE2): missing closing",
			"r[3].pattern": "must not match the empty text", "r[4].pattern": "must be a regular", "r[5].pattern": "must be a regular",
		}},
		"number": {many, map[string]string{"r": "must have at most 20 patterns"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New("r", c.patterns)
			got := details(err)
			for field, want := range c.want {
				if !strings.HasPrefix(strings.Join(got[field], "; "), want) {
					t.Errorf("%s: got %q, want %q", field, got[field], want)
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	own, err := New("redact", []Pattern{{"employee", `^E-\d+$`}})
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		`{}`:                                               `{}`,
		`{"a": 1, "b" : [true, null, "x"]}`:                `{"a": 1, "b" : [true, null, "x"]}`,
		`{"mail":"bob@example.com","n":1.5}`:               `{"mail":"[email]","n":1.5}`,
		`{"bob@example.com":"x"}`:                          `{"[email]":"x"}`,
		`{"a":"bob\u0040example.com"}`:                     `{"a":"[email]"}`,
		`{"a":"<b>\n+49 171 1234567 \u00e9"}`:              `{"a":"<b>\n[phone] é"}`,
		`{"card":4111111111111111,"x":[4111111111111111]}`: `{"card":"[card]","x":["[card]"]}`,
		`{"n":1733047200000000,"f":4111111111111111.0,"m":-4111111111111111}`: `{"n":1733047200000000,"f":4111111111111111.0,"m":-4111111111111111}`,
		`{"api_key":"0123456789abcdef0123"}`:                                  `{"api_key":"[key]"}`,
		`{"api_key" : "a\/0123456789abcdef0123"}`:                             `{"api_key" : "[key]"}`,
		`{"api_key":{"x":"0123456789abcdef0123"}}`:                            `{"api_key":{"x":"0123456789abcdef0123"}}`,
		`{"who":"E-77","x":{"E-78":["E-79"]}}`:                                `{"who":"[employee]","x":{"[employee]":["[employee]"]}}`,
		`"bob@example.com"`:                                                   `"[email]"`,
		`{"a":"bob@example.com"`:                                              `"[redacted]"`,
	} {
		got := string(own.JSON([]byte(in)))
		if got != want {
			t.Errorf("JSON(%s) = %s, want %s", in, got, want)
		}
		if again := string(own.JSON([]byte(got))); again != got {
			t.Errorf("again: %s", again)
		}
	}
}

// pieces are what texts are made of in the properties: things to find, parts of
// such, and what stands between.
var pieces = []string{
	"bob@example.com", "@", ".", "example.com", "+49 171 1234567", "+", "(415) 555-2671", "415-555-2671", "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "1111 ", "5500 0055 5555 5559 ",
	"sk-0123456789abcdefghij", "sk-", "ghp_0123456789abcdefghijklmnopqrstuvwxyz", "AKIAIOSFODNN7EXAMPLE", "AIzaSyA0123456789abcdefghijklmnopqrstuv", "eyJhbGciOiJIUzI1NiJ9", ".", "eyJzdWIiOiIxMjM0In0", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----",
	"api_key", "apiKey: ", "=", ":", "\"", "\\", " ", " ", "://", "user:pass", "0123456789abcdef0123456789", "Bearer ", "0049 171 1234567", "[email]", "[key]", "[", "]", "a", "E-77", "x", "é", "漢", "\n", "1", "-", "_", "/", "xoxb-0123456789-abcdef", "sk_live_0123456789abcdef",
}

func someText(t *rapid.T) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 14).Draw(t, "pieces"), "")
}

func TestAgainChangesNothing(t *testing.T) {
	sets := [][]Pattern{nil, {{"employee", `E-\d+`}, {"b", `[^a]x|1$`}}, {{"all", `.+e`}, {"num", `\w\d`}, {"edge", `^.|.$`}}}
	rapid.Check(t, func(t *rapid.T) {
		rules, err := New("redact", rapid.SampledFrom(sets).Draw(t, "patterns"))
		if err != nil {
			t.Fatal(err)
		}
		in := someText(t)
		once := rules.Text(in)
		if twice := rules.Text(once); twice != once {
			t.Fatalf("%q became %q and then %q", in, once, twice)
		}
		if !utf8.ValidString(once) {
			t.Fatalf("%q became %q", in, once)
		}
		doc, err := json.Marshal(map[string]any{in: []string{someText(t)}, "x": in, "api_key": someText(t)})
		if err != nil {
			t.Fatal(err)
		}
		first := rules.JSON(doc)
		if !json.Valid(first) {
			t.Fatalf("%s became %s", doc, first)
		}
		if second := rules.JSON(first); string(second) != string(first) {
			t.Fatalf("%s became %s and then %s", doc, first, second)
		}
	})
}

// The quick look at a whole document finds whatever the slow one would.
func TestQuickLookMissesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc, err := json.Marshal(map[string]any{someText(t): someText(t), rapid.SampledFrom([]string{"x", "api-key", "AccessToken"}).Draw(t, "name"): someText(t), "n": 4111111111111111})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string((*Rules)(nil).document(doc, string(doc))), string((*Rules)(nil).JSON(doc))); diff != "" {
			t.Fatalf("the quick look differs (-slow +quick):\n%s", diff)
		}
	})
}

// No two secrets of the list below survive, whatever stands around them.
func TestSurroundings(t *testing.T) {
	secrets := []string{"bob@example.com", "4111111111111111", "4111 1111 1111 1111", "+49 171 1234567", "AKIAIOSFODNN7EXAMPLE", "sk-0123456789abcdefghij", "ghp_0123456789abcdefghijklmnopqrstuvwxyz"}
	around := []string{" ", "\n", "\t", "(", ")", "<", ">", "\"", "'", ",", ";", "!", "?", "|", "\u00a0", "漢", "[", "]", "{", "}"}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.SampledFrom(secrets).Draw(t, "a"), rapid.SampledFrom(secrets).Draw(t, "b")
		edge := func(name string) string { return rapid.SampledFrom(around).Draw(t, name) }
		in := edge("before") + a + edge("between") + edge("between2") + b + edge("after")
		if got := (*Rules)(nil).Text(in); strings.Contains(got, a) || strings.Contains(got, b) {
			t.Fatalf("Text(%q) = %q", in, got)
		}
	})
}

func FuzzText(f *testing.F) {
	for _, p := range pieces {
		f.Add(p)
	}
	rules, err := New("redact", []Pattern{{"employee", `E-\d+`}, {"edge", `^.|é$`}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range []*Rules{nil, rules} {
			once := r.Text(s)
			if utf8.ValidString(s) && !utf8.ValidString(once) {
				t.Fatalf("%q became %q", s, once)
			}
			if twice := r.Text(once); twice != once {
				t.Fatalf("%q became %q and then %q", s, once, twice)
			}
			if doc := r.JSON([]byte(s)); json.Valid([]byte(s)) && !json.Valid(doc) {
				t.Fatalf("%s became %s", s, doc)
			}
		}
	})
}

// Texts in which everything begins like a find and nothing is one. With a rule that
// reads on to the end for each beginning, this would take a minute and more.
func TestHostileTexts(t *testing.T) {
	for _, unit := range []string{
		"eyJ-", "sk-", "sk-a-", "apikey=", "apikey=a1aaaaaaaaaaaaaaaaaa=", "://", "x://a:", "@", "a@", "a@b.", "+", "+1 ", "(", "(415) ", "1 ", "1-", "1111 ", "0012 ", "-----BEGIN ", "Bearer ", "-", "_", "[", "[email", "ghp_", "AKIA", "AIza ", "SG.", "\\\"",
	} {
		if s := strings.Repeat(unit, 1<<18/len(unit)); len((*Rules)(nil).Text(s)) > 2*len(s)+1<<10 {
			t.Errorf("%q: grew", unit)
		}
		doc, err := json.Marshal(map[string]string{strings.Repeat(unit, 1<<16/len(unit)): strings.Repeat(unit, 1<<18/len(unit))})
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid((*Rules)(nil).JSON(doc)) {
			t.Errorf("%q: no JSON", unit)
		}
	}
}

var ordinary = strings.Repeat("Summarise the following support conversation in three sentences, and say which product it is about. The customer's tone matters; quote nothing. ", 14)

func TestOrdinaryTextCostsNoMemory(t *testing.T) {
	doc := []byte(`{"version":"1.2.3","shard":17,"ok":true}`)
	if n := testing.AllocsPerRun(100, func() { (*Rules)(nil).Text(ordinary) }); n != 0 {
		t.Errorf("%v allocations a text", n)
	}
	if n := testing.AllocsPerRun(100, func() { (*Rules)(nil).JSON(doc) }); n > 1 {
		t.Errorf("%v allocations a document", n)
	}
}

func BenchmarkText(b *testing.B) {
	for name, s := range map[string]string{
		"ordinary": ordinary,
		"code":     strings.Repeat("func (s *Service) days(project string) int64 {\n\tfor _, name := range [...]string{project, \"\"} { x := s.set[name] + 1234 }\n}\n", 16),
		"tag":      "checkout-v2",
		"findings": strings.Repeat("Call +49 171 1234567 or write to bob@example.com about card 4111 1111 1111 1111. ", 24),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(s)))
			b.ReportAllocs()
			for b.Loop() {
				(*Rules)(nil).Text(s)
			}
		})
	}
}
