package dynamostore

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// wired returns a store whose calls run over a wire.
func wired(tb testing.TB, optFns ...func(*Options)) (*wire, *Store) {
	tb.Helper()
	table := newTable(tb, newClient(tb, endpoint(tb)))
	w, client := newWire(tb)
	return w, open(tb, client, table, optFns...)
}

func admitted(tb testing.TB, s *Store, r driver.Reservation) driver.Decision {
	tb.Helper()
	d, err := s.Reserve(context.Background(), r)
	require.NoError(tb, err)
	require.True(tb, d.Admitted, "%+v", d)
	return d
}

func settled(tb testing.TB, s *Store, r driver.Reservation, n int64) driver.Posting {
	tb.Helper()
	p, err := s.Settle(context.Background(), settlement(r, n))
	require.NoError(tb, err)
	return p
}

// contract are answers about the budget; a store that can't answer must return none of them.
var contract = []error{
	budget.ErrExceeded, driver.ErrKilled, driver.ErrOverflow, driver.ErrInvalidCharge, driver.ErrIDConflict, driver.ErrResolved, driver.ErrNotFound,
}

func unanswered(tb testing.TB, err error) {
	tb.Helper()
	require.Error(tb, err)
	for _, own := range contract {
		require.NotErrorIs(tb, err, own)
	}
}

// A reason that may pass is waited out, wherever in the list it stands, and is never a denial.
func TestReasonsThatMayPassAreWaitedOut(t *testing.T) {
	l := line(1, driver.Daily, 1000)
	w, s := wired(t)
	admitted(t, s, hold(1, l))
	want := int64(1)
	for _, code := range []string{"TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"} {
		for place := -1; place < 4; place++ {
			w.follow(func(c *call) (*http.Response, error) {
				if c.op == "TransactWriteItems" && c.nth <= 2 {
					return cancelled(4, place, code)
				}
				return c.pass()
			})
			require.False(t, admitted(t, s, hold(1, l)).Replayed, code)
			want++
		}
	}
	require.Equal(t, [2]int64{0, want}, stands(t, s, l))
}

// A reason that does not pass, or that nobody knows, is an error at once, and none that could be taken for an answer.
func TestReasonsThatStayAreErrors(t *testing.T) {
	l := line(1, driver.Daily, 1000)
	w, s := wired(t)
	r := hold(1, l)
	admitted(t, s, r)
	for _, code := range []string{"ValidationError", "ItemCollectionSizeLimitExceeded", "AccessDenied", "WhoKnows"} {
		w.follow(func(c *call) (*http.Response, error) {
			if c.op == "TransactWriteItems" {
				return cancelled(len(c.written()), 1, code)
			}
			return c.pass()
		})
		d, err := s.Reserve(t.Context(), hold(1, l))
		unanswered(t, err)
		require.ErrorContains(t, err, code)
		require.Equal(t, driver.Decision{}, d)
		_, err = s.Settle(t.Context(), settlement(r, 1))
		unanswered(t, err)
		require.Equal(t, [2]int64{0, 1}, stands(t, s, l))
	}
}

// A list of reasons that does not fit the transaction says nothing; nor does one without any reason.
func TestReasonsThatDoNotFitAreNoAnswer(t *testing.T) {
	l := line(1, driver.Daily, 1000)
	w, s := wired(t)
	for _, answer := range []func() (*http.Response, error){
		func() (*http.Response, error) { return cancelled(2, 1, "ConditionalCheckFailed") },
		func() (*http.Response, error) { return cancelled(0, 0, "") },
		func() (*http.Response, error) { return cancelled(4, 9, "") },
	} {
		w.follow(func(c *call) (*http.Response, error) {
			if c.op == "TransactWriteItems" && c.nth == 1 {
				return answer()
			}
			return c.pass()
		})
		admitted(t, s, hold(1, l))
	}
}

// A failed condition denies nothing by itself: an account that says so wrongly is looked at, and the call admitted.
func TestAFailedConditionIsNoDenialWithoutALook(t *testing.T) {
	l := line(1, driver.Daily, 1000)
	w, s := wired(t)
	admitted(t, s, hold(1, l))
	for place := range 4 {
		w.follow(func(c *call) (*http.Response, error) {
			if c.op == "TransactWriteItems" && c.nth == 1 {
				return cancelled(4, place, "ConditionalCheckFailed")
			}
			return c.pass()
		})
		admitted(t, s, hold(1, l))
		require.Equal(t, []string{"TransactWriteItems", "TransactGetItems", "TransactWriteItems"}, w.calls())
	}
}

