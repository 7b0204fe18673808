package app

import (
	"errors"
	"net"
	"testing"
	"time"
)

func TestLimitedConnections(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limited(inner, 2)
	defer l.Close()
	accepted, ended := make(chan net.Conn), make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- c
		}
	}()
	var served []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for range 2 {
		served = append(served, <-accepted)
	}
	select {
	case <-accepted:
		t.Fatal("a third connection is accepted")
	case <-time.After(50 * time.Millisecond):
	}
	// Closed twice, as net/http may, it makes room once.
	served[0].Close()
	served[0].Close()
	served[0] = <-accepted
	select {
	case <-accepted:
		t.Fatal("a connection too many is accepted")
	case <-time.After(50 * time.Millisecond):
	}
	if _, ok := served[0].(interface{ CloseWrite() error }); !ok {
		t.Error("the connection cannot be half-closed")
	}
	// Closing ends the wait for room too.
	l.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Accept goes on after Close")
	}
	for _, c := range served {
		c.Close()
	}
}
