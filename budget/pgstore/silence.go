package pgstore

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// maxSilence is how long what was sent may go unacknowledged by the server's host before its connection counts as broken, where the
// system can tell. A host that is busy acknowledges all the same; only a network that is cut, or a host that is gone, does not. Without
// it a step that was under way when a network was cut goes on waiting for its whole time after the network is back.
const maxSilence = 2 * time.Second

// listened marks a connection that was told.
const listened = "bedrockguard pgstore silence"

// boundSilence tells a connection, once, how long it may be silent. One that can't be told waits for the step's own timeout.
func boundSilence(conn *pgconn.PgConn) {
	data := conn.CustomData()
	if data[listened] != nil {
		return
	}
	data[listened] = true
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
