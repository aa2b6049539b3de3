package pgstore

import (
	"slices"

	"github.com/jackc/pgx/v5/pgtype"
)

// accountSlots bounds how many transactions of this process work on an account at the same time. More would wait in the server for the same row
// lock, and each would occupy a connection of the pool that a step on another account could use. Besides, the more sessions wait for a lock,
// the slower the server passes it on. Accounts whose keys, which are hashes, begin with the same byte share their slots.
// A channel holds one element for each slot that is taken.
type accountSlots [256]chan struct{}

// slotsPerAccount is enough to keep an account busy: one transaction holds the row lock, and others are on their way to the server.
const slotsPerAccount = 4

// newAccountSlots returns slots that are all free.
func newAccountSlots() *accountSlots {
	var slots accountSlots
	for i := range slots {
		slots[i] = make(chan struct{}, slotsPerAccount)
	}
	return &slots
}

// acquire takes a slot of each account, in the same order for all steps, so that they can't deadlock. The caller has to call release when
// its transaction has ended.
func (a *accountSlots) acquire(accounts []pgtype.UUID) (release func()) {
	firstBytes := make([]byte, 0, len(accounts))
	for _, account := range accounts {
		firstBytes = append(firstBytes, account.Bytes[0])
	}
	slices.Sort(firstBytes)
	firstBytes = slices.Compact(firstBytes) // accounts with the same first byte need one slot between them
	for _, b := range firstBytes {
		a[b] <- struct{}{}
	}
	return func() {
		for _, b := range firstBytes {
			<-a[b]
		}
	}
}
