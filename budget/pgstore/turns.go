package pgstore

import (
	"slices"

	"github.com/jackc/pgx/v5/pgtype"
)

// turns lets only a few transactions of this process at an account at a time. More would wait in the server for the same row
// lock, each with a connection of the pool that a step on another account could use, and a server hands a lock on the
// slower the more sessions wait for it. Accounts share turns by their keys, which are hashes. Whoever holds a turn gives it
// back within the time of its transaction.
type turns [256]chan struct{}

// maxTurns is enough to keep an account busy: one transaction holds its lock, and others are on their way.
const maxTurns = 4

func newTurns() *turns {
	var t turns
	for i := range t {
		t[i] = make(chan struct{}, maxTurns)
	}
	return &t
}

// wait takes a turn at each account, in one order everywhere, and returns how to end them.
func (t *turns) wait(accounts []pgtype.UUID) (end func()) {
	stripes := make([]byte, 0, len(accounts))
	for _, a := range accounts {
		stripes = append(stripes, a.Bytes[0])
	}
	slices.Sort(stripes)
	stripes = slices.Compact(stripes)
	for _, s := range stripes {
		t[s] <- struct{}{}
	}
	return func() {
		for _, s := range stripes {
			<-t[s]
		}
	}
}
