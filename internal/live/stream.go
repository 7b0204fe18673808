package live

import "sync"

// streamBuffer is how many events a reader may be behind: 6 s at full pace.
const streamBuffer = 64

// Stream is one subscriber's events. Its reader calls Close when it leaves.
type Stream struct {
	hub    *Hub
	view   *view
	events chan *Event
	lastID string
	joined chan error
	ended  chan struct{}
	once   sync.Once
	slow   sync.Once
	err    error // set before events is closed
}

// Events gives events in order until the stream ends by itself; then Err says
// why.
func (s *Stream) Events() <-chan *Event { return s.events }

// Ended is closed when the stream ends by itself, also when events wait to be
// read.
func (s *Stream) Ended() <-chan struct{} { return s.ended }

// Err is ErrSlow or ErrClosed once Events is closed.
func (s *Stream) Err() error { return s.err }

// Close gives up the stream; it may be called again.
func (s *Stream) Close() {
	s.view.leave(s)
	s.released()
}

// Drop gives up the stream because its reader is too slow.
func (s *Stream) Drop() {
	s.late()
	s.Close()
}

func (s *Stream) late() { s.slow.Do(func() { s.hub.dropped.Add(1) }) }

// released gives back the stream's place in the hub.
func (s *Stream) released() { s.once.Do(func() { s.hub.streams.Add(-1) }) }

// end closes the events; the view's lock is held, and the stream is in it no
// more.
func (s *Stream) end(err error) {
	s.err = err
	close(s.events)
	close(s.ended)
	s.released()
}
