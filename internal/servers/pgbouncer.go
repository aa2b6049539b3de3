package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// PgBouncer is a connection pooler in front of a Postgres. In its transaction mode, each transaction of a client may get another connection.
type PgBouncer struct {
	*Process
	port int
}

// StartPgBouncer starts a pooler in a new folder under dir, in front of a server, in transaction mode. Settings are of the
// form "name=value" and override its defaults.
func StartPgBouncer(dir string, upstream *Postgres, settings ...string) (*PgBouncer, error) {
	bin, err := program("pgbouncer", "install PgBouncer (Debian: apt-get install pgbouncer)", "/usr/sbin/pgbouncer")
	if err != nil {
		return nil, err
	}
	owner, err := unprivileged() // nil unless this process is root, as which PgBouncer refuses to run
	if err != nil {
		return nil, err
	}
	home, err := makeServerDir(dir, "pgbouncer-*", owner)
	if err != nil {
		return nil, err
	}
	b := &PgBouncer{}
	if b.port, err = freePort(); err != nil {
		return nil, err
	}
	config := filepath.Join(home, "pgbouncer.ini")
	if err := os.WriteFile(config, []byte(b.config(upstream, settings)), 0o644); err != nil {
		return nil, fmt.Errorf("servers: %w", err)
	}
	cmd := exec.Command(bin, config)
	cmd.Dir = home
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if b.Process, err = start(home, cmd); err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", b.port)
	return b, b.await(func(ctx context.Context) error { return answersPostgres(ctx, addr) })
}

// config returns the text of the pooler's configuration. It listens on loopback alone, and makes no Unix socket, so anybody who connects is let in,
// as the server's superuser. Of two lines for one setting the later one holds, so that the caller's settings come last.
func (b *PgBouncer) config(upstream *Postgres, settings []string) string {
	lines := []string{
		"[databases]",
		fmt.Sprintf("* = host=127.0.0.1 port=%d user=postgres", upstream.port),
		"[pgbouncer]",
		"listen_addr=127.0.0.1", fmt.Sprintf("listen_port=%d", b.port), "unix_socket_dir=",
		"auth_type=any", "pool_mode=transaction", "max_client_conn=1000",
	}
	return strings.Join(append(lines, settings...), "\n") + "\n"
}

// DSN returns the connection string through the pooler.
func (b *PgBouncer) DSN() string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable", b.port)
}
