package dynamostore

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// Each response narrows what is known of the service's time; what is told never runs back, and never leaves what the
// responses allow, but to stay where it was.
func TestServerClockLearnsFromEachResponse(t *testing.T) {
	host := time.Now()
	noon := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	var c serverClock
	_, err := c.now()
	require.ErrorIs(t, err, errNoTime)
	c.learn(noon, host, host) // the service stood between 12:00:00 and 12:00:01
	require.Equal(t, noon, c.at(host).UTC())
	c.learn(noon, host, host.Add(300*time.Millisecond)) // that is known already
	require.Equal(t, noon.Add(300*time.Millisecond), c.at(host.Add(300*time.Millisecond)).UTC())
	c.learn(noon.Add(time.Second), host, host.Add(400*time.Millisecond)) // the next second has begun
	require.Equal(t, noon.Add(time.Second), c.at(host.Add(400*time.Millisecond)).UTC())
	later := host.Add(10 * time.Second) // 12:00:10.6 by the host, which runs fast: the service's second is :08
	c.learn(noon.Add(8*time.Second), later, later)
	require.Equal(t, noon.Add(9*time.Second), c.at(later).UTC())
	c.learn(noon.Add(8*time.Second), later, later.Add(5*time.Second)) // a slow request says little
	require.Equal(t, noon.Add(14*time.Second), c.at(later.Add(5*time.Second)).UTC())
}

func TestServerClockNeverRunsBack(t *testing.T) {
	var c serverClock
	noon := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	tell := func(at time.Time) {
		for range witnesses {
			c.learn(at, time.Now(), time.Now())
		}
	}
	tell(noon)
	first, err := c.now()
	require.NoError(t, err)
	for _, back := range []time.Duration{time.Second, time.Minute, 24 * time.Hour} {
		tell(noon.Add(-back))
		again, err := c.now()
		require.NoError(t, err)
		require.False(t, again.Before(first))
	}
}

// dated is a server whose Date the test sets.
type dated struct{ at atomic.Int64 }

func (d *dated) set(at time.Time) { d.at.Store(at.UnixNano()) }

// tell sets the Date and has a store hear it as often as it takes.
func (d *dated) tell(t *testing.T, s *Store, at time.Time) {
	d.set(at)
	for range witnesses {
		_, err := s.get(t.Context(), gateKey(0))
		require.NoError(t, err)
	}
}

func (d *dated) plan(c *call) (*http.Response, error) {
	resp, err := c.pass()
	if err == nil {
		resp.Header.Set("Date", time.Unix(0, d.at.Load()).UTC().Format(http.TimeFormat))
	}
	return resp, err
}

// openDated opens a store whose service says that it is a given time.
func openDated(t *testing.T, table string, at time.Time) (*dated, *Store) {
	w, client := newWire(t)
	d := &dated{}
	d.set(at)
	w.follow(d.plan)
	return d, open(t, client, table)
}

// Windows are those of the service's time, whatever the host's clock says, and a limit is whole again when the service has
// reached the next one.
func TestWindowsFollowTheServicesTime(t *testing.T) {
	table := newTable(t, newClient(t, endpoint(t)))
	d, s := openDated(t, table, time.Date(2031, 5, 6, 12, 20, 0, 0, time.UTC))
	l := line(1, driver.Hourly, 10)
	admitted(t, s, hold(10, l))
	b, err := s.Balances(t.Context(), []driver.Line{l})
	require.NoError(t, err)
	require.InDelta(t, (40 * time.Minute).Seconds(), b[0].ResetAfter.Seconds(), 60)
	d.tell(t, s, time.Date(2031, 5, 6, 13, 0, 1, 0, time.UTC))
	require.Equal(t, [2]int64{0, 0}, stands(t, s, l))
	r := hold(10, l)
	require.WithinDuration(t, time.Date(2031, 5, 6, 14, 0, 1, 0, time.UTC), admitted(t, s, r).ExpiresAt, time.Minute)
	d.tell(t, s, time.Date(2031, 5, 6, 14, 5, 0, 0, time.UTC))
	stands(t, s, l)
	n, err := s.Expire(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 2, n)
}

// A service, or a process, whose clock runs behind frees nothing: the account holds time at the latest window that it has
// seen, though it has forgotten the one before.
func TestAClockThatRunsBehindFreesNothing(t *testing.T) {
	table := newTable(t, newClient(t, endpoint(t)))
	d, s := openDated(t, table, time.Date(2031, 5, 6, 12, 20, 0, 0, time.UTC))
	hour, rolling := line(1, driver.Hourly, 10), line(2, driver.Rolling(time.Minute), 10)
	held := hold(10, hour, rolling)
	admitted(t, s, held)
	d.tell(t, s, time.Date(2031, 5, 6, 13, 20, 0, 0, time.UTC))
	stands(t, s, hour)
	admitted(t, s, hold(2, hour, rolling))

	_, behind := openDated(t, table, time.Date(2031, 5, 6, 12, 30, 0, 0, time.UTC))
	require.Equal(t, [2]int64{0, 2}, stands(t, behind, hour))
	admitted(t, behind, hold(5, hour, rolling))
	for _, store := range []*Store{s, behind} {
		d, err := store.Reserve(t.Context(), hold(4, hour, rolling))
		require.NoError(t, err)
		require.NotNil(t, d.Denied)
		require.Equal(t, int64(7), d.Denied[0].Pending)
	}
	require.Equal(t, [2]int64{0, 7}, stands(t, s, hour))

	d.tell(t, s, time.Date(2031, 5, 6, 11, 0, 0, 0, time.UTC)) // in one process, time never runs back
	require.Equal(t, [2]int64{0, 7}, stands(t, s, rolling))
	settled(t, s, held, 400) // of a window that has passed: it counts in no limit any more
	require.Equal(t, [2]int64{0, 7}, stands(t, s, hour))
	entries, err := s.Entries(t.Context(), driver.Query{State: driver.Settled, Max: 10})
	require.NoError(t, err)
	require.Equal(t, usd(400), entries[0].Actual)
	sums(t, s)
}

