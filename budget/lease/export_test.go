package lease

import (
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// NewWithClock is New for a process whose clock is now.
func NewWithClock(store driver.Store, o Options, now func() time.Time) (*Store, error) {
	return newStore(store, o, now)
}

// Die ends the background work and gives nothing back, as the end of the process would.
func (s *Store) Die() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.work.Wait()
}

// Inner returns the store that is leased from.
func (s *Store) Inner() driver.Store { return s.inner }

// Remembered returns how many leases the store inside has yet to be told about, and how many reservations of leases are known.
func (s *Store) Remembered() (live, leases int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live), len(s.leases)
}

// RememberedCalls returns how many calls are known.
func (s *Store) RememberedCalls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// Repack packs two charges and unpacks them again.
func Repack(reserved, actual driver.Charge) (driver.Charge, driver.Charge) {
	reserved, actual, _ = unpack(pack(reserved, actual))
	return reserved, actual
}
