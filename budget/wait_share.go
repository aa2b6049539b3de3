package budget

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/key"
)

// A call that ends in a process wakes the next one that waits there, which takes the room at once. Another process has to ask the store, and
// would never find room while that goes on. So a call that has been first in its process for too long without getting room leaves a wish in
// the store, as leases do. A wish is the closed latch of a separate account: the call's process asks for a reservation there that is always
// refused, which leaves nothing but the latch, and that opens by itself. Processes in which calls wait look for wishes of other processes now and
// then. While there is one, they leave the room free for as long as it takes the other process to ask.
//
// A wish admits nothing and refuses nothing: it only changes who asks first.
const (
	starveAfter = time.Second            // at the head of a process's queue
	starvedAsks = 200 * time.Millisecond // between two tries of a call that has left a wish
	yieldFor    = 300 * time.Millisecond // how long this process leaves room free for another one
	lookEvery   = 500 * time.Millisecond // how often a process looks for wishes, for each account
	wishStands  = time.Second            // how long a wish lasts
	wishTTL     = 400 * time.Millisecond // of the reservation that leaves a wish, and is always refused
	wishTimeout = 250 * time.Millisecond // for reading wishes, and for leaving one: a slower store is not used for this
	wishSlots   = 8                      // each wish is left in one of so many accounts, picked at random, by which a process knows its own
)

// sharing is what a process knows about other processes that wait for the same accounts. Its zero value is ready to use.
type sharing struct {
	mu sync.Mutex
	of map[Key]*shared
}

// shared is what this process knows of the wishes for room on one account.
type shared struct {
	looked time.Time // when it last looked for wishes of other processes
	wished time.Time // when it last left a wish of its own
	slot   int       // the slot of that wish
	yields bool      // whether it found a wish when it last looked
}

// starvedName is the limit name of the accounts of wishes.
const starvedName = key.Own + "starved"

// starvedKey returns the account of wishes, of one slot, for room on the given account.
func starvedKey(account Key, slot int) Key {
	return key.Of("starved", string(account[:]), strconv.Itoa(slot))
}

// at returns what is known of an account, and drops accounts that nobody has asked about for a while. Requires mu held.
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
		// As if it had looked just now: a call that gets room before lookEvery has passed costs no look.
		known = &shared{looked: now}
		s.of[account] = known
	}
	return known
}

// sharedLine returns the line of an account if wishes help its calls: not for a store that leaves wishes itself, as one of package lease does, and
// not for a line with a latch, whose refusals are for long, or one that only observes and refuses nothing.
func (l *Ledger) sharedLine(lines []driver.Line, account Key) (driver.Line, bool) {
	if _, wishes := l.store.(interface{ LeavesWishes() }); wishes {
		return driver.Line{}, false
	}
	at := slices.IndexFunc(lines, func(l driver.Line) bool { return l.Account == account })
	if at < 0 || lines[at].Latch || lines[at].Observe {
		return driver.Line{}, false
	}
	return lines[at], true
}

// yields reports whether a call of another process has waited so long for room on line's account that it should get room before the next call
// of this process. It looks in the store for wishes of other processes, at most once per lookEvery, and repeats its last answer in between.
func (l *Ledger) yields(ctx context.Context, line *driver.Line) bool {
	now := time.Now()
	l.sharing.mu.Lock()
	known := l.sharing.at(line.Account, now)
	due := now.Sub(known.looked) >= lookEvery
	if due {
		known.looked = now
	}
	yields, own := known.yields, -1           // own is the slot with this process's own wish; -1 for none
	if now.Sub(known.wished) < 2*wishStands { // twice, because the store may have got this process's own wish late
		own = known.slot
	}
	l.sharing.mu.Unlock()
	if !due {
		return yields // the answer of the last look
	}
	yields = l.findsWish(ctx, line, own)
	l.sharing.mu.Lock()
	defer l.sharing.mu.Unlock()
	known.yields = yields
	return yields
}

// findsWish reports whether the store holds a wish for room on line's account, which is so if the latch of a slot's account is closed. It leaves out
// the slot own, in which this process has left its own wish; -1 for none. If the store does not answer, it reports false.
func (l *Ledger) findsWish(ctx context.Context, line *driver.Line, own int) bool {
	var looks []driver.Line
	for slot := range wishSlots {
		if slot != own {
			// Whatever window a line has, its balance shows the latch. With a long window a store has few sums to keep for the line.
			looks = append(looks, driver.Line{Account: starvedKey(line.Account, slot), Limit: starvedName, Unit: line.Unit, Window: Monthly, Observe: true})
		}
	}
	// In the order of accounts, in which reservations have their lines.
	slices.SortFunc(looks, func(a, b driver.Line) int { return bytes.Compare(a.Account[:], b.Account[:]) })
	ctx, cancel := context.WithTimeout(ctx, wishTimeout)
	defer cancel()
	balances, err := l.store.Balances(ctx, looks)
	return err == nil && slices.ContainsFunc(balances, func(b driver.Balance) bool { return b.Latched })
}

// starve leaves a wish for room on line's account, unless this process has left one that still lasts. The wish is a reservation on a line with a
// Max of zero and a latch: the store refuses it and closes the latch for wishStands, the length of the line's window. If that fails the call
// waits as before.
func (l *Ledger) starve(ctx context.Context, line *driver.Line) {
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
	wish := driver.Line{Account: starvedKey(line.Account, slot), Limit: starvedName, Unit: line.Unit, Window: Rolling(wishStands), Latch: true}
	r := driver.Reservation{ID: driver.NewID(), Owner: l.owner, TTL: wishTTL, Lines: []driver.Line{wish}}
	r.Charge[wish.Unit] = 1 // more than the Max of zero
	ctx, cancel := context.WithTimeout(ctx, wishTimeout)
	defer cancel()
	_, _ = l.store.Reserve(ctx, r) // what it leaves is the latch; the refusal itself means nothing
}
