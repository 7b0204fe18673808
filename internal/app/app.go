// Package app wires the server: it opens the engine, puts prices, ingest,
// reports and the HTTP edge over it, serves, and takes everything down in
// reverse. It holds no rule of its own beyond the order of things.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/config"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/httpapi"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/engines"
)

// Params are what Run needs.
type Params struct {
	Config  *config.Config
	Version string
	// Out gets the one line for the person who started the server.
	Out io.Writer
	Log *slog.Logger
	// Level is how much the log holds; it is set while the server runs.
	Level *slog.LevelVar
}

// NewLog makes the log that the settings ask for, and what changes its level.
func NewLog(c *config.Config, w io.Writer) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(c.Level())
	opts := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts)), level
	}
	return slog.New(slog.NewTextHandler(w, opts)), level
}

// Run serves until ctx ends, then stops gracefully: no new requests, accepted
// ones finish within the grace of the settings, the ledger is closed clean. What a
// second interrupt does is the caller's: to end the process at once loses nothing
// that was acknowledged. An error is one sentence for the person who started it.
func Run(ctx context.Context, p Params) error {
	c := p.Config
	address, err := c.Address()
	if err != nil {
		return err
	}
	// A server that others can reach needs a key. Those of the settings are known
	// before anything is opened, those of the ledger only afterwards.
	listener, err := listen(ctx, address, bool(c.Insecure) || c.Protected())
	needsKey := errors.Is(err, errReachable)
	if err != nil && !needsKey {
		return err
	}
	if listener != nil {
		defer listener.Close()
	}

	engine, err := engines.Open(ctx, engines.Options{
		URL: c.Database(), ReadURL: c.DatabaseReadURL, Connections: c.DatabaseConnections, StatementTimeout: c.DatabaseStatementTimeout,
		Dir: c.Data, Log: p.Log, MemoryLimit: int64(c.MemoryLimit), QueueWait: c.IngestQueueWait,
	})
	if err != nil {
		return dataError(c, err)
	}
	if needsKey {
		if listener, err = listenWithKey(ctx, address, engine); err == nil {
			defer listener.Close()
		}
	}
	if err == nil {
		err = serve(ctx, p, engine, listener)
	}
	if closing := closeWithin(engine, closeWait); closing != nil {
		err = errors.Join(err, fmt.Errorf("close the ledger: %w", closing))
	}
	return err
}

// closeWait is how long the engine may take to close: a question that it cannot
// give up must not keep the process. What was acknowledged is on disk by then.
const closeWait = 30 * time.Second

func closeWithin(c io.Closer, most time.Duration) error {
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(most):
		return fmt.Errorf("it is still busy after %v and was left as it is; the next start recovers it", most)
	}
}

// errReachable: others can reach the address, and no key is known yet.
var errReachable = errors.New("can be reached from other machines, and no key protects this server: " +
	"configure a key (API_KEYS, or costprof keys create), or start it open with --insecure")

// listenWithKey listens where others can reach it when the ledger was closed by
// a key.
func listenWithKey(ctx context.Context, address string, engine store.Engine) (net.Listener, error) {
	closed, err := auth.Ever(ctx, engine)
	if err != nil {
		return nil, err
	}
	return listen(ctx, address, closed)
}

// listen takes the port before anything else is touched, so that a busy one
// costs nothing.
func listen(ctx context.Context, address string, anywhere bool) (net.Listener, error) {
	reachable := fmt.Errorf("%s (COSTPROF_LISTEN) %w", address, errReachable)
	if !anywhere && !config.Loopback(address) {
		return nil, reachable
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use by another program; choose another port with --port (PORT)", address)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s may not be listened on by this user; choose a port above 1023 with --port (PORT)", address)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	// A hosts file can make any name lead anywhere.
	if !anywhere && !config.Loopback(l.Addr().String()) {
		l.Close()
		return nil, reachable
	}
	return l, nil
}

