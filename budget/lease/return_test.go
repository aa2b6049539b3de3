package lease_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/lease"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// A draw that is under way when Close comes asks the store for nothing afterwards.
func TestADrawDoesNotOutliveClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &heldBalances{Store: memstore.New(memstore.Options{}), goOn: make(chan struct{})}
		p := begin(t, store, lifetime(1000))
		var work sync.WaitGroup
		work.Go(func() {
			if _, err := reserve(p.ledger, anyone, 10); err == nil {
				t.Error("admitted after Close")
			}
		})
		synctest.Wait()
		require.NoError(t, p.leased.Close())
		require.Zero(t, p.cost(func() {
			close(store.goOn)
			work.Wait()
		}))
	})
}

// An Override ends the admissions from leases at once, though one of them is being drawn for.
func TestAnOverrideDoesNotWaitForADraw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := begin(t, memstore.New(memstore.Options{}), lifetime(1_000_000))
		p.call(anyone, 10, 10)
		time.Sleep(lease.DefaultLength)
		p.call(anyone, 10, 10)
		p.line.delay.Store(int64(time.Second))
		var work sync.WaitGroup
		work.Go(func() { _, _ = reserve(p.ledger, anyone, 75) }) // draws, for five are missing
		synctest.Wait()
		work.Go(func() {
			if err := storetest.Done(p.ledger.Override(context.Background(), "l", anyone, driver.Quantity{N: 1, Unit: driver.UnitUSD}, time.Now().Add(time.Hour))); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		_, err := reserve(p.ledger, anyone, 10)
		require.ErrorIs(t, err, budget.ErrExceeded)
		work.Wait()
	})
}

// settlesNothing is a store in which every settlement fails.
type settlesNothing struct{ driver.Store }

func (settlesNothing) Settle(context.Context, driver.Settlement) (driver.Posting, error) {
	return driver.Posting{}, errDown
}

// A lease that can't be given back keeps nothing else from expiring.
func TestExpiryGoesOnAfterAFailedReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		_, err := open(t, store, lifetime(1000)).Reserve(t.Context(), budget.Request{Worst: usd(10), TTL: time.Second})
		require.NoError(t, err)
		p := begin(t, settlesNothing{store}, lifetime(1000))
		p.call(anyone, 10, 10)
		time.Sleep(lease.DefaultLength)
		n, err := p.leased.Expire(t.Context(), 10)
		require.ErrorIs(t, err, errDown)
		require.Equal(t, 1, n)
	})
}
