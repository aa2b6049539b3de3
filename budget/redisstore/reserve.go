package redisstore

import (
	"context"
	"errors"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// maxGuesses bounds how often a script is sent again because the guessed time was wrong, which happens once at the end of a window or after
// a pause, or because the flags with patterns have changed.
const maxGuesses = 10

// errGuesses says that the last of maxGuesses tries was built for a wrong time, too, or for old flags.
var errGuesses = errors.New("redisstore: the server can't be followed: its clock jumps, answers take longer than the windows last, or flags with patterns are set all the time")

// ask runs a script whose request depends on the time, and returns its answer or an error. request builds the script's arguments for the
// server's estimated time, now, and the clock, which is 0 unless a test replaces the server's; both are in microseconds. If the server's time
// is in other windows, or the kill flags with patterns have changed, ask learns that from the answer and sends a new request. With errReplicas
// it returns both the answer and the error: the step was done, but too few replicas have received it.
func (s *Store) ask(ctx context.Context, sc *script, shard []any, request func(now, clock int64) ([]any, error)) (reply, error) {
	for range maxGuesses {
		if r, again, err := s.askOnce(ctx, sc, shard, request); !again {
			return r, err
		}
	}
	return reply{}, errGuesses
}

// askOnce is one try of ask. again says that the request was built for a wrong time or for old flags with patterns: the right ones were learnt from
// the answer, and the request has to be built and sent once more.
func (s *Store) askOnce(ctx context.Context, sc *script, shard []any, request func(now, clock int64) ([]any, error)) (_ reply, again bool, err error) {
	// k is what this process knows of the ledger. sound fails if a loss was found that nobody has accepted yet.
	k, err := s.sound(ctx)
	if err != nil {
		return reply{}, false, err
	}
	now, clock := s.guess()
	args, err := request(now, clock)
	if err != nil {
		return reply{}, false, err
	}
	value, err := s.run(ctx, sc, shard, args...)
	done := err == nil || value != nil && errors.Is(err, errReplicas)
	if !done { // or nobody knows whether it was done
		return reply{}, false, err
	}
	r, unreadable := parseReply(value)
	if failed := s.judge(k, &r, unreadable); failed != nil {
		return reply{}, false, failed
	}
	switch r.code {
	case codeTime: // the windows are others by the server's time
		s.time.set(r.now)
		return reply{}, true, nil
	case codePatterns: // a flag with patterns was set or revived meanwhile
		err := s.learnPatterns(&r)
		return reply{}, err == nil, err
	}
	return r, false, err // err is nil or errReplicas
}

// judge returns why a decoded answer can't be used, or nil: unreadable, if that is not nil, or the error that the answer's letter stands for. If
// that is a loss of the ledger, it is remembered in the place of k, which was known of the ledger when the request was sent. Of an answer that can
// be used the ledger's sequence is remembered.
func (s *Store) judge(k *known, r *reply, unreadable error) error {
	if unreadable != nil {
		return unreadable
	}
	if err := s.outcome(k, r); err != nil {
		return err
	}
	s.notice(r.sequence)
	return nil
}

// notice remembers the highest sequence of the ledger in any answer: a ledger that has a lower one later was set back.
func (s *Store) notice(sequence int64) {
	for {
		seen := s.seen.Load()
		if sequence <= seen || s.seen.CompareAndSwap(seen, sequence) {
			return
		}
	}
}

// shard returns the key of the hash with an id's entry, as the arguments of a command: a part of the array of all such keys, which
// is not copied. Its capacity ends there, too, so that nothing that is appended to it gets into the array.
func (s *Store) shard(id driver.ID) []any { return s.keys.shard[id[0] : int(id[0])+1 : int(id[0])+1] }

// Reserve implements driver.Store. The script judges an id that it knows first, then kill flags, then room. A reservation that too few replicas
// have received is voided again, because a failover could forget it.
func (s *Store) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	if err := r.Validate(); err != nil {
		return driver.Decision{}, err
	}
	// No amount may be larger than a script can count, and no two lines may be of the same account.
	if err := errors.Join(fits(&r.Charge), distinct(r.Lines)); err != nil {
		return driver.Decision{}, err
	}
	fixed := reserveTexts{dims: appendKeys(nil, r.Dims), call: encodeCall(r.Call), names: encodeNames(r.Lines), usage: r.Call.UsageKey()}
	answer, err := s.ask(ctx, scriptReserve, s.shard(r.ID), func(now, clock int64) ([]any, error) { return s.reserveRequest(&r, &fixed, now, clock) })
	refused := answer.code == codeDenied || answer.code == codeKilled
	if refused && errors.Is(err, errReplicas) {
		err = nil // a refusal reserves nothing that a replica could lack
	}
	if err != nil {
		// Together with an answer, whose code is never 0, the error is errReplicas: it was reserved.
		if answer.code != 0 {
			_ = s.Void(context.WithoutCancel(ctx), r.ID, r.Owner) // if it can't be voided it expires, which charges it
		}
		return driver.Decision{}, err
	}
	return decision(answer, &r)
}

