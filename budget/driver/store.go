package driver

import (
	"context"
	"time"
)

// Store keeps the accounts. Users call a Ledger, not a Store. Package storetest has a test for each of the following sentences; a store
// is correct if storetest.Run passes.
//
// Each method is one atomic, linearisable step: no method's effect is visible in part, and no decision rests on a value
// read in an earlier step. Time is the store's own clock, so that all processes that share a store share its windows.
// All methods are safe for concurrent use, by as many processes as the store's documentation says. After an error the
// caller must assume that the step may or may not have happened; that is why every step can be repeated.
//
// A Line is one limit as it applies to a call; it counts in one account. A line with Observe refuses nothing, and its account's sums are only
// reported. An account has its sums in buckets, which are parts of time (see Span), and may have a latch, which a refusal closes and which keeps the
// account closed. A kill flag refuses the calls of a scope. Shares divide what a reservation has posted among several calls, and a row of usage sums
// up what the calls of one scope have cost on one day. An orphan is an entry whose amount was posted although nothing was pending, and a tombstone is
// the entry of a Void that came before its Reserve.
//
//   - Reserve of a new id is refused if a kill flag holds, or if settled + pending + amount > Max in any line that is not Observe, or,
//     with RefuseObserved, in any line. A refusal changes nothing, except that it closes the latches of the lines without room that have
//     Latch, unless Tentative is set. Otherwise the amount is added to pending in every line, Observe ones included. If an
//     Observe line without room has Latch, its latch is closed too; that refuses nothing, but is reported from then on.
//   - Reserve of a known id: if it is resolved, ErrResolved. If it is pending with another Owner, Charge or other accounts, ErrIDConflict.
//     If it is pending with the same ones, it is refused if a kill flag holds now, else admitted again as Replayed, which changes
//     nothing. The id is checked first, then kill flags, then room.
//   - Settle takes a pending reservation out of pending and posts Actual to the buckets in which it was reserved, however
//     far that goes beyond Max: the actual amount is never reduced. If the id was settled before, Replayed is set if Actual is the same;
//     else the error is ErrResolved, and the first amount stays. For an expired id, it posts the difference, and the state becomes
//     Settled. For a voided or unknown id, it posts Actual to the present buckets, as an Orphan. A wrong Owner is ErrIDConflict.
//   - Void takes a pending reservation out of pending. For an unknown id it writes a tombstone, so that a Reserve that
//     arrives later is refused with ErrResolved. A repeat has no effect. For a settled or expired id, the error is ErrResolved.
//   - Settle, Correct and Expire add what they post to the row of usage of the call, or of its shares' calls, on the UTC day of the
//     reservation, and subtract what they replace. If the day has no room for another row, the row is OtherUsage. Rows
//     are kept for UsageRetention, even if the entries are forgotten.
//   - Correct replaces what a Settled, Expired or Voided reservation posted, in the buckets in which it was reserved, and
//     clears Estimated. A repeat with the same amounts and shares is Replayed. If the id is pending, unknown or a tombstone: ErrNotFound.
//   - A kill flag holds from its Kill to its Revive or its Until. One with patterns is matched against the scope of the reservation's Call;
//     if MaxPatterns of them are set, setting another one is ErrTooManyFlags.
//   - Kill, Revive, Override, Unlatch, Correct and SetPolicy are changes of an object: a flag, the override or the latch of an account, the
//     posted amount of a reservation, or the policy. If the object's last change had the same id, the change is a repeat: it succeeds and
//     changes nothing. If the object was changed after the revision in Seen, the error is ErrSuperseded, and nothing changes;
//     so a late repeat undoes nothing. Any other change is made, adds one to the Revision, and is a row of Changes,
//     even if it sets what was set before. A change that is refused for another reason has no row. An Unlatch of several accounts is
//     one change for each.
//   - Expire charges up to max pending reservations that have expired: pending becomes settled, nothing is released. It also
//     forgets what is older than the store's retention. It returns how many it charged.
//   - An entry has the Call and the lines of its reservation, and the Reference of its Settlement.
//     An account has the name of the first line that was booked in it.
//   - For each bucket of each account, settled is the sum of what its entries have posted there, including entries that were forgotten.
//     Sums of calendar windows of a day or longer are kept for UsageRetention, if that is longer than the store's retention.
//   - A negative amount or an unknown unit is ErrInvalidCharge, and nothing changes.
//   - An amount that would take a sum out of the store's range is ErrOverflow, and nothing changes.
//   - A store that can't answer returns an error that is none of this package's others: never a zero balance.
//   - If a store's ledger was deleted, replaced or restored to an older state since it was opened, or lacks a part that the store once
//     wrote, every step returns ErrLost from then on; if a part is missing, in new processes too. After AcceptLoss, which is a change
//     like the others, the store continues with what is left, in every process.
//   - If there is no ledger, opening a store fails with ErrNoLedger, unless the store is told to make one.
type Store interface {
	Reserve(ctx context.Context, r Reservation) (Decision, error)
	Settle(ctx context.Context, s Settlement) (Posting, error)
	Void(ctx context.Context, id ID, owner Key) error
	Correct(ctx context.Context, c Correction) (Posting, error)
	Expire(ctx context.Context, max int) (int, error)

	// Balances returns the balance of each line's account, in order, and changes nothing.
	Balances(ctx context.Context, lines []Line) ([]Balance, error)
	// Override replaces an account's Max until a moment of the store's clock; a nil o removes the override.
	Override(ctx context.Context, account Key, o *Override, c Change) error
	// Unlatch opens the latches of these accounts.
	Unlatch(ctx context.Context, accounts []Key, c Change) error
	// Kill sets a flag. Once it has returned, no process admits a Reserve that the flag refuses. Setting the same flag
	// again replaces its reason and its end.
	Kill(ctx context.Context, k Kill, c Change) error
	// Revive removes exactly this flag. It is no error if it is not set.
	Revive(ctx context.Context, f Flag, c Change) error
	// Kills returns all flags that have not ended, in no particular order.
	Kills(ctx context.Context) ([]Kill, error)
	// SetPolicy stores a policy document for the ledgers that follow it. An empty one removes it.
	SetPolicy(ctx context.Context, document []byte, c Change) error
	// Policy returns the document that was set last; the zero value if there is none.
	Policy(ctx context.Context) (PolicyDocument, error)
	// AcceptLoss declares the ledger to be complete after ErrLost.
	AcceptLoss(ctx context.Context, c Change) error
	// Revision returns how many changes the ledger has had.
	Revision(ctx context.Context) (int64, error)
	// Changes returns up to max rows of the audit trail that come after a revision, in the order of their
	// revisions. Max is 1 to 10,000.
	Changes(ctx context.Context, after int64, max int) ([]Record, error)
	// Entries returns the entries that q selects, in the order of their ids.
	Entries(ctx context.Context, q Query) ([]Entry, error)
	// Accounts returns up to max accounts with keys larger than after, in the order of their keys: those in which anything was booked, and
	// those that have had an override or a latch. Max is 1 to 10,000.
	Accounts(ctx context.Context, after Key, max int) ([]Account, error)
	// Periods returns up to max periods of an account that begin after the given moment, oldest first; the zero time selects all.
	// Max is 1 to 10,000.
	Periods(ctx context.Context, account Key, after time.Time, max int) ([]Period, error)
	// Usage returns up to max rows of usage that come after from, in the order of their days and keys. Max is 1 to 10,000.
	Usage(ctx context.Context, from UsageMark, max int) ([]UsageRow, error)
	// Close releases the store's connections and files. Later calls return an error.
	Close() error
}

// Signaler is an optional interface of a Store whose server can push changes. Streams of killed calls then end sooner, and policies are
// followed sooner; other stores are polled.
type Signaler interface {
	// Signal calls changed soon after any process sets or removes a kill flag or the policy document, and once after each connection is
	// made, because a change may have been missed before. It reconnects by itself, and returns when ctx ends or the store is closed; if the
	// store finds that it can't signal, it returns an error at once. changed must return quickly.
	Signal(ctx context.Context, changed func()) error
}
