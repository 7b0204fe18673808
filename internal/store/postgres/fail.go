package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/costprof/costprof/internal/fault"
)

// retryAfter is when to try again after the database failed.
const retryAfter = 2 * time.Second

func errStopping() error {
	return &fault.Error{Code: fault.Unavailable, Message: "the server is stopping; nothing was stored", RetryAfter: retryAfter}
}

// explain gives an error of the database its code: fault.Unavailable when trying
// again can help.
func (e *Engine) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var coded *fault.Error
	if errors.As(err, &coded) {
		return err
	}
	if e.closed.Load() {
		return errStopping()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if message := passing(err); message != "" {
		return &fault.Error{Code: fault.Unavailable, Message: message, RetryAfter: retryAfter, Err: secretless(err)}
	}
	return fmt.Errorf("ledger: %w", secretless(err))
}

// passing is a sentence about a failure that may pass, "" for others.
func passing(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case pg.Code == "57014": // statement_timeout
			return "the question took longer than DATABASE_STATEMENT_TIMEOUT"
		case pg.Code == "55P03":
			return "the ledger is busy with commits of other servers"
		case pg.Code == "25006":
			return "the database is a standby and cannot store"
		case strings.HasPrefix(pg.Code, "53"):
			return "the database is out of disk, memory or connections"
		case strings.HasPrefix(pg.Code, "08"), strings.HasPrefix(pg.Code, "57P"), strings.HasPrefix(pg.Code, "58"),
			pg.Code == "25P03", strings.HasPrefix(pg.Code, "40"):
			return "the database does not answer at the moment"
		}
		return ""
	}
	var network net.Error
	var connecting *pgconn.ConnectError
	if errors.As(err, &network) || errors.As(err, &connecting) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return "the database does not answer at the moment"
	}
	// The driver reports a connection that broke earlier by a text alone.
	if strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "closed pool") {
		return "the database does not answer at the moment"
	}
	return ""
}

// secretless is an error that may be logged: the driver's words about a
// connection can hold its settings, so only what went wrong is kept.
func secretless(err error) error {
	var connecting *pgconn.ConnectError
	var parsing *pgconn.ParseConfigError
	switch {
	case errors.As(err, &parsing):
		return errors.New("the database's URL cannot be read")
	case errors.As(err, &connecting):
		return fmt.Errorf("connect to the database: %w", connecting.Unwrap())
	}
	return err
}

// retried runs fn again while the database says that it and another transaction
// were in each other's way. A lost connection is not retried: the commit may have
// happened, and whoever asked learns that from a retry of theirs.
func retried(ctx context.Context, fn func() error) error {
	for attempt := 1; ; attempt++ {
		err := fn()
		var pg *pgconn.PgError
		if attempt == 5 || !errors.As(err, &pg) || pg.Code != "40001" && pg.Code != "40P01" {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(1+rand.IntN(20*attempt)) * time.Millisecond):
		}
	}
}
