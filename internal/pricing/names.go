package pricing

import (
	"regexp"
	"strings"
	"time"
)

// maxName bounds the names that are matched at all, in bytes: events have at
// most 256 characters, a quote's text comes unchecked.
const maxName = 1024

// standardTiers are the names under which providers report the standard tier.
var standardTiers = map[string]bool{
	"": true, "standard": true, "default": true, "auto": true, "on_demand": true, "on-demand": true,
}

// TierName is a service tier as prices are kept under it: lower case, "" for
// the standard one.
func TierName(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ToLower(strings.TrimSpace(s))
	if standardTiers[s] {
		return ""
	}
	return s
}

func regionName(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToLower(strings.TrimSpace(s))
}

// What clouds put before and after a vendor's own model name.
var (
	// A region and the vendor, as in "us.anthropic.claude-…".
	regionBefore = regexp.MustCompile(`(?i)^(?:us-gov|us|eu|apac|au|jp|in|ca|sa|global|regional)\.((?:` + vendors + `)\..+)$`)
	vendorBefore = regexp.MustCompile(`(?i)^(?:` + vendors + `)\.(.+)$`)
	// A hosting version, as in "…-v1:0" or "…-v1:0:200k".
	versionAfter = regexp.MustCompile(`(?i)^(.+)-v\d+:\d+(?::\w+)?$`)
	// A revision after an at sign, as in "…@20250219", "…@001" or "…@default".
	revisionAfter = regexp.MustCompile(`(?i)^(.+)@(?:(\d[\d-]*)|default|latest)$`)
	// An endpoint's region in a path, as in "bedrock/us-east-1/…".
	cloudRegion = regexp.MustCompile(`^(?i:[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-?\d{1,2})$`)

	// A vendor's own revision, as in "gemini-2.5-flash-001".
	numberAfter = regexp.MustCompile(`^(.+)-00\d$`)
	latestAfter = regexp.MustCompile(`(?i)^(.+)[-:]latest$`)
	compactDate = regexp.MustCompile(`-(20\d{2})(\d{2})(\d{2})(-|:|$)`)
	dashedDate  = regexp.MustCompile(`-(20\d{2})-(\d{2})-(\d{2})(-|:|$)`)
	dateAfter   = regexp.MustCompile(`(?i)^(.+)-(?:(20\d{2})-?(\d{2})-?(\d{2})|(\d{2})-20\d{2})$`)
	previewDate = regexp.MustCompile(`(?i)^(.+-(?:preview|exp))-(\d{2})-(\d{2})$`)
)

const vendors = `ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai|qwen|stability|twelvelabs|writer|zai`

// pathWords are path segments that name a kind of thing or an interface, not a
// model.
var pathWords = map[string]bool{"models": true, "converse": true, "converse_like": true, "invoke": true, "chat": true, "responses": true}

// lastOf are path segments after which only the model's own name is left.
var lastOf = []string{"/models/", "/routers/", "/foundation-model/", "/inference-profile/"}

// stripPath takes one thing off that stands before a slash.
func (b *Book) stripPath(p *provider, name string) (string, bool) {
	if low := strings.ToLower(name); strings.HasPrefix(low, "arn:") || strings.HasPrefix(low, "projects/") ||
		strings.HasPrefix(low, "publishers/") || strings.HasPrefix(low, "accounts/") {
		// An ARN's resource type follows a colon: ":foundation-model/x".
		low = strings.ReplaceAll(low, ":", "/")
		for _, mark := range lastOf {
			if i := strings.LastIndex(low, mark); i >= 0 && i+len(mark) < len(name) && len(low) == len(name) {
				return name[i+len(mark):], true
			}
		}
		return name, false
	}
	i := strings.IndexByte(name, '/')
	if i <= 0 || i == len(name)-1 {
		return name, false
	}
	segment, rest := strings.ToLower(name[:i]), name[i+1:]
	q := b.providerOf(segment)
	switch {
	case q != nil && q == p, b.gateways[segment]:
		return rest, true
	case p != nil && p.paths:
		return name, false // here a vendor and a slash are part of a model's id
	case q != nil, pathWords[segment], cloudRegion.MatchString(segment):
		return rest, true
	}
	return name, false
}

