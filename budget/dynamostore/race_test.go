package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// between runs something of another process after the look of a step and before what it writes on the strength of it.
func between(fn func()) func(*call) (*http.Response, error) {
	var once sync.Once
	looked := false
	return func(c *call) (*http.Response, error) {
		if c.op == "TransactGetItems" {
			looked = true
		} else if c.op == "TransactWriteItems" && looked {
			once.Do(fn)
		}
		return c.pass()
	}
}

// What a step read is required by what it writes: whatever another process does in between, the step answers as if it had
// come before it or after it, and never with half of both.
func TestNothingRestsOnWhatWasReadBefore(t *testing.T) {
	table := newTable(t, newClient(t, endpoint(t)))
	w, client := newWire(t)
	s, other := open(t, client, table), open(t, newClient(t, endpoint(t)), table)
	s.forgetting.stop() // its transactions are not the ones that are waited for
	ctx := context.Background()
	n := byte(0)
	fresh := func(limit int64) driver.Line {
		n++
		return line(n, driver.Daily, limit)
	}
	reserve := func(r driver.Reservation, meanwhile func()) driver.Decision {
		s.blindFailures.set(r.Lines[0].Account, true) // it looks first
		w.follow(between(meanwhile))
		d, err := s.Reserve(ctx, r)
		require.NoError(t, err)
		return d
	}

	t.Run("an observed limit that got room is not reported", func(t *testing.T) {
		l := fresh(10)
		l.Observe = true
		r := hold(10, l)
		admitted(t, other, r)
		d := reserve(hold(5, l), func() { require.NoError(t, other.Void(ctx, r.ID, r.Owner)) })
		require.True(t, d.Admitted)
		require.Empty(t, d.Observed)
	})
	t.Run("room that is gone is not given away", func(t *testing.T) {
		l := fresh(10)
		admitted(t, other, hold(1, l))
		d := reserve(hold(5, l), func() { admitted(t, other, hold(9, l)) })
		require.NotNil(t, d.Denied)
		require.Equal(t, int64(10), d.Denied[0].Pending)
	})
	t.Run("a new account is made once", func(t *testing.T) {
		l := fresh(10)
		d := reserve(hold(5, l), func() { admitted(t, other, hold(6, l)) })
		require.NotNil(t, d.Denied)
		require.Equal(t, [2]int64{0, 6}, stands(t, s, l))
	})
	t.Run("an override that was taken back admits nothing", func(t *testing.T) {
		l := fresh(10)
		admitted(t, other, hold(1, l))
		require.NoError(t, other.Override(ctx, l.Account, &driver.Override{Max: 100, Until: time.Now().Add(time.Hour)}, storetest.NewChange()))
		d := reserve(hold(50, l), func() { require.NoError(t, other.Override(ctx, l.Account, nil, storetest.NewChange())) })
		require.NotNil(t, d.Denied)
		require.Equal(t, int64(10), d.Denied[0].Max)
	})
	t.Run("an override that came counts", func(t *testing.T) {
		l := fresh(10)
		admitted(t, other, hold(1, l))
		d := reserve(hold(5, l), func() {
			require.NoError(t, other.Override(ctx, l.Account, &driver.Override{Max: 2, Until: time.Now().Add(time.Hour)}, storetest.NewChange()))
		})
		require.NotNil(t, d.Denied)
	})
	t.Run("a latch that closed refuses", func(t *testing.T) {
		l := fresh(10)
		l.Latch = true
		admitted(t, other, hold(1, l))
		d := reserve(hold(5, l), func() {
			d, err := other.Reserve(ctx, hold(99, l))
			require.NoError(t, err)
			require.NotNil(t, d.Denied)
		})
		require.NotNil(t, d.Denied)
		require.True(t, d.Denied[0].Latched)
	})
	t.Run("a refusal that found room in the end latches nothing", func(t *testing.T) {
		l := fresh(10)
		l.Latch = true
		r := hold(10, l)
		admitted(t, other, r)
		d := reserve(hold(5, l), func() { require.NoError(t, other.Void(ctx, r.ID, r.Owner)) })
		require.True(t, d.Admitted)
		admitted(t, other, hold(1, l))
	})
	t.Run("a flag that was set refuses", func(t *testing.T) {
		l, scope := fresh(10), driver.Scope{Workflow: "w"}
		r := hold(1, l)
		r.Dims = scope.Dims()
		d := reserve(r, func() { require.NoError(t, other.Kill(ctx, driver.Kill{Scope: scope}, storetest.NewChange())) })
		require.NotNil(t, d.Killed)
		require.Equal(t, [2]int64{0, 0}, stands(t, s, l))
	})
	t.Run("a tombstone that came refuses", func(t *testing.T) {
		r := hold(1, fresh(10))
		s.blindFailures.set(r.Lines[0].Account, true)
		w.follow(between(func() { require.NoError(t, other.Void(ctx, r.ID, r.Owner)) }))
		_, err := s.Reserve(ctx, r)
		require.ErrorIs(t, err, driver.ErrResolved)
	})
	t.Run("a reservation settled elsewhere is not expired", func(t *testing.T) {
		r := hold(5, fresh(10))
		r.TTL = time.Nanosecond
		admitted(t, s, r)
		w.follow(func(c *call) (*http.Response, error) {
			if c.op == "TransactWriteItems" && c.nth == 1 {
				settled(t, other, r, 2)
			}
			return c.pass()
		})
		require.Eventually(t, func() bool { // the TTL ends with the service's next second
			n, err := s.Expire(ctx, 10)
			require.NoError(t, err)
			require.Zero(t, n)
			return stands(t, other, r.Lines[0]) == [2]int64{2, 0}
		}, 10*time.Second, 10*time.Millisecond)
	})
	t.Run("an orphan that became a tombstone's is posted once", func(t *testing.T) {
		r := hold(5, fresh(10))
		w.follow(between(func() { require.NoError(t, other.Void(ctx, r.ID, r.Owner)) }))
		require.Equal(t, driver.Voided, settled(t, s, r, 4).From)
		require.Equal(t, [2]int64{4, 0}, stands(t, other, r.Lines[0]))
	})
	t.Run("a mark that another settlement reached is reported by that one", func(t *testing.T) {
		l := fresh(100)
		l.Notify = []float64{0.5}
		a, b := hold(30, l), hold(50, l)
		admitted(t, other, a)
		admitted(t, other, b)
		w.follow(between(func() { require.Len(t, settled(t, other, b, 50).Crossed, 1) }))
		require.Empty(t, settled(t, s, a, 30).Crossed)
	})
	t.Run("an account that another process made is not taken for a lost one", func(t *testing.T) {
		for _, op := range []string{"UpdateItem", "TransactWriteItems"} { // before and after it is put into the list
			l := fresh(10)
			var once sync.Once
			looked := false
			s.blindFailures.set(l.Account, true)
			w.follow(func(c *call) (*http.Response, error) {
				if c.op == "TransactGetItems" {
					looked = true
				} else if looked && c.op == op {
					once.Do(func() { admitted(t, other, hold(4, l)) })
				}
				return c.pass()
			})
			admitted(t, s, hold(5, l))
			w.follow(nil)
			require.Equal(t, [2]int64{0, 9}, stands(t, s, l))
		}
		l := fresh(10)
		reads := 0
		w.follow(func(c *call) (*http.Response, error) {
			if c.op == "TransactGetItems" {
				if reads++; reads == 2 { // the list, after the accounts
					admitted(t, other, hold(4, l))
				}
			}
			return c.pass()
		})
		require.Equal(t, [2]int64{0, 4}, stands(t, s, l))
		require.Greater(t, reads, 2, "it is looked for once more")
	})
	sums(t, s)
}

