package servers

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Postgres is a PostgreSQL server with a cluster, a port and a socket of its own. Its superuser is "postgres", trusted on
// loopback. Its methods are safe for concurrent use.
type Postgres struct {
	home     string // the server's folder, with its data, socket and logs
	bin      string // the path of the program postgres
	port     int
	settings []string
	owner    *syscall.Credential // the user that it runs as; nil is this process's own

	mu      sync.Mutex
	process *Process
}

// StartPostgres creates a cluster in a new directory under dir and starts a server on it. Settings are of the form "name=value". If this process
// is root, the server runs as user postgres, or else nobody, and that user must be able to reach dir.
func StartPostgres(dir string, settings ...string) (*Postgres, error) {
	initdb, err := postgresProgram("initdb")
	if err != nil {
		return nil, err
	}
	server, err := postgresProgram("postgres")
	if err != nil {
		return nil, err
	}
	p := &Postgres{bin: server, settings: settings}
	if p.owner, err = unprivileged(); err != nil {
		return nil, err
	}
	if p.home, err = makeServerDir(dir, "postgres-*", p.owner); err != nil {
		return nil, err
	}
	// A cluster is PostgreSQL's word for a folder with databases. Its superuser may log in without a password (-A trust), and making it does not wait
	// for the disk (-N).
	cluster := exec.Command(initdb, "-D", p.Data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
	cluster.SysProcAttr = &syscall.SysProcAttr{Credential: p.owner}
	if out, err := cluster.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("servers: initdb: %w\n%s", err, out)
	}
	if p.port, err = freePort(); err != nil {
		return nil, err
	}
	return p, p.Restart() // which also starts a server that has not run yet
}

// DSN returns the connection string of the superuser.
func (p *Postgres) DSN() string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable", p.port)
}

// Addr returns host and port.
func (p *Postgres) Addr() string { return fmt.Sprintf("127.0.0.1:%d", p.port) }

// Data returns the directory of the cluster. Change it only while the server is stopped.
func (p *Postgres) Data() string { return filepath.Join(p.home, "data") }

// restartTries is how often a start is tried, because the sessions and the shared memory of a killed server may take a moment to go.
const restartTries = 20

// Restart starts the server again on the same cluster and port, after Stop or Kill.
func (p *Postgres) Restart() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	args := []string{"-D", p.Data(), "-p", strconv.Itoa(p.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + p.home}
	for _, s := range p.settings {
		args = append(args, "-c", s)
	}
	var err error
	for range restartTries { // a program that ended before it answered is started again
		cmd := exec.Command(p.bin, args...)
		cmd.Dir = p.home
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.owner}
		if p.process, err = start(p.home, cmd); err != nil {
			return err
		}
		if err = p.process.await(func(ctx context.Context) error { return answersPostgres(ctx, p.Addr()) }); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// Stop shuts down the server, which ends its sessions.
func (p *Postgres) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process.end(syscall.SIGINT) // SIGTERM, which Process.Stop sends, would wait until the clients have ended their sessions
}

// Kill ends the server with SIGKILL, its sessions included, as a crash would.
func (p *Postgres) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	sessions, err := p.children() // first: without their parent they could not be found
	return errors.Join(err, p.process.Kill(), signalAll(sessions, syscall.SIGKILL))
}

// Pause suspends the server and its sessions (SIGSTOP) until Resume.
func (p *Postgres) Pause() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.process.Pause(); err != nil { // first, so that it starts no more sessions
		return err
	}
	sessions, err := p.children()
	return errors.Join(err, signalAll(sessions, syscall.SIGSTOP))
}

// Resume continues a paused server.
func (p *Postgres) Resume() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	sessions, err := p.children() // in the opposite order to Pause
	return errors.Join(err, signalAll(sessions, syscall.SIGCONT), p.process.Resume())
}

// children returns the ids of the processes that the server has started, one for each session. They are found by their parent, because each is in a
// process group of its own.
func (p *Postgres) children() (pids []int, err error) {
	// Each line has the id of a process and that of its parent, without a heading.
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil, fmt.Errorf("servers: ps: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || fields[1] != strconv.Itoa(p.process.cmd.Process.Pid) {
			continue
		}
		pid, err := strconv.Atoi(fields[0])
		if err != nil {
			return nil, fmt.Errorf("servers: ps: %w", err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// signalAll sends a signal to processes. One that has ended is no error.
func signalAll(pids []int, s syscall.Signal) (err error) {
	for _, pid := range pids {
		if e := syscall.Kill(pid, s); e != nil && !errors.Is(e, syscall.ESRCH) {
			err = errors.Join(err, fmt.Errorf("servers: %w", e))
		}
	}
	return err
}

// postgresProgram finds a program of PostgreSQL, the newest one if none is on the PATH.
func postgresProgram(name string) (string, error) {
	elsewhere, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is well-formed
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4]) // the folder in place of the "*"; one that is no number counts as 0, and comes last
		return n
	}
	slices.SortFunc(elsewhere, func(a, b string) int { return version(b) - version(a) })
	return program(name, "install PostgreSQL 14 or newer (Debian: apt-get install postgresql)", elsewhere...)
}

// unprivileged returns the user that a server runs as which refuses to run as root. It is nil if this process is not root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("servers: nobody to run as: %w", err)
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("servers: user id: %w", err)
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("servers: group id: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// makeServerDir creates a directory under dir for a server that runs as owner. If owner is not nil, it owns the new directory, and dir becomes
// searchable (x) for its group and for others unless it is for others already, so that the server can reach its directory.
func makeServerDir(dir, pattern string, owner *syscall.Credential) (string, error) {
	home, err := os.MkdirTemp(dir, pattern)
	if err != nil {
		return "", fmt.Errorf("servers: %w", err)
	}
	if owner == nil {
		return home, nil
	}
	const othersSearch, groupSearch = 0o001, 0o010
	parent, err := os.Stat(filepath.Dir(home))
	if err == nil && parent.Mode()&othersSearch == 0 {
		err = os.Chmod(filepath.Dir(home), parent.Mode()|groupSearch|othersSearch)
	}
	if err == nil {
		err = os.Chown(home, int(owner.Uid), int(owner.Gid))
	}
	if err != nil {
		return "", fmt.Errorf("servers: %w", err)
	}
	return home, nil
}

// answersPostgres returns nil if a server at addr answers the first message of a session, or why it does not. It ends the session at once.
func answersPostgres(ctx context.Context, addr string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline) //nolint:errcheck // without it the read fails later
	}
	// The protocol: a session begins with its length, version 3.0 and its parameters. "R" asks for authentication; "X" ends the session.
	// The length counts its own 4 bytes.
	body := []byte("\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00")
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)); err != nil {
		return err
	}
	answer := make([]byte, 1)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if !bytes.Equal(answer, []byte("R")) {
		return fmt.Errorf("answers %q to a session, want an authentication", answer)
	}
	_, err = conn.Write([]byte{'X', 0, 0, 0, 4}) // this message is nothing but its length
	return err
}
