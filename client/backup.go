package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// Backup writes everything the server's ledger stores to w, of one moment. It
// returns without error only when all of it came; whether it is whole its end
// says, which costprof restore checks. The key needs the role admin for all
// projects.
func (c *Client) Backup(ctx context.Context, w io.Writer) (int64, error) {
	u, err := c.base.Parse(apiPrefix + "admin/backup")
	if err != nil {
		return 0, fmt.Errorf("client: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, fmt.Errorf("client: %w", err)
	}
	req.Header.Set("User-Agent", c.userAgent)
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, c.broken(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return 0, c.broken(ctx, err)
		}
		return 0, parseError(resp.StatusCode, resp.Header, body, c.now())
	}
	in := &bodyReader{r: resp.Body}
	n, err := io.Copy(w, in)
	if in.err != nil {
		err = c.broken(ctx, in.err)
	}
	return n, err
}

// bodyReader tells what the server failed with from what the writer did.
type bodyReader struct {
	r   io.Reader
	err error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // io.EOF comes as it is
		b.err = err
	}
	return n, err
}
