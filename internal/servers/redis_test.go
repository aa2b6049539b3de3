package servers

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// say sends a command in one line and returns the first line of the answer.
func say(t *testing.T, r *Redis, command string) string {
	conn, err := net.DialTimeout("tcp", r.Addr, 30*time.Second)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = fmt.Fprintf(conn, "%s\r\n", command)
	require.NoError(t, err)
	answer := bufio.NewReader(conn)
	line, err := answer.ReadString('\n')
	require.NoError(t, err)
	if strings.HasPrefix(line, "$") && !strings.HasPrefix(line, "$-1") {
		line, err = answer.ReadString('\n')
		require.NoError(t, err)
	}
	return strings.TrimSpace(line)
}

func startOne(t *testing.T, options ...string) *Redis {
	dir, err := os.MkdirTemp("", "servers")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	r, err := StartRedis(dir, options...)
	Require(t, err)
	t.Cleanup(func() { r.Kill() }) //nolint:errcheck // it may have ended
	return r
}

func TestRedisKeepsItsFilesAndItsPort(t *testing.T) {
	r := startOne(t, "appendonly yes")
	require.Equal(t, "+OK", say(t, r, "SET k v"))
	for _, end := range []func() error{r.Kill, r.Stop} {
		addr := r.Addr
		require.NoError(t, end())
		_, err := net.Dial("tcp", addr)
		require.Error(t, err)
		require.NoError(t, r.Restart())
		require.Equal(t, addr, r.Addr)
		require.Equal(t, "v", say(t, r, "GET k"))
	}
}

func TestRedisTakesOptions(t *testing.T) {
	primary := startOne(t, "maxmemory 50mb", `rename-command DEBUG ""`, `requirepass ""`)
	require.Contains(t, say(t, primary, "DEBUG SLEEP 0"), "unknown command")
	replica := startOne(t, ReplicaOf(primary))
	require.Equal(t, "+OK", say(t, primary, "SET k v"))
	require.Eventually(t, func() bool { return say(t, replica, "GET k") == "v" }, 60*time.Second, 10*time.Millisecond)
	require.Contains(t, say(t, replica, "SET k w"), "READONLY")
}

func TestRedisPauses(t *testing.T) {
	r := startOne(t)
	require.NoError(t, r.Pause())
	conn, err := net.Dial("tcp", r.Addr) // the kernel accepts
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("PING\r\n"))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	require.NoError(t, r.Resume())
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	_, err = conn.Read(make([]byte, 1))
	require.NoError(t, err)
}

func TestRedisThatCanNotStartSaysWhy(t *testing.T) {
	dir := t.TempDir()
	_, err := StartRedis(dir, "maxmemory nonsense")
	if err != nil && strings.Contains(err.Error(), ErrMissing.Error()) {
		Require(t, err)
	}
	require.ErrorContains(t, err, "nonsense")
}

func TestAMissingProgramIsErrMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := program("redis-server", "install it", "valkey-server")
	require.ErrorIs(t, err, ErrMissing)
	require.ErrorContains(t, err, "install it")
}
