// Package faults breaks the network between a store and its server, and tests every store with every fault: whatever breaks, no call is
// admitted that could not be checked, and the store works again when the fault ends.
package faults

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// Cut is a way in which one message gets lost. Everything before and after it passes, so that a client that retries by itself succeeds: a
// fault that also hits the retry would hide that there was one.
type Cut struct {
	Name string
	// Request cuts what the client sends; otherwise the server's answer is cut, to a request that was executed.
	Request bool
	// Half lets the first half of the message through.
	Half bool
	// end closes the connections. Without it they stay open, and nothing more is forwarded on them: a black hole.
	end func(client, server *net.TCPConn)
}

// Cuts are the ways in which one message can get lost.
var Cuts = []Cut{
	{Name: "answer: FIN", end: finish},
	{Name: "answer: RST", end: reset},
	{Name: "answer: black hole"},
	{Name: "answer: half, FIN", Half: true, end: finish},
	{Name: "answer: half, RST", Half: true, end: reset},
	{Name: "request: FIN", Request: true, end: finish},
	{Name: "request: half, FIN", Request: true, Half: true, end: finish},
	{Name: "request: half, RST", Request: true, Half: true, end: reset},
	{Name: "request: black hole", Request: true},
}

// Silent reports whether the client can only notice by waiting.
func (c Cut) Silent() bool { return c.end == nil }

// finish closes both connections normally, with a FIN.
func finish(client, server *net.TCPConn) {
	client.Close()
	server.Close()
}

// reset closes both connections with a RST, as a crashed peer does.
func reset(client, server *net.TCPConn) {
	// With a linger of 0, Close sends a RST in the place of a FIN.
	client.SetLinger(0) //nolint:errcheck // the connection may be gone already
	server.SetLinger(0) //nolint:errcheck // as above
	finish(client, server)
}

// Proxy forwards TCP connections unchanged, except for one message each time that it is armed. It is safe for concurrent use.
type Proxy struct {
	listener net.Listener
	all      sync.WaitGroup // its goroutines

	mu       sync.Mutex
	upstream string // the server's host and port
	armed    *Cut   // nil if the next message passes
	skip     int    // messages that pass before the armed cut
	hits     int    // messages that were cut
	open     map[*net.TCPConn]bool
	holes    []*net.TCPConn // connections on which nothing is forwarded any more
	closed   bool
}

// NewProxy returns a proxy in front of a server, until the test ends.
func NewProxy(tb testing.TB, upstream string) *Proxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{listener: listener, upstream: upstream, open: make(map[*net.TCPConn]bool)}
	p.all.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Arm cuts a message in the cut's direction, on any connection: the next one, after skip others.
func (p *Proxy) Arm(c Cut, skip int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed, p.skip = &c, skip
}

// Disarm undoes an Arm that has not hit a message, and closes black holes.
func (p *Proxy) Disarm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = nil
	for _, c := range p.holes {
		c.Close()
	}
	p.holes = nil
}

// Hits returns how many messages got lost.
func (p *Proxy) Hits() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits
}

// Redirect sends new connections to another server and breaks the present ones, as a failover does.
func (p *Proxy) Redirect(upstream string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = upstream
	p.breakAll()
}

// close ends the proxy with all its connections, and waits for its goroutines.
func (p *Proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.breakAll()
	p.mu.Unlock()
	p.all.Wait()
}

// breakAll closes all connections. Requires mu held.
func (p *Proxy) breakAll() {
	for c := range p.open {
		c.Close()
	}
}

// accept serves connections until the listener is closed.
func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.all.Go(func() { p.serve(client.(*net.TCPConn)) })
	}
}

// serve connects a client with the server, and forwards in both directions until both have ended.
func (p *Proxy) serve(client *net.TCPConn) {
	defer client.Close()
	p.mu.Lock()
	upstream := p.upstream
	p.mu.Unlock()
	conn, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	if !p.keep(client, server) { // the proxy was closed meanwhile, and nobody would break these connections
		return
	}
	defer p.drop(client, server)
	var pumps sync.WaitGroup
	pumps.Go(func() { p.pump(client, server, true) })
	pumps.Go(func() { p.pump(client, server, false) })
	pumps.Wait()
}

// keep remembers open connections. It returns false if the proxy was closed.
func (p *Proxy) keep(conns ...*net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.open[c] = true
	}
	return !p.closed
}

// drop forgets connections that are closed.
func (p *Proxy) drop(conns ...*net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.open, c)
	}
}

// pump copies one direction of a connection: requests or answers. It takes what arrives at once for one message.
func (p *Proxy) pump(client, server *net.TCPConn, request bool) {
	from, to := server, client
	if request {
		from, to = client, server
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf) // n is 0 if the other side has closed the connection
		if cut := p.hit(request, n); cut != nil {
			if cut.Half {
				_, _ = to.Write(buf[:n/2]) // if it fails, all of the message is lost
			}
			p.lose(cut, client, server, from)
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if errors.Is(err, io.EOF) { // the end of this direction is passed on; the other one goes on
			_ = to.CloseWrite()
		}
		if err != nil {
			return
		}
	}
}

// lose does with the connections what a cut does, and returns when nothing comes from the sender of the message any more.
func (p *Proxy) lose(cut *Cut, client, server, sender *net.TCPConn) {
	if cut.Silent() {
		p.dig(client, server)
		_, _ = io.Copy(io.Discard, sender) // until the sender gives up, or Disarm closes the connection
		return
	}
	cut.end(client, server) // closes the connections, which ends the pump of the other direction, too
}

// dig remembers the connections of a black hole.
func (p *Proxy) dig(conns ...*net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holes = append(p.holes, conns...)
}

// hit returns the cut that is armed for a message of n bytes, and disarms it; nil if the message passes.
func (p *Proxy) hit(request bool, n int) *Cut {
	p.mu.Lock()
	defer p.mu.Unlock()
	// That a connection ends, without a byte, is no message.
	if n == 0 || p.armed == nil || p.armed.Request != request {
		return nil
	}
	if p.skip--; p.skip >= 0 { // this one is still among those that pass
		return nil
	}
	cut := p.armed
	p.armed = nil
	p.hits++
	return cut
}