func TestErrorsOfTheServiceThatMayPass(t *testing.T) {
	l := line(1, driver.Daily, 1000)
	w, s := wired(t)
	want := int64(0)
	for kind, status := range map[string]int{
		"ThrottlingException": 400, "ProvisionedThroughputExceededException": 400, "RequestLimitExceeded": 400, "TransactionInProgressException": 400,
		"InternalServerError": 500, "ServiceUnavailable": 503,
	} {
		w.follow(func(c *call) (*http.Response, error) {
			if c.nth <= 2 {
				return failure(status, kind, nil)
			}
			return c.pass()
		})
		require.False(t, admitted(t, s, hold(1, l)).Replayed, kind)
		want++
		require.Equal(t, [2]int64{0, want}, stands(t, s, l))
	}
}

func TestErrorsOfTheServiceThatStay(t *testing.T) {
	l := line(1, driver.Daily, 1000)
	w, s := wired(t)
	for _, kind := range []string{"AccessDeniedException", "ExpiredTokenException", "UnrecognizedClientException", "ValidationException"} {
		w.follow(func(*call) (*http.Response, error) { return failure(http.StatusBadRequest, kind, nil) })
		_, err := s.Reserve(t.Context(), hold(1, l))
		unanswered(t, err)
		require.Len(t, w.calls(), 1, kind)
	}
}

// Endless throttling ends with the caller's time, in an error, and changes nothing.
func TestEndlessThrottlingEndsWithTheDeadline(t *testing.T) {
	l := line(1, driver.Daily, 1000)
	w, s := wired(t)
	r := hold(1, l)
	admitted(t, s, r)
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := s.Reserve(ctx, hold(1, l)); return err },
		func(ctx context.Context) error { _, err := s.Settle(ctx, settlement(r, 1)); return err },
		func(ctx context.Context) error { return s.Void(ctx, r.ID, r.Owner) },
		func(ctx context.Context) error { return s.Kill(ctx, driver.Kill{}, storetest.NewChange()) },
		func(ctx context.Context) error { _, err := s.Balances(ctx, []driver.Line{l}); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		w.follow(func(*call) (*http.Response, error) {
			if len(w.calls()) > 3 { // the caller's time is up
				cancel()
			}
			return failure(http.StatusBadRequest, "ThrottlingException", nil)
		})
		err := step(ctx)
		cancel()
		unanswered(t, err)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "ThrottlingException")
	}
	w.follow(nil)
	require.Equal(t, [2]int64{0, 1}, stands(t, s, l))

	s.opts.Timeout = 100 * time.Millisecond // without a deadline of the caller's, the store has its own
	w.follow(func(*call) (*http.Response, error) { return failure(http.StatusBadRequest, "ThrottlingException", nil) })
	_, err := s.Reserve(t.Context(), hold(1, l))
	unanswered(t, err)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, len(w.calls()), 60, "the pauses grow")
}

