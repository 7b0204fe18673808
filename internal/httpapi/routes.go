package httpapi

import (
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/auth"
)

// routes are all operations, in the order of the document's tags.
func (s *server) routes() []*route {
	var rs []*route
	rs = append(rs, s.ingestRoutes()...)
	rs = append(rs, s.analyticsRoutes()...)
	rs = append(rs, s.similarRoutes()...)
	rs = append(rs, s.streamRoutes()...)
	rs = append(rs, s.traceRoutes()...)
	rs = append(rs, s.exportRoutes()...)
	rs = append(rs, s.priceRoutes()...)
	rs = append(rs, s.priceListRoutes()...)
	rs = append(rs, s.rerateRoutes()...)
	rs = append(rs, s.jobRoutes()...)
	rs = append(rs, s.accessRoutes()...)
	rs = append(rs, s.healthRoutes()...)
	rs = append(rs, s.operateRoutes()...)
	return append(rs, s.rootRoutes()...)
}

type rootAnswer struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	OpenAPI string `json:"openapi" doc:"Path of the description of the API."`
	Docs    string `json:"docs" doc:"Path of the same for people."`
	Health  string `json:"health" doc:"Path of the server's health."`
}

func (s *server) rootRoutes() []*route {
	return []*route{
		{
			id: "root", method: http.MethodGet, path: "/{$}", tag: "Operation", need: auth.Public, summary: "Where to go on",
			status: http.StatusOK, answer: s.envelope(schemaOf[rootAnswer](s), nil), serve: func(c *call) (*reply, error) {
				return &reply{Data: rootAnswer{"costprof", s.version, "/openapi.json", "/docs", "/health"}}, c.q.err()
			},
		},
		{
			id: "openapi", method: http.MethodGet, path: "/openapi.json", tag: "Operation", need: auth.Public, summary: "This document",
			status: http.StatusOK, answer: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true},
			raw: func(w http.ResponseWriter, r *http.Request) {
				if s.refuseQuery(w, r) {
					return
				}
				w.Header().Set("Content-Type", "application/json; charset=utf-8")
				w.Header().Set("Content-Length", strconv.Itoa(len(s.document)))
				w.WriteHeader(http.StatusOK)
				_, _ = w.Write(s.document)
			},
		},
		s.docsRoute(),
	}
}