// The changes of a ledger are read in more than one step. What another process changes in between is not taken for what a loss left.
func TestAChangeThatIsBeingMadeIsNoLoss(t *testing.T) {
	theirs, mine := driver.Scope{Workflow: "theirs"}, driver.Scope{Workflow: "mine"}
	for name, tt := range map[string]struct {
		before string // which request of the step theirs comes before, the first read having been answered
		step   func(ctx context.Context, s *Store) error
	}{
		"the first change of all": {"Query", func(ctx context.Context, s *Store) error {
			return s.Kill(ctx, driver.Kill{Scope: mine}, storetest.NewChange())
		}},
		"the same flag": {"TransactGetItems", func(ctx context.Context, s *Store) error {
			return s.Kill(ctx, driver.Kill{Scope: theirs, Reason: "mine"}, storetest.NewChange())
		}},
		"the revision": {"Query", func(ctx context.Context, s *Store) error {
			revision, err := s.Revision(ctx)
			if revision != 1 && err == nil {
				err = fmt.Errorf("revision %d", revision)
			}
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			table := newTable(t, newClient(t, endpoint(t)))
			w, client := newWire(t)
			s, other := open(t, client, table), open(t, newClient(t, endpoint(t)), table)
			var once sync.Once
			looked := false
			w.follow(func(c *call) (*http.Response, error) {
				if looked && c.op == tt.before {
					once.Do(func() {
						require.NoError(t, other.Kill(context.Background(), driver.Kill{Scope: theirs, Reason: "theirs"}, storetest.NewChange()))
					})
				}
				looked = looked || c.op == "TransactGetItems"
				return c.pass()
			})
			err := tt.step(t.Context(), s)
			w.follow(nil)
			if name == "the same flag" && errors.Is(err, driver.ErrSuperseded) {
				err = nil // theirs came first, and it was not seen
			}
			require.NoError(t, err)
			kills, err := s.Kills(t.Context())
			require.NoError(t, err)
			require.Len(t, kills, map[string]int{"the first change of all": 2, "the same flag": 1, "the revision": 1}[name])
		})
	}
}

