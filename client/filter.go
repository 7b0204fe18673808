package client

import (
	"net/url"
	"strconv"
	"strings"
)

// Filter selects calls. The zero value is every call of the last 30 days. In a
// list, any of the values matches; "" matches calls without one.
type Filter struct {
	// From and To bound the call's timestamp: RFC 3339 instants, half-open, or
	// dates YYYY-MM-DD in TZ, To included.
	From, To string
	// TZ is an IANA zone; "" is UTC.
	TZ string

	Feature, Model, Provider, User, Department, Project, Environment, Session []string
	// Tags selects by tag name.
	Tags map[string][]string
	// Status is "ok", "error" or "" for both.
	Status string
}

// Values gives the filter as the API's query parameters.
func (f *Filter) Values() url.Values {
	q := url.Values{}
	set(q, "from", f.From)
	set(q, "to", f.To)
	set(q, "tz", f.TZ)
	set(q, "status", f.Status)
	for _, list := range []struct {
		name   string
		values []string
	}{
		{"feature", f.Feature},
		{"model", f.Model},
		{"provider", f.Provider},
		{"user", f.User},
		{"department", f.Department},
		{"project", f.Project},
		{"environment", f.Environment},
		{"session", f.Session},
	} {
		for _, v := range list.values {
			q.Add(list.name, v)
		}
	}
	for tag, values := range f.Tags {
		for _, v := range values {
			q.Add("tag:"+tag, v)
		}
	}
	return q
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func setInt(q url.Values, name string, n int) {
	if n != 0 {
		q.Set(name, strconv.Itoa(n))
	}
}

func setList(q url.Values, name string, values []string) {
	set(q, name, strings.Join(values, ","))
}
