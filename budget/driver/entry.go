package driver

import "time"

// Entry is what a store keeps of a reservation. Its times are by the store's clock.
type Entry struct {
	ID         ID // of the reservation
	State      State
	Estimated  bool      // Settled or Expired with the worst case; Correct clears it
	Orphan     bool      // posted by a Settle that found nothing pending: this spend was never reserved
	Reserved   Charge    // the worst case; zero for an orphan
	Actual     Charge    // what is posted; zero while Pending or Voided
	ReservedAt time.Time // of an orphan: when it was posted
	ResolvedAt time.Time // when it was last settled, voided, charged or corrected; zero while Pending
	Scope      Scope     // the call's; empty if it was not known
	Operation  string    // the provider's name for it, such as Converse
	Reference  string    // the provider's id of the request; empty until a Settlement has it
	Lines      []Booking // the accounts in which it counts
}

// Booking is where an entry counts in one account.
type Booking struct {
	Account Key
	Unit    Unit
	Start   time.Time // the beginning of the account's bucket; see Period
	Amount  int64     // the pending amount while the entry is Pending, else the posted one
}

// Account is one limit for one set of scope values, as a store knows it.
type Account struct {
	Key      Key
	Limit    string // empty if no line that was booked there had a name
	Scope    Scope
	Override *Override // the override that was set last, unless it was removed; it may have ended
	Latched  time.Time // until when it is latched; zero if it is not
}

// Override replaces a limit's Max for one account until a moment of the store's clock.
type Override struct {
	Max   int64
	Until time.Time
}

// Period is one bucket of an account: a calendar window, a part of a rolling window, or a lifetime, which starts in 1970. Settled is all that entries
// have posted there; Forgotten is the part of it whose entries the store does not have any more.
type Period struct {
	Start                       time.Time
	Settled, Pending, Forgotten int64
}

// Query selects entries: up to Max of them with ids larger than After, in the order of their ids.
type Query struct {
	State     State // zero selects every state
	Estimated bool  // only estimated ones
	After     ID    // the zero ID is before all
	Max       int   // 1 to 10,000
	// Since and Until select by the time of the reservation; zero sets no bound. A reservation at Until is not selected.
	Since, Until time.Time
	Scope        Scope  // the entry's scope has to have all the values that this sets
	Reference    string // empty selects any
}

// Selects reports whether the query selects an entry, apart from After and Max.
func (q *Query) Selects(e *Entry) bool {
	switch {
	case q.State != 0 && e.State != q.State, q.Estimated && !e.Estimated, q.Reference != "" && e.Reference != q.Reference:
		return false
	case !q.Since.IsZero() && e.ReservedAt.Before(q.Since), !q.Until.IsZero() && !e.ReservedAt.Before(q.Until):
		return false
	}
	return e.Scope.Has(q.Scope)
}

// Plain reports whether the query uses only State, Estimated, After and Max. To answer such a query a store needs neither
// the scope nor the times of an entry.
func (q *Query) Plain() bool {
	return q.Since.IsZero() && q.Until.IsZero() && q.Reference == "" && len(q.Scope.Dims()) == 0
}
