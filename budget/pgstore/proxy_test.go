package pgstore

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// fault is what a proxy does to the next reply.
type fault int32

const (
	none      fault = iota
	fin             // closes in good order instead of passing it on
	rst             // resets the connection instead
	blackHole       // swallows it and everything after it
	halfReply       // passes half of it on and closes
)

// proxy stands between a store and its server and spoils one reply at a time: the request has arrived by then.
type proxy struct {
	listener net.Listener
	upstream string
	next     atomic.Int32
	spoilt   atomic.Int32

	mu    sync.Mutex
	conns []net.Conn
	all   sync.WaitGroup
}

func newProxy(t *testing.T, upstream string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: l, upstream: upstream}
	p.all.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.all.Wait()
	})
	return p
}

func (p *proxy) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// arm spoils the next reply.
func (p *proxy) arm(f fault) { p.next.Store(int32(f)) }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.upstream)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.all.Go(func() {
			io.Copy(server, client) //nolint:errcheck // either end may break it off
			server.Close()
		})
		p.all.Go(func() { p.reply(client, server) })
	}
}

// reply passes replies on until one is to be spoilt.
func (p *proxy) reply(client, server net.Conn) {
	defer server.Close()
	defer client.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		f := fault(p.next.Swap(int32(none)))
		if f != none {
			p.spoilt.Add(1)
		}
		switch f {
		case none:
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
			continue
		case rst:
			client.(*net.TCPConn).SetLinger(0) //nolint:errcheck // then it is a FIN
		case halfReply:
			client.Write(buf[:n/2]) //nolint:errcheck // the other half is lost anyway
		case blackHole:
			io.Copy(io.Discard, server) //nolint:errcheck // until the client gives up
		}
		return
	}
}
