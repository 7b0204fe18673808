package live

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"sync/atomic"
	"time"

	"github.com/costprof/costprof/internal/redis"
)

// Bus is what Redis needs of a redis.Conn.
type Bus interface {
	Publish(ctx context.Context, channel string, text []byte) error
	Listen(ctx context.Context, channel string, silence time.Duration, l redis.Listener)
	Up() bool
}

// Redis is the Channel of servers that share a ledger and a Redis. Nothing waits
// for it: messages are sent by Run, in frames that each server numbers, so that the
// others notice what is missing. What it cannot vouch for (a gap, a server not heard
// of before or not any more, a connection that broke) it calls missed.
type Redis struct {
	bus      Bus
	channel  string
	from     string
	receiver Receiver
	wake     chan struct{}

	needed atomic.Uint32 // by the receiver of this process
	others atomic.Uint32 // by all others

	mu     sync.Mutex
	queue  []Message
	cells  int
	number uint64
	gap    bool // something was not sent since the last frame
	peers  map[string]*peer
}

// peer is another server.
type peer struct {
	number uint64
	need   Detail
	heard  time.Time
}

// The pace of servers.
const (
	// tellEvery is how often a server says that it is there and what it needs.
	tellEvery = time.Second
	// forgetAfter is when a server that says nothing counts as gone.
	forgetAfter = 5 * time.Second
	// silence is when a connection on which not even this server's own frames come
	// back counts as broken.
	silence = 3 * time.Second
	// maxPeers bounds how many servers are known at once.
	maxPeers = 1000
)

// NewRedis makes a channel for the servers that share the ledger with this id.
func NewRedis(bus Bus, ledger string) *Redis {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return &Redis{
		bus: bus, channel: "live:1:" + ledger, from: hex.EncodeToString(id[:]),
		wake: make(chan struct{}, 1), peers: map[string]*peer{},
	}
}

// Connect implements Channel.
func (c *Redis) Connect(r Receiver) { c.receiver = r }

// Detail implements Channel.
func (c *Redis) Detail() Detail { return Detail(c.others.Load()) }

// Need implements Channel: the others are told at once.
func (c *Redis) Need(d Detail) {
	if c.needed.Swap(uint32(d)) != uint32(d) {
		c.signal()
	}
}

func (c *Redis) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Publish implements Channel: the receiver of this process has the message when it
// returns. What does not fit the queue is not sent.
func (c *Redis) Publish(m Message) {
	c.receiver.Receive(m)
	if c.others.Load() == 0 {
		return
	}
	up := c.bus.Up()
	c.mu.Lock()
	if len(c.queue) >= maxMessages || c.cells+len(m.Cells) > maxCells || !up {
		c.gap = true
	} else {
		c.queue = append(c.queue, m)
		c.cells += len(m.Cells)
	}
	c.mu.Unlock()
	c.signal()
}

// Run sends and listens until ctx ends.
func (c *Redis) Run(ctx context.Context) error {
	var listening sync.WaitGroup
	listening.Go(func() { c.bus.Listen(ctx, c.channel, silence, c) })
	defer listening.Wait()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			c.forget(time.Now())
		case <-c.wake:
		}
		c.send(ctx)
	}
}

// send sends what waits, at least one frame.
func (c *Redis) send(ctx context.Context) {
	c.mu.Lock()
	messages := c.queue
	c.queue, c.cells = nil, 0
	c.mu.Unlock()
	for first := true; first || len(messages) > 0; first = false {
		f := frame{From: c.from, Number: c.next(), Need: Detail(c.needed.Load())}
		text := f.appendHead(nil)
		for len(messages) > 0 && len(text) < maxFrame {
			text = appendMessage(text, &messages[0])
			messages = messages[1:]
		}
		// A frame that was perhaps not sent has its number all the same.
		if err := c.bus.Publish(ctx, c.channel, text); err != nil && len(messages) > 0 {
			c.skipped()
			return
		}
	}
}

// next is the number of the next frame; it leaves one out for what was not sent.
func (c *Redis) next() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	if c.gap {
		c.number++
		c.gap = false
	}
	return c.number
}

func (c *Redis) skipped() {
	c.mu.Lock()
	c.gap = true
	c.mu.Unlock()
}

// Began implements redis.Listener.
func (c *Redis) Began() {
	c.receiver.Missed()
	c.signal() // the others learn what is needed here
}

// Heard implements redis.Listener.
func (c *Redis) Heard(text []byte) {
	f, err := readFrame(text)
	switch {
	case err != nil:
		c.receiver.Missed()
	case f.From != c.from && c.follows(&f):
		for i := range f.Messages {
			c.receiver.Receive(f.Messages[i])
		}
	}
}

// follows notes a frame of another server and says whether it is news.
func (c *Redis) follows(f *frame) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[f.From]
	if p == nil {
		if len(c.peers) >= maxPeers {
			c.receiver.Missed()
			return false
		}
		p = &peer{number: f.Number - 1}
		c.peers[f.From] = p
		c.receiver.Missed()
	}
	if f.Number <= p.number {
		return false // it came twice
	}
	if f.Number != p.number+1 {
		c.receiver.Missed()
	}
	p.number, p.need, p.heard = f.Number, f.Need, time.Now()
	c.sumUp()
	return true
}

// sumUp adds up what the others need; mu is held. What was announced before they
// needed it was not sent to them, and may share a commit with what will be.
func (c *Redis) sumUp() {
	need := uint32(0)
	for _, p := range c.peers {
		need |= uint32(p.need)
	}
	if need&^c.others.Load() != 0 {
		c.gap = true
	}
	c.others.Store(need)
}

// forget drops servers that say nothing any more. What they announced last may not
// have arrived.
func (c *Redis) forget(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for from, p := range c.peers {
		if now.Sub(p.heard) > forgetAfter {
			delete(c.peers, from)
			c.receiver.Missed()
		}
	}
	c.sumUp()
}