// Replies that are lost or cut, after the work was done, make nothing happen twice and no answer wrong: with the SDK's
// retries on and off.
func TestLostRepliesChangeNothingTwice(t *testing.T) {
	for _, retries := range []bool{false, true} {
		w, client := newWire(t, func(o *dynamodb.Options) {
			if retries {
				o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
			}
		})
		s := open(t, client, newTable(t, client))
		l := line(1, driver.Daily, 1000)
		l.Notify = []float64{0.005}
		for n, fault := range []func(*call) (*http.Response, error){(*call).lost, (*call).cut, (*call).twice, (*call).lost} {
			first := func(c *call) (*http.Response, error) {
				if c.op == "TransactWriteItems" && c.nth <= 1+n/3 {
					return fault(c)
				}
				return c.pass()
			}
			warm := hold(0, l) // so that the next transaction is the one that admits
			admitted(t, s, warm)
			require.NoError(t, s.Void(t.Context(), warm.ID, warm.Owner))
			before := stands(t, s, l)
			r := hold(10, l)
			w.follow(first)
			require.False(t, admitted(t, s, r).Replayed, "nobody else made it")
			require.Equal(t, [2]int64{before[0], 10}, stands(t, s, l))
			w.follow(first)
			p := settled(t, s, r, 7)
			require.Equal(t, driver.Pending, p.From)
			require.Equal(t, n == 0, len(p.Crossed) == 1, "a mark is reported once, and not forgotten")
			require.False(t, p.Replayed)
			require.Equal(t, [2]int64{before[0] + 7, 0}, stands(t, s, l))
			w.follow(first)
			p, err := s.Correct(t.Context(), driver.Correction{ID: r.ID, Actual: usd(6), Change: storetest.NewChange()})
			require.NoError(t, err)
			require.False(t, p.Replayed)
			w.follow(first)
			v := hold(10, l)
			admitted(t, s, v)
			w.follow(first)
			require.NoError(t, s.Void(t.Context(), v.ID, v.Owner))
			require.Equal(t, [2]int64{before[0] + 6, 0}, stands(t, s, l))
			w.follow(first)
			require.NoError(t, s.Kill(t.Context(), driver.Kill{Scope: driver.Scope{Workflow: "w"}}, storetest.NewChange()))
			w.follow(first)
			require.NoError(t, s.Revive(t.Context(), driver.Flag{Scope: driver.Scope{Workflow: "w"}}, storetest.NewChange()))
			w.follow(nil)
		}
	}
}

// Requests that arrive a second time, long after and in any order, change nothing: the conditions of each transaction hold
// once. Tokens would not do, since the service forgets them after ten minutes.
func TestDelayedDuplicatesChangeNothing(t *testing.T) {
	w, s := wired(t)
	var mu sync.Mutex
	var sent []*call
	w.follow(func(c *call) (*http.Response, error) {
		if c.op == "TransactWriteItems" {
			mu.Lock()
			sent = append(sent, c)
			mu.Unlock()
		}
		return c.pass()
	})
	lines := []driver.Line{line(1, driver.Daily, 100), line(2, driver.Rolling(time.Hour), 30)}
	lines[0].Notify, lines[1].Latch = []float64{0.05, 0.5}, true
	for range 6 {
		a, b, c := hold(4, lines...), hold(3, lines...), hold(2, lines...)
		for _, r := range []driver.Reservation{a, b, c} {
			if _, err := s.Reserve(t.Context(), r); err != nil {
				require.NoError(t, err)
			}
		}
		settled(t, s, a, 5)
		_ = s.Void(t.Context(), b.ID, b.Owner)
		settled(t, s, hold(1, lines...), 1)
		_, err := s.Correct(t.Context(), driver.Correction{ID: a.ID, Actual: usd(4), Change: storetest.NewChange()})
		require.NoError(t, err)
		require.NoError(t, s.Void(t.Context(), driver.NewID(), driver.Key{}))
		require.NoError(t, s.Kill(t.Context(), driver.Kill{Scope: driver.Scope{Workflow: "w"}, Reason: "r"}, storetest.NewChange()))
		require.NoError(t, s.Override(t.Context(), lines[0].Account, &driver.Override{Max: 90, Until: time.Now().Add(time.Hour)}, storetest.NewChange()))
		require.NoError(t, s.Unlatch(t.Context(), []driver.Key{lines[1].Account}, storetest.NewChange()))
		require.NoError(t, s.Revive(t.Context(), driver.Flag{Scope: driver.Scope{Workflow: "w"}}, storetest.NewChange()))
		require.NoError(t, s.Override(t.Context(), lines[0].Account, nil, storetest.NewChange()))
	}
	before := dump(t, s)
	for i := range sent {
		for _, c := range []*call{sent[i], sent[len(sent)-1-i]} {
			resp, err := c.forward(c.anew())
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, resp.Body)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusBadRequest, resp.StatusCode, "a duplicate was carried out: %.300s", c.body)
		}
	}
	require.Greater(t, len(sent), 60)
	require.Equal(t, before, dump(t, s))
}

