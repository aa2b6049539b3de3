package servers

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Redis is a Redis or Valkey server on a port of loopback. Its methods are safe for concurrent use.
type Redis struct {
	// Addr is where it listens, as host:port. It stays the same over Restart.
	Addr string

	path, dir string   // the program, and the folder that it works in
	args      []string // of the program

	mu      sync.Mutex
	process *Process
}

// StartRedis starts a server that keeps its files in dir. Each option is a line of its configuration, such as "appendonly
// yes", "maxmemory 20mb", or what ReplicaOf returns. Without options it saves nothing, has no limit and needs no password.
// A program that is not installed is ErrMissing.
func StartRedis(dir string, options ...string) (*Redis, error) {
	path, err := program("redis-server", "install redis-server or valkey-server, version 7 or later", "valkey-server", "/usr/local/bin/redis-server", "/usr/local/bin/valkey-server")
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		r, err := startRedis(path, dir, options)
		if err == nil || attempt == 3 { // the port may have been taken between the choice and the start
			return r, err
		}
	}
}

// startRedis makes one attempt on a port that is free now.
func startRedis(path, dir string, options []string) (*Redis, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	r := &Redis{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), path: path, dir: dir}
	r.args = []string{"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir, "--daemonize", "no", "--save", ""}
	for _, line := range options {
		name, value, _ := strings.Cut(line, " ") // on the command line an option is --name, and then its values
		r.args = append(append(r.args, "--"+name), redisArguments(value)...)
	}
	return r, r.Restart()
}

// redisArguments splits the values of a line of configuration. Two quotes ("") stand for an empty value.
func redisArguments(values string) []string {
	fields := strings.Fields(values)
	for i, f := range fields {
		if f == `""` {
			fields[i] = ""
		}
	}
	return fields
}

// ReplicaOf returns the option that makes a server a replica of another one.
func ReplicaOf(primary *Redis) string {
	host, port, _ := net.SplitHostPort(primary.Addr) // it is one that StartRedis has made
	return "replicaof " + host + " " + port
}

// Restart starts the server again, in the same folder and on the same port, after Stop or Kill.
func (r *Redis) Restart() error {
	p, err := start(r.dir, exec.Command(r.path, r.args...))
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.process = p
	r.mu.Unlock()
	return p.await(r.answers)
}

// answers returns nil if the server answers a PING with PONG, or wants a password. While it still loads its data, it does neither.
func (r *Redis) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline) //nolint:errcheck // a connection that can't keep time fails below
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "+PONG") && !strings.HasPrefix(line, "-NOAUTH") {
		return fmt.Errorf("it says %q", strings.TrimSpace(line))
	}
	return nil
}

// running returns the process of the latest start.
func (r *Redis) running() *Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

// Stop asks the server to end and waits for it; one that does not is killed.
func (r *Redis) Stop() error { return r.running().Stop() }

// Kill ends the server with SIGKILL, as a crash would.
func (r *Redis) Kill() error { return r.running().Kill() }

// Pause stops the server's process; it keeps its connections and answers nothing until Resume.
func (r *Redis) Pause() error { return r.running().Pause() }

// Resume continues a paused server.
func (r *Redis) Resume() error { return r.running().Resume() }