// What is past its retention is marked for deletion by the table; what counts never is.
func TestWhatMayBeDeletedAndWhatNot(t *testing.T) {
	table := newTable(t, newClient(t, endpoint(t)))
	start := time.Date(2031, 5, 6, 12, 20, 0, 0, time.UTC)
	_, s := openDated(t, table, start)
	hour, forever := line(1, driver.Hourly, 10), line(2, driver.Lifetime, 10)
	require.NoError(t, s.Override(t.Context(), forever.Account, &driver.Override{Max: 20, Until: start.Add(time.Hour)}, storetest.NewChange()))
	require.NoError(t, s.Override(t.Context(), driver.Key{3}, &driver.Override{Max: 20, Until: start.Add(400 * 24 * time.Hour)}, storetest.NewChange()))
	pending, done := hold(1, hour, forever), hold(1, hour, forever)
	admitted(t, s, pending)
	admitted(t, s, done)
	settled(t, s, done, 1)
	ttl := func(k itemKey) (time.Time, bool) {
		raw, err := s.get(t.Context(), k)
		require.NoError(t, err)
		r := reader{item: raw}
		n, found := r.number(ttlAttribute)
		return time.Unix(n, 0), found
	}
	_, found := ttl(entryKey(pending.ID))
	require.False(t, found, "a pending reservation")
	_, found = ttl(entryKey(done.ID))
	require.False(t, found, "what a reservation has posted must not go without a word")
	at, found := ttl(accountKey(hour.Account, 0))
	require.True(t, found)
	require.WithinDuration(t, time.Date(2031, 5, 6, 13, 0, 0, 0, time.UTC).Add(DefaultRetention+forgetMargin), at, time.Minute)
	_, found = ttl(accountKey(forever.Account, 0))
	require.False(t, found, "a lifetime is never over")
	at, found = ttl(accountKey(driver.Key{3}, 0))
	require.True(t, found)
	require.True(t, at.After(start.Add(400*24*time.Hour)))
	_, found = ttl(gateKey(0))
	require.False(t, found)
}

// One answer, or a server for a moment, that tells a wrong time opens no window and freezes none: what is known stands until several
// answers agree, and for a while if the host's own clocks agree with it.
func TestAWrongDateIsNotBelieved(t *testing.T) {
	for _, wrong := range []time.Duration{time.Hour, 90 * 24 * time.Hour, -time.Hour, 5 * time.Minute, -90 * 24 * time.Hour} {
		t.Run(wrong.String(), func(t *testing.T) {
			table := newTable(t, newClient(t, endpoint(t)))
			d, s := openDated(t, table, time.Now())
			l := line(1, driver.Hourly, 10)
			admitted(t, s, hold(10, l))
			begun := time.Now().Hour()
			for range 12 { // all of a step's answers, and more
				d.set(time.Now().Add(wrong))
				_, err := s.get(t.Context(), gateKey(0))
				require.NoError(t, err)
				d, err := s.Reserve(t.Context(), hold(1, l))
				require.NoError(t, err)
				if time.Now().Hour() == begun {
					require.False(t, d.Admitted, "admitted in a window that a wrong Date opened")
				}
			}
			d.set(time.Now())
			now, err := s.clock.now()
			require.NoError(t, err)
			require.WithinDuration(t, time.Now(), now, 5*time.Second)
		})
	}
}

// A host that was suspended, or whose service's clock was set, learns the new time from answers that agree, and at once from those that
// its own wall clock bears out.
func TestAnswersThatAgreeAreBelieved(t *testing.T) {
	host := time.Now()
	year := time.Date(2031, 5, 6, 12, 0, 0, 0, time.UTC)
	var c serverClock
	c.learn(year, host, host)
	_, err := c.now()
	require.ErrorIs(t, err, errNoTime, "one answer that the host's clock contradicts")
	c.learn(year.Add(time.Hour), host, host)
	c.learn(year, host, host)
	_, err = c.now()
	require.ErrorIs(t, err, errNoTime, "answers that contradict each other")
	c.learn(year, host, host)
	c.learn(year, host, host)
	now, err := c.now()
	require.NoError(t, err)
	require.WithinDuration(t, year, now, 5*time.Second)

	var d serverClock
	d.learn(host, host, host)
	_, err = d.now()
	require.NoError(t, err, "one answer that the host's clock bears out")
	for range 2 * witnesses {
		d.learn(host.Add(time.Hour), host, host)
	}
	require.WithinDuration(t, host, d.at(host), 2*time.Second)
	late := host.Add(insistence)
	d.learn(host.Add(time.Hour+insistence), late, late)
	require.WithinDuration(t, late.Add(time.Hour), d.at(late), 2*time.Second, "it has insisted for long enough")
}