// dump returns all items of a table.
func dump(tb testing.TB, s *Store) map[string]item {
	tb.Helper()
	all := make(map[string]item)
	pages := dynamodb.NewScanPaginator(s.client, &dynamodb.ScanInput{TableName: &s.table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		require.NoError(tb, err)
		for _, found := range page.Items {
			r := reader{item: found}
			all[r.text(partitionKey)+"/"+r.text(sortKey)] = found
		}
	}
	return all
}

// The way of most calls reads nothing: a transaction to reserve and one to settle. A loop that ran out of budget, or that
// was killed, costs one read a call.
func TestTheHappyPathIsOneTransaction(t *testing.T) {
	w, s := wired(t)
	lines := []driver.Line{line(1, driver.Monthly, 100), line(2, driver.Lifetime, 100), line(3, driver.Daily, 100)}
	lines[0].Notify = []float64{0.9}
	settled(t, s, func() driver.Reservation { r := hold(1, lines...); admitted(t, s, r); return r }(), 1)
	w.follow(nil)
	for range 3 {
		r := hold(3, lines...)
		admitted(t, s, r)
		settled(t, s, r, 2)
	}
	require.Equal(t, slices.Repeat([]string{"TransactWriteItems"}, 6), w.calls())

	denied := func() bool {
		d, err := s.Reserve(t.Context(), hold(99, lines...))
		require.NoError(t, err)
		return len(d.Denied) > 0
	}
	require.True(t, denied())
	w.follow(nil)
	require.True(t, denied())
	require.Equal(t, []string{"TransactGetItems"}, w.calls())

	require.NoError(t, s.Kill(t.Context(), driver.Kill{}, storetest.NewChange()))
	_, err := s.Reserve(t.Context(), hold(1))
	require.NoError(t, err)
	w.follow(nil)
	d, err := s.Reserve(t.Context(), hold(1))
	require.NoError(t, err)
	require.NotNil(t, d.Killed)
	require.Equal(t, []string{"TransactGetItems"}, w.calls())
}

// A policy of as many limits as there may be fits into one transaction; more is an error and never a part of it.
func TestAsManyLimitsAsAPolicyMayHold(t *testing.T) {
	s := newStore(t)
	lines := make([]driver.Line, budget.MaxLimits)
	for i := range lines {
		lines[i] = line(byte(i+1), driver.Rolling(time.Hour), 100)
		lines[i].Latch = true
	}
	for range 2 {
		r := hold(1, lines...)
		admitted(t, s, r)
		settled(t, s, r, 1)
	}
	require.Equal(t, [2]int64{2, 0}, stands(t, s, lines[63]))
	d, err := s.Reserve(t.Context(), hold(99, lines...))
	require.NoError(t, err)
	require.NotNil(t, d.Denied)
	keys := make([]driver.Key, 200)
	for i := range keys {
		keys[i] = driver.Key{1: byte(i)}
	}
	require.NoError(t, s.Unlatch(t.Context(), append(keys, lines[0].Account), storetest.NewChange()))
	require.False(t, func() bool {
		all, err := s.Balances(t.Context(), lines)
		require.NoError(t, err)
		return all[0].Latched
	}())

	for i := range 40 {
		lines = append(lines, line(byte(100+i), driver.Daily, 100))
	}
	_, err = s.Reserve(t.Context(), hold(1, lines...))
	unanswered(t, err)
	all, err := s.Balances(t.Context(), append(lines, lines...))
	require.NoError(t, err)
	require.Len(t, all, 208)
}

// Transactions that meet are in conflict on the service. Many callers at a tight limit still use it up to the last unit,
// and no further.
func TestConcurrentReservesAreExactAtTheLimit(t *testing.T) {
	for _, shards := range []int{1, 4} {
		k := &conflicts{latency: time.Millisecond}
		var stores []*Store
		table := ""
		for range 2 {
			w, client := newWire(t)
			if table == "" {
				table = newTable(t, newClient(t, endpoint(t)))
			}
			stores = append(stores, open(t, client, table, func(o *Options) { o.Shards = shards }))
			w.follow(k.plan)
		}
		lines := []driver.Line{line(1, driver.Daily, 100), line(2, driver.Lifetime, 1<<40)}
		var got, refused atomic.Int64
		var workers sync.WaitGroup
		for n := range 16 {
			workers.Go(func() {
				for range 12 {
					d, err := stores[n%2].Reserve(context.Background(), hold(1+int64(n%2), lines...))
					switch {
					case err != nil:
						t.Error(err)
					case d.Admitted:
						got.Add(1 + int64(n%2))
					default:
						refused.Add(1)
					}
				}
			})
		}
		workers.Wait()
		require.Equal(t, int64(100), got.Load(), "shards=%d", shards)
		require.Positive(t, refused.Load())
		require.Equal(t, [2]int64{0, 100}, stands(t, stores[0], lines[0]))
		require.Positive(t, k.met, "no transactions met")
	}
}

// A kill flag changes all gates at once, and every reservation is in conflict with that. It comes through all the same.
func TestKillComesThroughUnderLoad(t *testing.T) {
	k := &conflicts{latency: 3 * time.Millisecond}
	w, s := wired(t)
	w.follow(k.plan)
	lines := []driver.Line{line(1, driver.Lifetime, 1<<40)}
	var killed atomic.Bool
	var late, done atomic.Int64
	var workers sync.WaitGroup
	for n := range 24 {
		workers.Go(func() {
			own := lines
			if n > 0 { // accounts of their own: all that they share is the gates
				own = []driver.Line{line(byte(n+1), driver.Lifetime, 1<<40)}
			}
			for after := 0; after < 3; done.Add(1) {
				was := killed.Load()
				d, err := s.Reserve(context.Background(), hold(1, own...))
				if err != nil {
					t.Error(err)
					return
				}
				if was {
					after++
					if d.Admitted {
						late.Add(1)
					}
				}
			}
		})
	}
	for done.Load() < 50 && !t.Failed() {
		runtime.Gosched()
	}
	err := s.Kill(t.Context(), driver.Kill{Reason: "stop"}, storetest.NewChange())
	killed.Store(true)
	if err != nil { // let them end
		w.follow(nil)
		_ = s.Kill(t.Context(), driver.Kill{}, storetest.NewChange())
	}
	workers.Wait()
	require.NoError(t, err)
	require.Zero(t, late.Load())
}

// A connection that went silent holds up one attempt and not the step; a caller that gives up is answered at once.
func TestASilentConnectionIsGivenUp(t *testing.T) {
	l := line(1, driver.Daily, 1000)
	w, s := wired(t)
	s.opts.Timeout = 9 * time.Second
	silent := func(calls int) func(*call) (*http.Response, error) {
		return func(c *call) (*http.Response, error) {
			if c.op == "TransactWriteItems" && c.nth <= calls {
				<-c.ctx.Done()
				return nil, c.ctx.Err()
			}
			return c.pass()
		}
	}
	w.follow(silent(1))
	admitted(t, s, hold(1, l))
	require.GreaterOrEqual(t, len(w.calls()), 2)

	s.opts.Timeout = time.Hour
	w.follow(silent(1 << 30))
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() { _, err := s.Reserve(ctx, hold(1, l)); answered <- err }()
	require.Eventually(t, func() bool { return len(w.calls()) > 0 }, time.Minute, time.Millisecond)
	cancel()
	err := <-answered
	unanswered(t, err)
	require.ErrorIs(t, err, context.Canceled)
}

// An account that is gone is a loss to the settlement of what was reserved in it, too, however long ago its window began: it used to be
// made anew, with nothing in it but that settlement.
func TestASettlementDoesNotMakeALostAccountAnew(t *testing.T) {
	for _, w := range []driver.Window{driver.Lifetime, driver.Yearly} {
		t.Run(w.String(), func(t *testing.T) {
			clock := storetest.NewClock(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
			s := newStore(t, func(o *Options) { o.Clock, o.Retention = clock.Now, time.Hour })
			l := line(1, w, 10)
			spent, pending := hold(9, l), hold(1, l)
			admitted(t, s, spent)
			settled(t, s, spent, 9)
			admitted(t, s, pending)
			_, err := s.client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &s.table, Key: accountKey(l.Account, 0).attributes()})
			require.NoError(t, err)
			_, err = s.Settle(t.Context(), settlement(pending, 1))
			require.ErrorIs(t, err, driver.ErrLost)
			_, err = s.Reserve(t.Context(), hold(1, l))
			require.ErrorIs(t, err, driver.ErrLost)
		})
	}
}