func stripBy(re *regexp.Regexp) func(string) (string, bool) {
	return func(name string) (string, bool) {
		if m := re.FindStringSubmatch(name); m != nil {
			return m[1], true
		}
		return name, false
	}
}

// stripRevision turns "@20250219" into "-20250219" and takes "@default" off.
func stripRevision(name string) (string, bool) {
	m := revisionAfter.FindStringSubmatch(name)
	switch {
	case m == nil:
		return name, false
	case m[2] == "":
		return m[1], true
	}
	return m[1] + "-" + m[2], true
}

// stripDate takes a date off the end, when it is one.
func stripDate(name string) (string, bool) {
	if m := dateAfter.FindStringSubmatch(name); m != nil {
		if m[5] != "" && m[5] >= "01" && m[5] <= "12" || m[2] != "" && isDate(m[2], m[3], m[4]) {
			return m[1], true
		}
	}
	if m := previewDate.FindStringSubmatch(name); m != nil && isDate("2024", m[2], m[3]) {
		return m[1], true
	}
	return name, false
}

func isDate(year, month, day string) bool {
	_, err := time.Parse("20060102", year+month+day)
	return err == nil
}

// otherDates writes the dates in a name the other way: 20250219 as 2025-02-19
// and back.
func otherDates(name string) (string, bool) {
	rewrite := func(re *regexp.Regexp, sep string) string {
		return re.ReplaceAllStringFunc(name, func(s string) string {
			m := re.FindStringSubmatch(s)
			if !isDate(m[1], m[2], m[3]) {
				return s
			}
			return "-" + m[1] + sep + m[2] + sep + m[3] + m[4]
		})
	}
	if out := rewrite(compactDate, "-"); out != name {
		return out, true
	}
	out := rewrite(dashedDate, "")
	return out, out != name
}

// form is a name with some of what was added to it taken off.
type form struct {
	name string
	// how says what was taken off to come here; "" for the name as it was sent.
	how string
	// regionless says that a region was taken off, loose that a date, a revision
	// number or "-latest" was.
	regionless, loose bool
}

// step takes one kind of addition off a name; it is repeated until it finds no
// more.
type step struct {
	how   string
	strip func(string) (string, bool)
	loose bool
}

// decorations are the steps that take off what gateways and clouds add and
// leave the vendor's own name, its date and "-latest" included.
func (b *Book) decorations(p *provider) []step {
	path := step{how: "path", strip: func(s string) (string, bool) { return b.stripPath(p, s) }}
	revision := step{how: "revision", strip: stripRevision}
	version := step{how: "version", strip: stripBy(versionAfter)}
	region := step{how: stepRegion, strip: stripBy(regionBefore)}
	vendor := step{how: "vendor", strip: stripBy(vendorBefore)}
	if p != nil && p.regional {
		return []step{path, revision, version, region, vendor}
	}
	return []step{path, region, vendor, revision, version}
}

const stepRegion = "region"

// forms lists the names to look for, most specific first: as sent, then with
// one addition after another taken off. A date or "-latest" goes last, except
// before a region where the region changes the price.
func (b *Book) forms(p *provider, name string) []form {
	steps := b.decorations(p)
	loose := []step{
		{"latest", stripBy(latestAfter), true}, {"number", stripBy(numberAfter), true}, {"date", stripDate, true},
	}
	if p != nil && p.regional {
		steps = append(append(append([]step{}, steps[:3]...), loose...), steps[3:]...)
	} else {
		steps = append(steps, loose...)
	}
	out := []form{{name: name}}
	last := out[0]
	for _, s := range steps {
		for {
			next, ok := s.strip(last.name)
			if !ok || next == "" {
				break
			}
			last = form{
				name: next, how: joinHow(last.how, s.how),
				regionless: last.regionless || s.how == stepRegion,
				loose:      last.loose || s.loose,
			}
			out = append(out, last)
		}
	}
	return out
}

func joinHow(a, b string) string {
	if a == "" {
		return b
	}
	return a + "+" + b
}

// undecorate takes off everything that gateways and clouds add, until nothing
// is left to take.
func (b *Book) undecorate(p *provider, name string) string {
	steps := b.decorations(p)
	for changed := true; changed; {
		changed = false
		for _, s := range steps {
			if next, ok := s.strip(name); ok && next != "" {
				name, changed = next, true
			}
		}
	}
	return name
}
