package pgstore

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// maxSilence is how long sent bytes may stay unacknowledged by the server's host before the connection counts as broken, on systems that have
// such a socket option. A busy host still acknowledges; only when the network is cut or the host is gone there is no acknowledgement. Without
// it, a step that was under way when the network was cut waits for its whole timeout, even if the network is back sooner.
const maxSilence = 2 * time.Second

// silenceSet is the key by which a connection remembers that the socket option is set.
const silenceSet = "bedrockguard pgstore silence"

// boundSilence sets the socket option of a connection, by setSilence, once. A connection without a TCP socket, such as one over a Unix socket, and
// one for which that fails only have the timeout of each step.
func boundSilence(conn *pgconn.PgConn) {
	data := conn.CustomData()
	if data[silenceSet] != nil {
		return
	}
	data[silenceSet] = true
	under := conn.Conn()
	if secure, ok := under.(*tls.Conn); ok {
		under = secure.NetConn()
	}
	tcp, ok := under.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(setSilence)
	}
}
