package budget

import "time"

// LeaseWithClock is Lease for a process whose clock is now.
func LeaseWithClock(store Store, o LeaseOptions, now func() time.Time) (*LeasedStore, error) {
	return newLeasedStore(store, o, now)
}

// Die ends the background work and gives nothing back, as the end of the process would.
func (s *LeasedStore) Die() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.work.Wait()
}

// Inner returns the store that is leased from.
func (s *LeasedStore) Inner() Store { return s.inner }

// Remembered returns how many leases the store inside has yet to be told about, and how many reservations of leases are known.
func (s *LeasedStore) Remembered() (live, leases int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live), len(s.leases)
}

// KeyAsWritten is the account of a limit whose window is named as the caller spelled it.
func KeyAsWritten(l Limit, s Scope) Key { return l.key(l.split(s), l.Window.String()) }

// RememberedCalls returns how many calls are known.
func (s *LeasedStore) RememberedCalls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// Repack packs two charges and unpacks them again.
func Repack(reserved, actual Charge) (Charge, Charge) {
	reserved, actual, _ = unpack(pack(reserved, actual))
	return reserved, actual
}
