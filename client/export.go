package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// ExportRequest asks for rows as a file.
type ExportRequest struct {
	Filter
	// Format is "csv", "json", "ndjson", "parquet", or of events "focus"; "" is csv.
	Format string
	// Limit is the most rows; 0 is all. One answer of the server has at most a
	// million.
	Limit int64
	// PartSize is the most rows that one answer brings; 0 is a million.
	PartSize int
	// Cursor continues an export.
	Cursor string
	// BOM begins a CSV with a byte order mark, by which Excel knows UTF-8.
	BOM bool
	// NoHeader leaves out the names of a CSV's columns.
	NoHeader bool
	// OnPart is called when the rows of one answer are written; an error ends
	// the export.
	OnPart func(ExportPart) error `json:"-"`
}

// maxPart is the most rows of one answer.
const maxPart = 1_000_000

// Values gives the request as query parameters, for one answer.
func (r *ExportRequest) Values() url.Values {
	q := r.Filter.Values()
	set(q, "format", r.Format)
	set(q, "cursor", r.Cursor)
	part := int64(r.PartSize)
	if r.Limit > 0 && (part == 0 || r.Limit < part) {
		part = min(r.Limit, maxPart)
	}
	setInt(q, "limit", int(part))
	if r.BOM {
		q.Set("bom", "true")
	}
	if r.NoHeader {
		q.Set("header", "false")
	}
	return q
}

// ExportPart is what came of one answer.
type ExportPart struct {
	// Total is how many rows there are in all, -1 when the request continued
	// another one, and of prompts.
	Total int64
	// NextCursor continues the export; "" at its end.
	NextCursor string
}

// Exported is what can be exported.
type Exported string

// What there is to export.
const (
	// ExportedEvents are the events, newest first.
	ExportedEvents Exported = "events"
	// ExportedFeatures are the rows of the breakdown by feature, dearest first.
	ExportedFeatures Exported = "features"
	// ExportedPrompts are calls with far more input than their like, the most
	// wasteful first.
	ExportedPrompts Exported = "prompts"
	// ExportedClusters are groups of the same and nearly the same prompts, those first of which a cache
	// of answers would save most. One answer has all of them.
	ExportedClusters Exported = "clusters"
)

// ErrOneDocument reports that rows of several answers cannot stand in one
// file of the format.
var ErrOneDocument = errors.New("client: a file of this format cannot be continued; ask for its parts one by one")

// ExportEventsPart writes the file of one answer to w as it arrives. An error
// may come when part of it is written.
func (c *Client) ExportEventsPart(ctx context.Context, r ExportRequest, w io.Writer) (ExportPart, error) {
	return c.ExportPart(ctx, ExportedEvents, r, w)
}

// ExportPart is ExportEventsPart of any rows.
func (c *Client) ExportPart(ctx context.Context, what Exported, r ExportRequest, w io.Writer) (ExportPart, error) {
	resp, err := c.stream(ctx, apiPrefix+"export/"+string(what), r.Values())
	if err != nil {
		return ExportPart{}, err
	}
	defer resp.Body.Close()
	part := ExportPart{Total: -1}
	if n, err := strconv.ParseInt(resp.Header.Get("X-Total-Count"), 10, 64); err == nil {
		part.Total = n
	}
	if _, err := io.Copy(w, &answered{resp.Body, c, ctx}); err != nil {
		return part, err
	}
	part.NextCursor = resp.Trailer.Get("X-Next-Cursor")
	return part, nil
}

// ExportEvents writes events as one file to w, asking again until there are no
// more of them or r.Limit is reached; it gives the cursor that continues the
// file then. When json or parquet would need a second answer, the error is
// ErrOneDocument.
func (c *Client) ExportEvents(ctx context.Context, r ExportRequest, w io.Writer) (nextCursor string, err error) {
	return c.Export(ctx, ExportedEvents, r, w)
}

// Export is ExportEvents of any rows. The cursors of features and prompts are good
// for 10 minutes after the first answer.
func (c *Client) Export(ctx context.Context, what Exported, r ExportRequest, w io.Writer) (nextCursor string, err error) {
	several := r.Format != "json" && r.Format != "parquet"
	if r.Format == "ndjson" {
		w = &rowLines{w: w}
	}
	for left := r.Limit; ; {
		r.Limit = left
		asked, _ := strconv.ParseInt(r.Values().Get("limit"), 10, 64)
		part, err := c.ExportPart(ctx, what, r, w)
		if err != nil {
			return "", err
		}
		if left > 0 {
			left -= asked
		}
		if r.OnPart != nil {
			if err := r.OnPart(part); err != nil {
				return "", err
			}
		}
		if part.NextCursor == "" || r.Limit > 0 && left <= 0 {
			return part.NextCursor, nil
		}
		if !several {
			return part.NextCursor, ErrOneDocument
		}
		r.Cursor, r.NoHeader, r.BOM = part.NextCursor, true, false
	}
}

// rowLines leaves out the line that has the cursor: the file goes on.
type rowLines struct {
	w    io.Writer
	rest []byte
}

func (l *rowLines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	whole := bytes.LastIndexByte(l.rest, '\n') + 1
	lines := l.rest[:whole]
	if last := bytes.LastIndexByte(bytes.TrimSuffix(lines, []byte("\n")), '\n') + 1; bytes.HasPrefix(lines[last:], []byte(`{"nextCursor":`)) {
		lines = lines[:last]
	}
	if _, err := l.w.Write(lines); err != nil {
		return 0, err
	}
	l.rest = append(l.rest[:0], l.rest[whole:]...)
	return len(p), nil
}

// answered tells whoever reads an answer that the connection broke.
type answered struct {
	io.Reader
	c   *Client
	ctx context.Context //nolint:containedctx // of the one request
}

func (a *answered) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = a.c.broken(a.ctx, err)
	}
	return n, err
}

// stream asks for an answer that is read as it comes. Only asking is tried
// again, not reading.
func (c *Client) stream(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		resp, err := c.begin(ctx, path, query)
		if err == nil || ctx.Err() != nil {
			return resp, err
		}
		wait, again := c.retry.backoff(attempt, err, true)
		if !again {
			return nil, err
		}
		if c.onRetry != nil {
			c.onRetry(Waiting{Attempt: attempt, Wait: wait, Err: err})
		}
		if err := pause(ctx, wait, err); err != nil {
			return nil, err
		}
	}
}

func (c *Client) begin(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	u, err := c.base.Parse(path)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	req.Header.Set("User-Agent", c.userAgent)
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	return nil, parseError(resp.StatusCode, resp.Header, body, c.now())
}
