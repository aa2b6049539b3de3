package servers

import (
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// A server answers, is gone after Kill, and is back on the same port after Restart; a pooler answers in front of it.
func TestPostgresAndPgBouncer(t *testing.T) {
	dir, err := os.MkdirTemp("", "servers")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	p, err := StartPostgres(dir, "max_connections=20")
	Require(t, err)
	t.Cleanup(func() { require.NoError(t, p.Stop()) })
	b, err := StartPgBouncer(dir, p)
	Require(t, err)
	require.Contains(t, b.DSN(), "port=")
	require.NoError(t, b.Stop())

	require.NoError(t, p.Pause())
	require.NoError(t, p.Resume())
	require.NoError(t, answersPostgres(t.Context(), p.Addr()))
	require.NoError(t, p.Kill())
	_, err = net.Dial("tcp", p.Addr())
	require.Error(t, err)
	require.NoError(t, p.Restart())
	require.NoError(t, answersPostgres(t.Context(), p.Addr()))
}
