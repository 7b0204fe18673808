package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// exporting answers with rows of one number each, in answers of at most `most`.
func exporting(t *testing.T, rows, most int, form func(n int) string, end func(next string) string) *Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		from, size := 0, most
		_, _ = fmt.Sscan(q.Get("cursor"), &from)
		_, _ = fmt.Sscan(q.Get("limit"), &size)
		w.Header().Set("Trailer", "X-Next-Cursor")
		if from == 0 {
			w.Header().Set("X-Total-Count", fmt.Sprint(rows))
		}
		if q.Get("header") != "false" && q.Get("format") == "csv" {
			fmt.Fprint(w, "id\r\n")
		}
		to := min(rows, from+min(size, most))
		for n := from; n < to; n++ {
			fmt.Fprint(w, form(n))
		}
		next := ""
		if to < rows {
			next = fmt.Sprint(to)
			w.Header().Set("X-Next-Cursor", next)
		}
		fmt.Fprint(w, end(next))
	}))
	t.Cleanup(server.Close)
	c, err := New(server.URL, WithRetry(NoRetry()))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestExportFollowsCursors(t *testing.T) {
	none := func(string) string { return "" }
	c := exporting(t, 7, 3, func(n int) string { return fmt.Sprintf("%d\r\n", n) }, none)
	var out bytes.Buffer
	parts := 0
	r := ExportRequest{Format: "csv", OnPart: func(p ExportPart) error {
		if parts++; (parts == 1) != (p.Total == 7) {
			t.Errorf("part %d has the total %d", parts, p.Total)
		}
		return nil
	}}
	next, err := c.ExportEvents(t.Context(), r, &out)
	if err != nil || next != "" || out.String() != "id\r\n0\r\n1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n" || parts != 3 {
		t.Errorf("%q, %q, %v, %d parts", out.String(), next, err, parts)
	}
	out.Reset()
	r.Limit, r.PartSize, r.OnPart = 5, 2, nil
	next, err = c.ExportEvents(t.Context(), r, &out)
	if err != nil || next != "5" || strings.Count(out.String(), "\n") != 6 {
		t.Errorf("of 5: %q, %q, %v", out.String(), next, err)
	}

	lines := exporting(t, 5, 2, func(n int) string { return fmt.Sprintf("{\"id\":%d}\n", n) }, func(next string) string {
		if next == "" {
			return ""
		}
		return fmt.Sprintf("{\"nextCursor\":%q}\n", next)
	})
	out.Reset()
	_, err = lines.ExportEvents(t.Context(), ExportRequest{Format: "ndjson"}, &out)
	if want := "{\"id\":0}\n{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n{\"id\":4}\n"; err != nil || out.String() != want {
		t.Errorf("%q, %v", out.String(), err)
	}
	if _, err := c.ExportEvents(t.Context(), ExportRequest{Format: "parquet"}, io.Discard); !errors.Is(err, ErrOneDocument) {
		t.Errorf("parquet of several answers: %v", err)
	}
}

func TestExportTellsBrokenAnswers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "id\r\n0\r\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	c, err := New(server.URL, WithRetry(NoRetry()))
	if err != nil {
		t.Fatal(err)
	}
	var gone *Unreachable
	if _, err := c.ExportEvents(t.Context(), ExportRequest{}, io.Discard); !errors.As(err, &gone) {
		t.Errorf("got %v", err)
	}
}
