package redisstore

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// quietTime is how long a subscription may be silent before the server is checked.
	quietTime = 2 * time.Second
	// maxPause is the longest pause before a subscription is tried again.
	maxPause = time.Second
)

// Signal implements driver.Signaler. It subscribes to the channel on which Kill and Revive of every process publish, on a connection of its
// own. A connection that is dead is detected within 4 seconds and replaced. If the server's user may not subscribe, changed is never called,
// and flags have to be polled.
func (s *Store) Signal(ctx context.Context, changed func()) error {
	// enter fails once the store is closed. Otherwise Close waits until steps.Done.
	if err := s.enter(); err != nil {
		return err
	}
	defer s.steps.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// AfterFunc returns a function that undoes what it has arranged: this one is deferred.
	defer context.AfterFunc(s.ctx, cancel)() // Close ends it, too
	for pause := maxPause / 64; ctx.Err() == nil; pause = min(pause*2, maxPause) {
		if s.listen(ctx, changed) { // there was a subscription: begin with short pauses again
			pause = maxPause / 64
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	if s.ctx.Err() != nil {
		// Close has ended s.ctx.
		return errClosed
	}
	return ctx.Err()
}

// listen makes one subscription and calls changed for each message until it breaks, and returns whether it was made. If the server is silent
// for quietTime, listen asks for a sign of life (PING); if that is followed by another quietTime of silence, the connection is dead.
func (s *Store) listen(ctx context.Context, changed func()) (made bool) {
	sub := s.rdb.Subscribe(ctx) // without a channel it does not connect yet
	defer sub.Close()
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })() // Receive does not obey contexts
	// This only sends the command. The subscription is made when the server confirms it, with a message of its own: see made below.
	if err := sub.Subscribe(ctx, s.keys.channel); err != nil {
		return false
	}
	for pinged := false; ; {
		message, err := sub.ReceiveTimeout(ctx, quietTime)
		switch {
		case err == nil: // a message, or the answer to the PING
			pinged = false
		case pinged || !isSilence(err): // a second silence, or the connection broke
			return made
		default: // the first silence
			if pinged = true; sub.Ping(ctx) != nil {
				return made
			}
		}
		switch message.(type) { // nil after a silence
		case *redis.Subscription: // flags may have changed while there was no subscription
			made = true
			changed()
		case *redis.Message:
			changed()
		}
	}
}

// isSilence reports whether a read has failed because nothing came within quietTime.
func isSilence(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
