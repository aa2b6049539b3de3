package budget

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/internal/key"
)

// Room that a call leaves is taken by the next one of the same process, which is told of it at once; another process, which has to ask, would
// never find any while that goes on. So whoever was first in its process for long without getting room leaves a wish in the store, as leases do: a
// refusal by a latch of nothing, of which nothing remains but the latch, which opens by itself. Processes in which calls wait look for
// wishes of others now and then. While there is one, they leave room open for as long as it takes the other one to ask.
//
// A wish admits nothing and refuses nothing: it only changes who asks first.
const (
	starveAfter = time.Second            // as the first one of a process
	starvedAsks = 200 * time.Millisecond // between two questions of one that has left a wish
	yieldFor    = 300 * time.Millisecond // how long room is left open for it
	lookEvery   = 500 * time.Millisecond
	wishStands  = time.Second            // how long a wish stands
	wishTTL     = 400 * time.Millisecond // of the reservation that leaves it, which is always refused
	wishTimeout = 250 * time.Millisecond // for a look, and for leaving a wish: a store that is slower is not asked for long
	wishSlots   = 8                      // accounts of wishes, of which each one is left in another, so that a process knows others' from its own
)

// sharing is what a process knows of others that wait for an account. Its zero value is ready to use.
type sharing struct {
	mu sync.Mutex
	of map[Key]*shared
}

type shared struct {
	looked, wished time.Time
	slot           int // where this process has left its last wish
	yields         bool
}

// starvedName is the limit's name of the accounts of wishes.
const starvedName = key.Own + "starved"

// starvedKey is the account of wishes of a slot for room on another one.
func starvedKey(account Key, slot int) Key {
	return keyOf("starved", string(account[:]), strconv.Itoa(slot))
}

// at returns what is known of an account, and forgets accounts of which nobody has asked for a while. Requires mu held.
func (s *sharing) at(account Key, now time.Time) *shared {
	known := s.of[account]
	if known == nil {
		for other, k := range s.of {
			if now.Sub(k.looked) > time.Minute {
				delete(s.of, other)
			}
		}
		if s.of == nil {
			s.of = make(map[Key]*shared)
		}
		known = &shared{looked: now}
		s.of[account] = known
	}
	return known
}

// sharedLine returns the line of an account for which calls of other processes may wait, too. Leases have wishes of their own, and a rate
// gives room to whoever asks when it is due.
func (l *Ledger) sharedLine(lines []Line, account Key) (Line, bool) {
	if _, wishes := l.store.(interface{ LeavesWishes() }); wishes {
		return Line{}, false
	}
	at := slices.IndexFunc(lines, func(l Line) bool { return l.Account == account })
	if at < 0 || lines[at].Latch || lines[at].Observe {
		return Line{}, false
	}
	return lines[at], true
}

// yields reports whether a call of another process has waited for long, and is to find room before the next one of this. A store that does
// not answer is none to yield to.
func (l *Ledger) yields(ctx context.Context, line *Line) bool {
	now := time.Now()
	l.sharing.mu.Lock()
	known := l.sharing.at(line.Account, now)
	due := now.Sub(known.looked) >= lookEvery
	if due {
		known.looked = now
	}
	yields, own := known.yields, -1
	if now.Sub(known.wished) < 2*wishStands {
		own = known.slot
	}
	l.sharing.mu.Unlock()
	if !due {
		return yields
	}
	var looks []Line
	for slot := range wishSlots {
		if slot != own {
			// A latch is seen with any window; a calendar month makes few buckets.
			looks = append(looks, Line{Account: starvedKey(line.Account, slot), Limit: starvedName, Unit: line.Unit, Window: Monthly, Observe: true})
		}
	}
	slices.SortFunc(looks, func(a, b Line) int { return bytes.Compare(a.Account[:], b.Account[:]) })
	ctx, cancel := context.WithTimeout(ctx, wishTimeout)
	defer cancel()
	balances, err := l.store.Balances(ctx, looks)
	yields = err == nil && slices.ContainsFunc(balances, func(b Balance) bool { return b.Latched })
	l.sharing.mu.Lock()
	defer l.sharing.mu.Unlock()
	known.yields = yields
	return yields
}

// starve leaves a wish, unless one was left just now. If it can't be left, the call waits as before.
func (l *Ledger) starve(ctx context.Context, line *Line) {
	now := time.Now()
	l.sharing.mu.Lock()
	known := l.sharing.at(line.Account, now)
	due := now.Sub(known.wished) >= wishStands
	if due {
		known.wished, known.slot = now, rand.IntN(wishSlots)
	}
	slot := known.slot
	l.sharing.mu.Unlock()
	if !due {
		return
	}
	wish := Line{Account: starvedKey(line.Account, slot), Limit: starvedName, Unit: line.Unit, Window: Rolling(wishStands), Latch: true}
	r := Reservation{ID: NewID(), Owner: l.owner, TTL: wishTTL, Lines: []Line{wish}}
	r.Charge[wish.Unit] = 1
	ctx, cancel := context.WithTimeout(ctx, wishTimeout)
	defer cancel()
	_, _ = l.store.Reserve(ctx, r)
}
