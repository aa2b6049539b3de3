package pgstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// channelOf returns the name of the channel for a ledger's changes of kill flags and, in spite of the name, the policy. It has a hash, so that no
// text of the schema's name is in it.
func channelOf(schema string) string {
	sum := sha256.Sum256([]byte(schema))
	return "bedrockguard_kill_" + hex.EncodeToString(sum[:8])
}

const (
	// connectTimeout bounds each try to connect, and listenPause the pause between tries, which is random, from half of that on.
	connectTimeout = 10 * time.Second
	listenPause    = time.Second
	// askAfter is how long a connection may be silent before it is checked.
	askAfter = 15 * time.Second
)

// Signal implements driver.Signaler with LISTEN, on a connection of its own, which it replaces whenever it breaks. Without Options.Listen it
// returns an error at once.
func (s *Store) Signal(ctx context.Context, changed func()) error {
	if s.opts.Listen == nil {
		return failed("listen", errNoListen)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Close ends life.
	stop := context.AfterFunc(s.life, func() { cancel(failed("listen", errClosed)) })
	defer stop()
	for ctx.Err() == nil {
		_ = s.listen(ctx, changed) // whatever ended the connection, the next one reports what was missed
		// If ctx ends the pause, the loop sees it.
		sleep(ctx, listenPause/2+rand.N(listenPause/2))
	}
	// The caller's reason, or that the store was closed.
	return context.Cause(ctx)
}

// listen uses one connection until it breaks. It calls changed for each notification, and once before: something may have changed while there
// was no connection.
func (s *Store) listen(ctx context.Context, changed func()) error {
	conn, err := s.listener(ctx)
	if err != nil {
		return err
	}
	defer func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(bye)
	}()
	for {
		changed()
		if err := heard(ctx, conn); err != nil {
			return err
		}
	}
}

// listener connects to the server and listens on the ledger's channel.
func (s *Store) listener(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, s.opts.Listen.Copy())
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, `LISTEN "`+s.channel+`"`); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, nil
}

// heard returns when a notification has come, or with the error that ended the connection. A connection that is silent for askAfter has to answer
// a ping within connectTimeout.
func heard(ctx context.Context, conn *pgx.Conn) error {
	for {
		wait, cancel := context.WithTimeout(ctx, askAfter)
		_, err := conn.WaitForNotification(wait)
		cancel()
		// If only wait has run out, the connection is still usable, and is pinged below.
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		ask, cancel := context.WithTimeout(ctx, connectTimeout)
		err = conn.Ping(ask)
		cancel()
		if err != nil {
			return err
		}
	}
}
