package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/live"
	"github.com/costprof/costprof/internal/money"
)

// Streams tell what is being stored.
type Streams interface {
	Subscribe(ctx context.Context, r live.Request) (*live.Stream, error)
	// Close ends all streams.
	Close()
	// Streams is how many there are, Dropped how many ended for slow readers.
	Streams() int64
	Dropped() int64
}

const (
	// heartbeat is how often a stream says that it is there.
	heartbeat = 30 * time.Second
	// writeWait is how long a reader may keep one write waiting.
	writeWait = 10 * time.Second
	// lastWriteWait is how long when the stream is to end.
	lastWriteWait = time.Second
)

const streamDoc = "Server-sent events. The first is a snapshot: the sums of everything stored so far. " +
	"Then an update for each stored batch, at most 10 a second: batches that come faster share one. " +
	"A snapshot later on replaces everything before it: stored costs were corrected, or events removed. " +
	"A comment comes every 30 seconds. With Last-Event-ID the stream goes on exactly behind that event where this server can, else it begins with a snapshot. " +
	"A reader that does not keep up is disconnected."

func (s *server) streamRoutes() []*route {
	return []*route{{
		id: "stream-costs", method: http.MethodGet, path: "/api/v1/stream/costs", alias: "/api/stream/costs", tag: "Live", need: auth.Read,
		summary: "Spend while it is stored", doc: streamDoc, params: filterParams,
		headers: []param{{name: "Last-Event-ID", doc: "The id of the last event that was seen; EventSource sends it by itself.", schema: text()}},
		status:  http.StatusOK, media: "text/event-stream", answer: s.streamSchema(),
		errors: []int{http.StatusServiceUnavailable}, raw: s.streamCosts,
	}}
}

// streamSchema says what the data of a message is.
func (s *server) streamSchema() *huma.Schema {
	schema := anyOf(schemaOf[costSnapshot](s), schemaOf[costUpdate](s))
	schema.Description = "The data of each message is one of these as JSON."
	return schema
}

// costSnapshot and costUpdate are what a stream tells.
type costSnapshot struct {
	Type      string      `json:"type" enum:"snapshot"`
	TotalCost money.Total `json:"totalCost" doc:"Cost of everything stored."`
	CallCount int64       `json:"callCount"`
	Unpriced  int64       `json:"unpricedCalls" doc:"Calls whose cost is an estimate of the caller or unknown."`
	Fallback  int64       `json:"fallbackCalls" doc:"Calls whose tier or region had no price and took the standard one."`
	Timestamp time.Time   `json:"timestamp"`
	Features  costs       `json:"features" doc:"Cost by feature, the 100 dearest; the rest is (other)."`
}

type costUpdate struct {
	Type         string      `json:"type" enum:"update"`
	Count        int64       `json:"count" doc:"Calls that were newly stored."`
	TotalCost    money.Total `json:"totalCost" doc:"Their cost."`
	Unpriced     int64       `json:"unpricedCalls" doc:"Those of them whose cost is an estimate of the caller or unknown."`
	Fallback     int64       `json:"fallbackCalls" doc:"Those of them whose tier or region had no price and took the standard one."`
	RunningTotal money.Total `json:"runningTotal" doc:"Cost of everything stored, with them."`
	RunningCount int64       `json:"runningCount" doc:"Calls stored, with them."`
	Timestamp    time.Time   `json:"timestamp"`
	Features     []string    `json:"features" doc:"Their features, dearest first, at most 100 and (other)."`
	FeatureCosts costs       `json:"featureCosts" doc:"Their cost by feature."`
}

// costs are amounts by name.
type costs map[string]money.Total

// renderEvent makes a message of an event: data before id, so that who reads
// only lines of data finds them first.
func renderEvent(e *live.Event) []byte {
	var v any = costUpdate{
		"update", e.Calls, e.Cost, e.Unpriced, e.Fallback, e.Running.Cost, e.Running.Calls, e.At.UTC(), e.Names, e.Features,
	}
	if e.Snapshot {
		v = costSnapshot{"snapshot", e.Cost, e.Calls, e.Unpriced, e.Fallback, e.At.UTC(), e.Features}
	}
	var b bytes.Buffer
	b.WriteString("data: ")
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // ends the line
		panic(err) // numbers and valid texts only
	}
	b.WriteString("id: " + e.ID + "\n\n")
	return b.Bytes()
}

func (s *server) streamCosts(w http.ResponseWriter, r *http.Request) {
	q := queryOf(r, filterParams)
	filter := q.filter(window{})
	if err := q.err(); err != nil {
		s.fail(w, r, err)
		return
	}
	if r.Method == http.MethodHead {
		streamHeaders(w)
		return
	}
	joining, cancel := context.WithTimeout(r.Context(), s.timeout)
	stream, err := s.live.Subscribe(joining, live.Request{Filter: filter, LastID: r.Header.Get("Last-Event-ID")})
	cancel()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer stream.Close()
	streamHeaders(w)
	s.pump(w, r, stream)
}

func streamHeaders(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold messages back
	w.WriteHeader(http.StatusOK)
}

// pump writes the stream until either side ends it.
func (s *server) pump(w http.ResponseWriter, r *http.Request, stream *live.Stream) {
	rc := http.NewResponseController(w)
	// The server's deadlines are for requests that end. Reading on is how a reader
	// that leaves is noticed.
	_ = rc.SetReadDeadline(time.Time{})
	send := func(text []byte) bool {
		_ = rc.SetWriteDeadline(time.Now().Add(writeWait)) // a recorder in a test has none
		_, err := w.Write(text)
		if err == nil {
			err = rc.Flush()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			select {
			case <-stream.Ended(): // for another reason
			default:
				stream.Drop()
			}
		}
		return err == nil
	}
	// A write that waits for the reader must not hold up the end of the stream.
	written := make(chan struct{})
	defer close(written)
	go func() {
		select {
		case <-stream.Ended():
			_ = rc.SetWriteDeadline(time.Now().Add(lastWriteWait))
		case <-written:
		}
	}()
	if !send(nil) { // a stream that goes on may have nothing to tell yet
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	again := time.NewTicker(s.recheck)
	defer again.Stop()
	for {
		select {
		case e, ok := <-stream.Events():
			if !ok || !send(e.Text(renderEvent)) {
				return
			}
		case <-beat.C:
			if !send([]byte(": heartbeat\n\n")) {
				return
			}
		case <-again.C:
			if !s.mayStill(r) {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// recheckStream is how long a stream outlives its credential.
const recheckStream = 5 * time.Second

// mayStill says whether who reads a stream may go on: a key may be revoked, a
// token end, and an open server be closed meanwhile.
func (s *server) mayStill(r *http.Request) bool {
	if !s.auth.Closed() {
		return true
	}
	now, err := s.principal(r)
	if err != nil {
		return fault.CodeOf(err) == fault.Unavailable // nobody can say now
	}
	return now.Role.Can(auth.Read) && now.Project == exchangeOf(r.Context()).who.Project
}
