package redisstore

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// fault is what happens to a reply on its way back.
type fault int

const (
	noFault   fault = iota
	fin             // the connection is closed, in order
	rst             // the connection is reset
	blackHole       // nothing comes back, and nothing ends
	halfReply       // a part of the reply comes back, and then the end
)

var faults = map[string]fault{"FIN": fin, "RST": rst, "black hole": blackHole, "half a reply": halfReply}

// lossy is a server's address behind which replies get lost. Requests arrive always.
type lossy struct {
	addr    string
	next    atomic.Int32 // the fault that the next reply to a script meets
	scripts atomic.Int64 // scripts that were passed on

	deaf      atomic.Bool  // whether all replies are swallowed
	swallowed atomic.Int64 // replies that were
}

// newLossy puts a proxy before a server. It ends with the test, its connections too.
func newLossy(t *testing.T, server string) *lossy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &lossy{addr: l.Addr().String()}
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			mu.Lock()
			open = append(open, client, upstream)
			mu.Unlock()
			all.Go(func() { p.pipe(client.(*net.TCPConn), upstream) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return p
}

// pipe carries one connection. A client sends a request and waits for its reply, so that what comes back belongs to what
// was sent last.
func (p *lossy) pipe(client *net.TCPConn, upstream net.Conn) {
	var scripted atomic.Bool
	var both sync.WaitGroup
	both.Go(func() {
		defer upstream.(*net.TCPConn).CloseWrite()
		buf := make([]byte, 64<<10)
		for {
			n, err := client.Read(buf)
			if err != nil {
				return
			}
			if bytes.Contains(buf[:n], []byte("\r\nevalsha\r\n")) {
				scripted.Store(true)
				p.scripts.Add(1)
			}
			if _, err := upstream.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	defer both.Wait()
	defer client.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := upstream.Read(buf)
		if err != nil {
			return
		}
		if p.deaf.Load() {
			p.swallowed.Add(1)
			continue
		}
		what := noFault
		if scripted.Load() {
			what = fault(p.next.Swap(int32(noFault)))
		}
		switch what {
		case fin:
			return
		case rst:
			client.SetLinger(0)
			return
		case blackHole:
			continue
		case halfReply:
			client.Write(buf[:n/2])
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}
