package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/fault"
)

// route is one operation: what the mux serves and what the document says.
type route struct {
	id, method, path string
	// alias is a second path of the same operation.
	alias        string
	tag          string
	summary, doc string
	params       []param
	// headers are request headers that the operation reads.
	headers []param
	// body describes the request body; nil is none.
	body *huma.RequestBody
	// status and answer describe success.
	status int
	answer *huma.Schema
	// also is another status of success, with the same answer; 0 is none.
	also  int
	media string // "" is JSON
	// files are other forms that the answer can have; trailers what follows it.
	files    []fileAnswer
	trailers []param
	// errors are the statuses beyond those every route can give.
	errors []int
	// unavailable is the answer of a 503 that says more than an error.
	unavailable *huma.Schema
	// need is the right that the route asks for; everywhere asks for it in every
	// project. pace is the rule of how often.
	need       auth.Right
	everywhere bool
	pace       pace
	// weigh is what answering may hold.
	weigh weight
	// serve answers with data; a route with raw does everything itself.
	serve func(*call) (*reply, error)
	raw   http.HandlerFunc
}

// call is one request to a route.
type call struct {
	context.Context
	*http.Request
	w http.ResponseWriter
	q *query
}

// reply is the shape of a success.
type reply struct {
	Data       any         `json:"data"`
	Meta       any         `json:"meta,omitempty"`
	Pagination *pagination `json:"pagination,omitempty"`

	status int
	// file is answered instead, for other tools.
	file *file
}

// file is an answer in another form than ours.
type file struct {
	name, media string
	content     []byte
}

// fileAnswer describes one.
type fileAnswer struct {
	media, doc string
	schema     *huma.Schema
}

type pagination struct {
	NextCursor *string `json:"nextCursor" doc:"What to send as cursor for the next page; null after the last."`
	HasMore    bool    `json:"hasMore"`
}

// pages makes a pagination of the cursor for the next page, "" being none.
func pages(next string) *pagination {
	if next == "" {
		return &pagination{}
	}
	return &pagination{NextCursor: &next, HasMore: true}
}

// handle wraps a route's function in what all of them share.
func (s *server) handle(rt *route) http.HandlerFunc {
	serve := rt.raw
	if serve == nil {
		serve = func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), s.timeout)
			defer cancel()
			q := queryOf(r, rt.params)
			q.providerID = func(name string) string { return s.prices.Book().ProviderID(name) }
			held, err := s.answers.hold(ctx, rt.weigh, q)
			if err != nil {
				s.fail(w, r, err)
				return
			}
			defer func() { held.shrink(0) }()
			rep, err := rt.serve(&call{ctx, r, w, q})
			if err != nil {
				if ctx.Err() != nil && fault.CodeOf(err) == fault.Internal {
					err = ctx.Err()
				}
				s.fail(w, r, err)
				return
			}
			status := rep.status
			if status == 0 {
				status = http.StatusOK
			}
			if status == http.StatusNoContent {
				w.WriteHeader(status)
				return
			}
			exchangeOf(r.Context()).share = held
			if rep.file != nil {
				rep.file.write(w, r)
				return
			}
			s.write(w, r, status, rep)
		}
	}
	ids := strings.Contains(rt.path, "{id}")
	return func(w http.ResponseWriter, r *http.Request) {
		exchangeOf(r.Context()).route = r.Pattern
		if err := s.admit(w, r, rt); err != nil {
			s.fail(w, r, err)
			return
		}
		if id := r.PathValue("id"); ids && (!validText(id) || len(id) > maxPathID) {
			s.fail(w, r, errNoThing)
			return
		}
		serve(w, r)
	}
}

// routed finds the route, or answers 404 or 405 in the common shape.
func (s *server) routed(w http.ResponseWriter, r *http.Request) {
	// The mux would redirect an unclean path; nothing asks for one by mistake.
	if r.URL.Path == "" || r.URL.Path[0] != '/' || cleaned(r.URL.Path) != r.URL.Path {
		s.fail(w, r, errNoRoute)
		return
	}
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	probe := &headerProbe{header: http.Header{}}
	h.ServeHTTP(probe, r)
	if allow := probe.header.Get("Allow"); probe.status == http.StatusMethodNotAllowed && allow != "" {
		w.Header().Set("Allow", allow)
		s.fail(w, r, &refusal{http.StatusMethodNotAllowed, fault.New(fault.Invalid, "This path answers to %s", allow)})
		return
	}
	s.fail(w, r, errNoRoute)
}

// maxPathID is longer than any id that is given out.
const maxPathID = 128

var errNoThing = fault.New(fault.NotFound, "There is nothing with this id")

// notFound says the same of whatever is not there, in the words of the API.
func notFound(err error) error {
	if fault.CodeOf(err) == fault.NotFound {
		return errNoThing
	}
	return err
}

var errNoRoute = fault.New(fault.NotFound, "There is nothing at this path; /openapi.json lists what there is")

func cleaned(p string) string {
	c := path.Clean(p)
	if strings.HasSuffix(p, "/") && c != "/" {
		c += "/"
	}
	return c
}

// headerProbe takes what the mux would have answered to a path or method that it
// does not know.
type headerProbe struct {
	header http.Header
	status int
}

func (p *headerProbe) Header() http.Header         { return p.header }
func (p *headerProbe) Write(b []byte) (int, error) { return len(b), nil }
func (p *headerProbe) WriteHeader(status int)      { p.status = status }

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// keptAnswer is the largest buffer kept for a later answer.
const keptAnswer = 512 << 10

// write answers with JSON, whole or not at all.
func (s *server) write(w http.ResponseWriter, r *http.Request, status int, v any) {
	buf := buffers.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= keptAnswer {
			buf.Reset()
			buffers.Put(buf)
		}
	}()
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		if _, already := v.(errorBody); already {
			panic(err)
		}
		buf.Reset()
		s.fail(w, r, err)
		return
	}
	exchangeOf(r.Context()).share.shrink(int64(buf.Len()))
	hurry(w, buf.Len())
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes()) // an error means that who asked is gone
}

func (f *file) write(w http.ResponseWriter, r *http.Request) {
	exchangeOf(r.Context()).share.shrink(int64(len(f.content)))
	hurry(w, len(f.content))
	h := w.Header()
	h.Set("Content-Type", f.media)
	h.Set("Content-Disposition", `attachment; filename="`+f.name+`"`)
	h.Set("Content-Length", strconv.Itoa(len(f.content)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(f.content) // an error means that who asked is gone
}

// paths are the paths of the route, the canonical one first.
func (rt *route) paths() []string {
	return slices.DeleteFunc([]string{rt.path, rt.alias}, func(p string) bool { return p == "" })
}