// A change whose answer was lost is not made again after another process has changed the same thing since.
func TestAChangeWhoseAnswerWasLostIsMadeOnce(t *testing.T) {
	ctx := context.Background()
	l, of := line(1, driver.Daily, 100), driver.Scope{Workflow: "w"}
	until := time.Now().Add(time.Hour)
	for name, tt := range map[string]struct {
		mine, theirs func(s *Store, r driver.Reservation) error
		check        func(t *testing.T, s *Store, r driver.Reservation)
	}{
		"an override": {
			func(s *Store, _ driver.Reservation) error {
				return s.Override(ctx, l.Account, &driver.Override{Max: 90, Until: until}, storetest.NewChange())
			},
			func(s *Store, _ driver.Reservation) error {
				return s.Override(ctx, l.Account, &driver.Override{Max: 10, Until: until}, storetest.NewChange())
			},
			func(t *testing.T, s *Store, _ driver.Reservation) {
				balances, err := s.Balances(ctx, []driver.Line{l})
				require.NoError(t, err)
				require.Equal(t, int64(10), balances[0].Max)
			},
		},
		"a revival": {
			func(s *Store, _ driver.Reservation) error {
				return s.Revive(ctx, driver.Flag{Scope: of}, storetest.NewChange())
			},
			func(s *Store, _ driver.Reservation) error {
				return s.Kill(ctx, driver.Kill{Scope: of, Reason: "theirs"}, storetest.NewChange())
			},
			func(t *testing.T, s *Store, _ driver.Reservation) {
				kills, err := s.Kills(ctx)
				require.NoError(t, err)
				require.Len(t, kills, 1)
			},
		},
		"a policy": {
			func(s *Store, _ driver.Reservation) error {
				return s.SetPolicy(ctx, []byte("mine"), storetest.NewChange())
			},
			func(s *Store, _ driver.Reservation) error {
				return s.SetPolicy(ctx, []byte("theirs"), storetest.NewChange())
			},
			func(t *testing.T, s *Store, _ driver.Reservation) {
				d, err := s.Policy(ctx)
				require.NoError(t, err)
				require.Equal(t, "theirs", string(d.Text))
			},
		},
		"a correction": {
			func(s *Store, r driver.Reservation) error {
				_, err := s.Correct(ctx, driver.Correction{ID: r.ID, Actual: usd(3), Change: storetest.NewChange()})
				return err
			},
			func(s *Store, r driver.Reservation) error {
				_, err := s.Correct(ctx, driver.Correction{ID: r.ID, Actual: usd(7), Change: storetest.NewChange()})
				return err
			},
			func(t *testing.T, s *Store, _ driver.Reservation) {
				require.Equal(t, [2]int64{7, 0}, stands(t, s, l))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			table := newTable(t, newClient(t, endpoint(t)))
			w, client := newWire(t)
			s, other := open(t, client, table), open(t, newClient(t, endpoint(t)), table)
			r := hold(5, l)
			admitted(t, s, r)
			settled(t, s, r, 5)
			before, err := s.Revision(ctx)
			require.NoError(t, err)
			var once sync.Once
			w.follow(func(c *call) (resp *http.Response, err error) {
				resp, err = c.pass()
				if c.op == "TransactWriteItems" {
					once.Do(func() {
						require.NoError(t, err)
						require.NoError(t, resp.Body.Close())
						require.NoError(t, tt.theirs(other, r))
						resp, err = nil, errors.New("connection reset")
					})
				}
				return resp, err
			})
			require.NoError(t, tt.mine(s, r))
			w.follow(nil)
			tt.check(t, s, r)
			after, err := s.Revision(ctx)
			require.NoError(t, err)
			require.Equal(t, before+2, after)
		})
	}
}