func dataError(c *config.Config, err error) error {
	if c.Database() != "" {
		return err // names the database and the setting, and no secret
	}
	var f *fault.Error
	if errors.As(err, &f) && f.Code == fault.Conflict {
		return errors.New(f.Message)
	}
	return fmt.Errorf("cannot open the data directory %s: %w", c.Data, err)
}

func serve(ctx context.Context, p Params, engine store.Engine, listener net.Listener) error {
	c := p.Config
	// Work below outlives ctx: accepted requests finish after it ended.
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorking()

	access, err := openAccess(working, p, engine)
	if err != nil {
		return err
	}
	api, workers, err := assemble(working, p, engine, access)
	if err != nil {
		return err
	}
	var background sync.WaitGroup
	for name, run := range workers {
		background.Go(func() {
			if err := run(working); err != nil && working.Err() == nil {
				p.Log.Error("background work ended", "work", name, "error", err)
			}
		})
	}
	defer background.Wait()
	defer stopWorking()

	var requests sync.WaitGroup
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			defer requests.Done()
			api.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: c.HeaderTimeout,
		ReadTimeout:       c.HeaderTimeout + c.BodyTimeout,
		// Counted from the end of the headers: the body, the work, and the answer.
		WriteTimeout:   c.BodyTimeout + c.RequestTimeout + writeSlack,
		IdleTimeout:    c.IdleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		// net/http would answer OPTIONS * before anyone is asked who may come in.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(p.Log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(limited(listener, otherConnections+c.SSEMaxConnections)) }()
	announce(p, listener.Addr(), access.Closed())

	select {
	case err := <-failed:
		return fmt.Errorf("stopped serving: %w", err)
	case <-ctx.Done():
	}
	p.Log.Info("stopping: accepted requests finish first", "grace", c.ShutdownGrace)
	api.Closing()
	grace, cancel := context.WithTimeout(working, c.ShutdownGrace)
	defer cancel()
	drain(grace, api)
	if err := server.Shutdown(grace); err != nil {
		p.Log.Warn("requests did not finish within the grace and were cut off", "grace", c.ShutdownGrace)
		server.Close()
	}
	stopWorking()
	wait(&requests, cutOffWait)
	return nil
}

const (
	maxHeaderBytes = 64 << 10
	writeSlack     = 30 * time.Second
	// drainLeast is how long new requests are told at least that the server stops:
	// those on their way, and whoever asks /health/ready.
	drainLeast = 250 * time.Millisecond
	drainPause = 10 * time.Millisecond
	// cutOffWait is how long handlers whose connection was cut may take to notice.
	cutOffWait = 3 * time.Second
)

// drain returns when no accepted request is left, or when ctx ends.
func drain(ctx context.Context, api *httpapi.API) {
	least := time.Now().Add(drainLeast)
	for api.Accepted() > 0 || time.Now().Before(least) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(drainPause):
		}
	}
}

func wait(group *sync.WaitGroup, most time.Duration) {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(most):
	}
}

func announce(p Params, address net.Addr, closed bool) {
	dir, err := filepath.Abs(p.Config.Data)
	if err != nil {
		dir = p.Config.Data
	}
	if name := p.Config.DatabaseName(); name != "" {
		dir = name
	}
	fmt.Fprintf(p.Out, "costprof %s listens on %s, data in %s\n", p.Version, url(address), dir)
	if !closed && bool(p.Config.Insecure) && !config.Loopback(address.String()) {
		p.Log.Warn("the server is open to everyone who can reach it: no key protects it", "address", address.String())
	}
}

// url is what to open in a browser on this machine.
func url(address net.Addr) string {
	host, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return address.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

func guards(c *config.Config) httpapi.Access {
	return httpapi.Access{AllowedHosts: c.AllowedHosts, CORSOrigins: c.Origins(), AnyHost: bool(c.Insecure)}
}
