package statuspage_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/statuspage"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// countingStore counts the looks at it, each of which takes a while.
type countingStore struct {
	budget.Store
	looks atomic.Int64
	takes time.Duration
}

func (s *countingStore) Kills(ctx context.Context) ([]budget.Kill, error) {
	s.looks.Add(1)
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.Store.Kills(ctx)
}

// ask asks a page as a viewer does, without a network.
func ask(ctx context.Context, page http.Handler) int {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/", nil)
	w := httptest.NewRecorder()
	page.ServeHTTP(w, r)
	return w.Code
}

// However many look, and however often they leave before they get an answer, the store is asked once a second at most, and no more than a
// tenth of the time.
func TestViewersShareALook(t *testing.T) {
	for name, tc := range map[string]struct {
		takes   time.Duration
		atMost  int64
		atLeast int64
	}{"a quick store": {10 * time.Millisecond, 13, 10}, "a slow store": {500 * time.Millisecond, 3, 2}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &countingStore{Store: memstore.New(memstore.Options{}), takes: tc.takes}
				ledger, err := budget.Open(t.Context(), store, policy)
				require.NoError(t, err)
				page, err := statuspage.New(statuspage.Options{Ledger: ledger})
				require.NoError(t, err)
				var viewers sync.WaitGroup
				end := time.Now().Add(12 * time.Second)
				for i := range 20 {
					viewers.Go(func() {
						for time.Now().Before(end) {
							ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
							if i%2 == 0 {
								ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
							}
							code := ask(ctx, page)
							cancel()
							if i%2 == 1 && code != http.StatusOK {
								t.Errorf("status %d", code)
							}
							time.Sleep(time.Duration(150+7*i) * time.Millisecond)
						}
					})
				}
				viewers.Wait()
				require.LessOrEqual(t, store.looks.Load(), tc.atMost)
				require.GreaterOrEqual(t, store.looks.Load(), tc.atLeast)
			})
		})
	}
}

// A store that answers again is shown soon after it hung: an operator looks at the page above all when something is wrong.
func TestStoreThatHungIsShownSoonAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &countingStore{Store: memstore.New(memstore.Options{}), takes: time.Hour}
		ledger, err := budget.Open(t.Context(), store, policy)
		require.NoError(t, err)
		page, err := statuspage.New(statuspage.Options{Ledger: ledger})
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, ask(t.Context(), page))
		store.takes = 0
		time.Sleep(21 * time.Second)
		require.Equal(t, http.StatusOK, ask(t.Context(), page))
	})
}

// A store that hangs is not asked again by each viewer, and does not hold them for good.
func TestStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &countingStore{Store: memstore.New(memstore.Options{}), takes: time.Hour}
		ledger, err := budget.Open(t.Context(), store, policy)
		require.NoError(t, err)
		page, err := statuspage.New(statuspage.Options{Ledger: ledger})
		require.NoError(t, err)
		began := time.Now()
		var viewers sync.WaitGroup
		for range 20 {
			viewers.Go(func() {
				if code := ask(t.Context(), page); code != http.StatusServiceUnavailable {
					t.Errorf("status %d", code)
				}
			})
		}
		viewers.Wait()
		require.Equal(t, int64(1), store.looks.Load())
		require.Less(t, time.Since(began), time.Minute)
	})
}

// large returns a page over many accounts, of which some have long names, with usage, calls in flight, flags and overrides.
func large(tb testing.TB, accounts int) *house {
	h := newHouse(tb, policy, writable)
	for i := range accounts {
		s := budget.Scope{Workflow: fmt.Sprintf("team-%d/nightly-refactoring-%06d", i%40, i), Model: "anthropic.claude-sonnet-4-6", Region: "us-east-1"}
		h.settle(tb, s, price.Usage{InputTokens: int64(1000 + i), CacheReadInputTokens: int64(i % 1000), OutputTokens: 50}, price.Amount(1_000_001+i))
		if i < 1000 {
			h.pending(tb, s, 12_345_678)
		}
		if i < 60 {
			_, err := h.ledger.Kill(budget.WithOperator(context.Background(), "ada"), s, "because it ran away in the night")
			require.NoError(tb, err)
		}
	}
	return h
}

// A fleet of workflows is no reason for a page that does not load: rows are bounded, and what is left out is counted.
func TestTenThousandAccountsAreBounded(t *testing.T) {
	h := large(t, 10_000)
	body := h.get(t, "/")
	t.Logf("%d bytes to a viewer", len(body))
	require.Less(t, len(body), 1_000_000)
	h.login(t, "ada")
	body = h.get(t, "/")
	t.Logf("%d bytes to an operator", len(body))
	require.Less(t, len(body), 1_000_000)
	require.Len(t, accountsOn(body), statuspage.DefaultMaxRows)
	require.Contains(t, body, "9701 more accounts are not shown")
	require.Contains(t, body, "There are more calls")
	require.Equal(t, 1, strings.Count(body, "9700 more workflows are not shown"))
}

// The same where every name is as long and as odd as can be.
func TestAccountsOfTheLongestNamesAreBounded(t *testing.T) {
	h := newHouse(t, policy, writable)
	for i := range 1000 {
		name := fmt.Sprintf("%04d", i) + strings.Repeat("\x01", driver.MaxScopeValue-4)
		h.settle(t, budget.Scope{Workflow: name, Model: name}, price.Usage{InputTokens: 1000}, 1)
		h.pending(t, budget.Scope{Workflow: name, Model: name}, 1)
	}
	h.login(t, "ada")
	body := h.get(t, "/")
	t.Logf("%d bytes", len(body))
	require.Less(t, len(body), 1_000_000)
}

// BenchmarkPage_TenThousandAccounts is a look and a page of it: what a viewer waits for.
func BenchmarkPage_TenThousandAccounts(b *testing.B) {
	h := large(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		page, err := statuspage.New(statuspage.Options{Ledger: h.ledger})
		require.NoError(b, err)
		if code := ask(b.Context(), page); code != http.StatusOK {
			b.Fatal(code)
		}
	}
}

// BenchmarkPage_Listen is what an event costs the page.
func BenchmarkPage_Listen(b *testing.B) {
	h := newHouse(b, policy, nil)
	e := settledEvent("nightly", time.Now())
	b.ReportAllocs()
	for b.Loop() {
		h.page.Listen(b.Context(), e)
	}
}
