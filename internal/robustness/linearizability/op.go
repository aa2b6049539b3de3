// Package linearizability records what many clients ask of a store at the same time and what they are answered, and compares that history
// with a model of the ledger: there must be one order of the steps, compatible with when each began and ended, in which every answer is
// right.
package linearizability

import (
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// kind is what an operation does: it is one method of a store, or reads all balances.
type kind uint8

const (
	reserve kind = iota
	settle
	void
	correct
	balances
	killFlag
	reviveFlag
)

// loss is what happens to an operation on its way.
type loss uint8

const (
	delivered    loss = iota
	neverSent         // the step does not happen
	replyLost         // the step happens, and its client gets no answer
	sentLate          // the step happens at some time after its client gave up
	repeatedLate      // the step happens, its client is told, and it arrives once more at some time after that
)

// op is what a client asks for.
type op struct {
	kind   kind
	hold   int   // the number of the reservation in plan.holds
	other  bool  // reserve it for its other amount, under the same id
	amount int64 // what to settle, or to correct to
	flag   int   // the number of the kill flag, for a kill or a revive
	loss   loss

	// Of a change alone. Its revision is read from the audit trail when the history is over.
	change   int   // its number; a repeat has the same one
	seen     int64 // the ledger's revision that its client had seen before it asked first
	revision int64 // the one that the change has made; 0 if it was not made
}

// isChange reports whether an operation is a change, which has a revision.
func (o op) isChange() bool { return o.kind == correct || o.kind == killFlag || o.kind == reviveFlag }

// The accounts that every history uses. A reservation touches several of them, so that a history can't be checked account by account.
const (
	numAccounts = 3
	numFlags    = 2
)

// hold is one reservation of a plan: fixed amounts with one id, as the contract requires.
type hold struct {
	amount, otherAmount int64
	accounts            []int // the numbers of the accounts that it counts in, ascending
	flag                int   // the kill flag that stops it
}

// sums are what is settled and pending in an account.
type sums struct{ settled, pending int64 }

// result is the answer to a client. Which fields are set depends on the operation.
type result struct {
	unknown bool  // no answer: the step may have happened, may still happen, or never will
	err     error // one of the errors that the store's contract has for refusals

	admitted, replayed bool              // of a reserve; replayed also of a settle or a correct: it was made before
	killed             bool              // a kill flag refuses the reserve
	denied             bool              // a limit refuses the reserve
	line               int               // the index, in hold.accounts, of the first account without room
	at                 sums              // of that account
	from               driver.State      // the reservation's state before a settle or a correct
	accounts           [numAccounts]sums // of balances
}

var kindNames = [...]string{"reserve", "settle", "void", "correct", "balances", "kill", "revive"}

// String shows an operation in the text of a history that can't be explained. r is a reservation.
func (o op) String() string {
	switch o.kind {
	case balances:
		return "balances"
	case killFlag, reviveFlag:
		return fmt.Sprintf("%s flag%d (change %d, seen %d, made %d)", kindNames[o.kind], o.flag, o.change, o.seen, o.revision)
	case correct:
		return fmt.Sprintf("correct r%d to %d (change %d, seen %d, made %d)", o.hold, o.amount, o.change, o.seen, o.revision)
	case settle:
		return fmt.Sprintf("%s r%d to %d", kindNames[o.kind], o.hold, o.amount)
	default:
		if o.other {
			return fmt.Sprintf("%s r%d for another amount", kindNames[o.kind], o.hold)
		}
		return fmt.Sprintf("%s r%d", kindNames[o.kind], o.hold)
	}
}

// String shows an answer; "?" is none.
func (r result) String() string {
	switch {
	case r.unknown:
		return "?"
	case r.err != nil:
		return r.err.Error()
	case r.killed:
		return "killed"
	case r.denied:
		return fmt.Sprintf("denied by line %d at %+v", r.line, r.at)
	case r.admitted:
		return fmt.Sprintf("admitted, replayed %t", r.replayed)
	default:
		return fmt.Sprintf("from %s, replayed %t, %+v", r.from, r.replayed, r.accounts)
	}
}
