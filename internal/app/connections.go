package app

import (
	"net"
	"sync"
)

// otherConnections is how many connections are open at once beside those of live
// streams; further ones wait to be accepted. It leaves file descriptors for the ledger, which could not write
// without, under the usual limits of 10,000 and more.
const otherConnections = 3000

// limited accepts at most n connections at once.
func limited(l net.Listener, n int) net.Listener {
	return &limitedListener{Listener: l, free: make(chan struct{}, n), closed: make(chan struct{})}
}

type limitedListener struct {
	net.Listener
	free   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.free })}, nil
}

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

// CloseWrite is what net/http looks for, to let a client that still sends read
// why it was refused.
func (c *limitedConn) CloseWrite() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
