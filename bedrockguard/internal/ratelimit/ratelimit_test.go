package ratelimit

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/refusal"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

func workflow(name string) *budget.Scope { return &budget.Scope{Workflow: name} }

func TestRateWaitsUpToItsBoundAndThenRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Rule{UncachedInputTokensPerMinute: 6000, Per: budget.PerWorkflow, MaxWait: 10 * time.Second})
		began := time.Now()
		_, err := r.Wait(t.Context(), workflow("a"), 6000)
		require.NoError(t, err)
		require.Zero(t, time.Since(began), "the bucket begins full")
		_, err = r.Wait(t.Context(), workflow("a"), 1000)
		require.NoError(t, err)
		require.Equal(t, 10*time.Second, time.Since(began), "1000 tokens at 100 a second")
		_, err = r.Wait(t.Context(), workflow("a"), 2000)
		var limited *refusal.RateLimitedError
		require.ErrorAs(t, err, &limited)
		require.ErrorIs(t, err, refusal.ErrRateLimited)
		require.Equal(t, 20*time.Second, limited.RetryAfter)
		require.Equal(t, 10*time.Second, time.Since(began), "a refusal is at once")
		_, err = r.Wait(t.Context(), workflow("b"), 6000)
		require.NoError(t, err, "another workflow has a bucket of its own")
		_, err = r.Wait(t.Context(), workflow("b"), 6001)
		require.ErrorAs(t, err, &limited)
		require.Zero(t, limited.RetryAfter, "larger than the bucket: it never fits")
		time.Sleep(limited.RetryAfter + 20*time.Second)
		_, err = r.Wait(t.Context(), workflow("a"), 2000)
		require.NoError(t, err)
	})
}

func TestRateLearnsWhatTheCacheSpares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Rule{UncachedInputTokensPerMinute: 6000})
		debit, err := r.Wait(t.Context(), workflow("a"), 5000)
		require.NoError(t, err)
		debit.Settle(price.Usage{InputTokens: 5000, CacheReadInputTokens: 4800})
		_, err = r.Wait(t.Context(), workflow("a"), 6000) // 1200 of them are expected to be uncached
		require.NoError(t, err)
		_, err = r.Wait(t.Context(), workflow("a"), 4800+4700)
		require.ErrorIs(t, err, refusal.ErrRateLimited, "5800 - 1200 are left")
	})
}

func TestRateTurnsSurprisesIntoDebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Rule{UncachedInputTokensPerMinute: 6000})
		debit, err := r.Wait(t.Context(), workflow("a"), 100)
		require.NoError(t, err)
		debit.Settle(price.Usage{InputTokens: 18_000})
		_, err = r.Wait(t.Context(), workflow("a"), 1)
		var limited *refusal.RateLimitedError
		require.ErrorAs(t, err, &limited)
		require.InDelta(t, 2*time.Minute, limited.RetryAfter, float64(time.Second))
	})
}

func TestRateGivesBackWhatWasNotConsumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Rule{UncachedInputTokensPerMinute: 6000, MaxWait: time.Minute})
		debit, err := r.Wait(t.Context(), workflow("a"), 6000)
		require.NoError(t, err)
		debit.GiveBack()
		_, err = r.Wait(t.Context(), workflow("a"), 6000)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = r.Wait(ctx, workflow("a"), 3000)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		began := time.Now()
		_, err = r.Wait(t.Context(), workflow("a"), 100)
		require.NoError(t, err)
		require.LessOrEqual(t, time.Since(began), time.Second, "a canceled wait takes nothing")
		var none *Debit
		none.GiveBack()
		none.Settle(price.Usage{})
	})
}

func TestRateMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Rule{UncachedInputTokensPerMinute: 10, Per: budget.PerWorkflow})
		for i := range maxBuckets + 10 {
			_, err := r.Wait(t.Context(), workflow(string(rune('a'+i))), 1)
			require.NoError(t, err)
		}
		require.Len(t, r.buckets, maxBuckets)
	})
}