// reserveTexts is what a Reserve sends that does not depend on the time, so that it is encoded once for all tries.
type reserveTexts struct {
	dims  []byte     // the keys of the values of the call's scope, by which kill flags are found
	call  []byte     // the scope and the operation; empty if they are not known
	names []byte     // of each line: what the ledger keeps about the account from its first booking on
	usage driver.Key // the row of usage, a day's sum over calls of one scope, to which Settle will add the actual amount
}

// reserveRequest returns the arguments of the script of Reserve. lua/reserve.lua finds each number of the first one by its offset.
func (s *Store) reserveRequest(r *driver.Reservation, fixed *reserveTexts, now, clock int64) ([]any, error) {
	// p.hold is the range of time in which all lines are booked as they were placed for now; at other
	// times the script places them anew, or answers codeTime. The false leaves out the thresholds, which only Settle needs.
	p, err := s.place(r.Lines, &r.Charge, now, false)
	if err != nil {
		return nil, err
	}
	expiresAfter := min(micros(r.TTL), never)
	options := bit(r.Tentative) | bit(r.RefuseObserved)<<1
	// By the epoch, the ledger's random name, and the highest sequence seen the script notices a loss. It refuses another number of units.
	h := newHead(s.epoch(), r.ID[:], r.Owner[:]).numbers(s.seen.Load(), clock, now, expiresAfter, s.retention, p.hold.from, p.hold.until)
	h = append(h.byte(options).byte(units), fixed.usage[:]...).charge(&r.Charge)
	// Patterns are matched here and not by the script: it gets the id of the list of flags with patterns, and the names of those that cover the call.
	return []any{[]byte(h), fixed.dims, []byte(p.booked), []byte(p.terms), fixed.call, fixed.names, s.flags.Load().matches(r.Call)}, nil
}

// decision decodes the answer to a Reserve: the flag that refused it, the lines without room, or when it expires and which lines without room
// were only observed.
func decision(answer reply, r *driver.Reservation) (d driver.Decision, err error) {
	in := answer.rest
	switch answer.code {
	case codeKilled:
		setAt := in.count() // takes the first number off in.text, so that the flag's payload is left
		k, err := parseFlag(setAt, in.text)
		if err != nil || in.failed {
			return d, errReply
		}
		d.Killed = &k
		return d, nil
	case codeDenied:
		for !in.failed && in.text != "" {
			d.Denied = append(d.Denied, in.denial(r, answer.now))
		}
	case codeDone, codeReplayed:
		d.Admitted, d.Replayed, d.ExpiresAt = true, answer.code == codeReplayed, fromMicro(min(in.count(), never))
		for !in.failed && in.text != "" {
			d.Observed = append(d.Observed, in.denial(r, answer.now))
		}
	}
	// Something was left over, or the answer's code is none of the four, or nothing was denied after codeDenied.
	if !in.done() || len(d.Denied) == 0 && !d.Admitted {
		return driver.Decision{}, errReply
	}
	return d, nil
}

// denial reads the balance of a line without room, and computes how long it takes until the refused amount fits; now is in microseconds.
func (in *reader) denial(r *driver.Reservation, now int64) driver.Denial {
	s := in.standing(len(r.Lines))
	if in.failed {
		return driver.Denial{}
	}
	line := &r.Lines[s.line]
	d, amount := driver.Denial{Line: s.line, Balance: s.balance(line, now)}, r.Charge[line.Unit]
	// wait gets by how much the account would exceed Max with the amount. If that is not positive, only the latch refused, and wait returns how
	// long it stays closed.
	if amount <= d.Max { // otherwise it never fits
		d.ResetAfter = s.wait(line.Window, now, d.Settled+d.Pending+amount-d.Max)
	}
	return d
}
