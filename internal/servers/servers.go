// Package servers starts real servers for tests, databases and Prometheus, on free ports of the loopback interface and in temporary folders,
// and stops them again. Each server has a file; this one has what they share.
package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ErrMissing says that a server's program is not installed. Require turns it into a skip or a failure.
var ErrMissing = errors.New("servers: program not installed")

// Require ends the test when a server could not be started: a program that is missing skips on a laptop and fails under
// CI=true; any other error fails.
func Require(tb testing.TB, err error) {
	tb.Helper()
	switch {
	case err == nil:
	case errors.Is(err, ErrMissing) && os.Getenv("CI") != "true":
		tb.Skip(err)
	default:
		tb.Fatal(err)
	}
}

// startTimeout bounds how long a server may take until it answers. A machine that compiles beside it is slow.
const startTimeout = 60 * time.Second

// stopTimeout is how long a server may take to end by itself before it is killed.
const stopTimeout = 10 * time.Second

// Process is one running server. Its methods are safe for concurrent use.
type Process struct {
	cmd      *exec.Cmd
	watchdog *exec.Cmd      // kills the server when lifeline is closed; see start
	lifeline io.WriteCloser // closed when this process dies
	log      string         // the path of the server's output
	ended    chan struct{}  // closed when the server has ended
	once     sync.Once      // ends the watchdog
}

// start runs a program whose output goes to a log file in dir, and does not wait until it answers: see await. The program is killed when this process
// dies, however it dies: a shell, the watchdog, reads from a pipe that only this process writes to, and kills the program when the pipe ends.
func start(dir string, cmd *exec.Cmd) (*Process, error) {
	log, err := os.CreateTemp(dir, "log-*")
	if err != nil {
		return nil, fmt.Errorf("servers: %w", err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("servers: %w", err)
	}
	p := &Process{cmd: cmd, log: log.Name(), ended: make(chan struct{})}
	go func() { // ends with the program
		defer close(p.ended)
		cmd.Wait() //nolint:errcheck // a server that was killed ends with an error
	}()
	// read returns when a line or the end of the pipe comes; nobody writes a line.
	p.watchdog = exec.Command("sh", "-c", `read -r _; kill -9 "$1" 2>/dev/null`, "sh", strconv.Itoa(cmd.Process.Pid))
	if p.lifeline, err = p.watchdog.StdinPipe(); err == nil {
		err = p.watchdog.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("servers: watchdog: %w", err), p.Kill())
	}
	return p, nil
}

// Stop asks the server to end and waits for it; one that does not is killed.
func (p *Process) Stop() error { return p.end(syscall.SIGTERM) }

// Kill ends the server with SIGKILL, as a crash would.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

// end sends a signal, and waits until the server has ended. After stopTimeout it is killed. The watchdog ends with it, because the process id may
// be given to another program.
func (p *Process) end(how syscall.Signal) error {
	err := p.signal(how)
	select {
	case <-p.ended: // at once if it had ended before
	case <-time.After(stopTimeout):
		err = errors.Join(err, p.signal(syscall.SIGKILL))
		<-p.ended
	}
	p.once.Do(func() {
		if p.watchdog != nil && p.watchdog.Process != nil { // it has no Process if start could not run it
			p.watchdog.Process.Kill() //nolint:errcheck // it may have ended
			p.watchdog.Wait()         //nolint:errcheck // killed
			p.lifeline.Close()
		}
	})
	return err
}

// Pause stops the server's process; it keeps its connections and answers nothing until Resume.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Resume continues a paused server.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

// signal sends a signal to the server, unless it has ended.
func (p *Process) signal(s syscall.Signal) error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("servers: %w", err)
	}
	return nil
}

// await calls answers until it returns nil, which says that the server answers. If the server ends, or takes longer than startTimeout, await returns
// an error with the end of the server's log.
func (p *Process) await(answers func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		err := answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended: // the program has ended by itself, as when another one has its port
			return errors.Join(fmt.Errorf("servers: %s ended at once: %w\n%s", p.cmd.Path, err, p.tail()), p.Kill()) // Kill ends the watchdog, too
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("servers: %s does not answer: %w\n%s", p.cmd.Path, err, p.tail()), p.Kill())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tail returns the end of the server's log.
func (p *Process) tail() string {
	const most = 4 << 10
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(len(text)-most, 0):])
}

// freePort returns a port of the loopback interface on which nobody listens. Another program may take it before the server does, so if a
// server ends at once, a second try may help.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("servers: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// program finds an executable on the PATH or, by names or paths, at one of the other places, or returns ErrMissing with what to install.
func program(name, install string, elsewhere ...string) (string, error) {
	for _, candidate := range append([]string{name}, elsewhere...) {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: %s: %s", ErrMissing, name, install)
}
