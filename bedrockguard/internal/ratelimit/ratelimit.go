// Package ratelimit keeps a token bucket of uncached input tokens for each scope: the tokens of a prompt that the model neither reads from its
// prompt cache nor writes to it.
package ratelimit

import (
	"context"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/refusal"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// maxBuckets bounds how many scopes have a bucket. A scope without one starts with a full bucket, so the bucket that was used longest ago is
// dropped, because it is the most likely to be full again.
const maxBuckets = 4096

// Rule is bedrockguard.Rate, whose fields it has.
type Rule struct {
	UncachedInputTokensPerMinute int64         // how fast a bucket refills; zero: no limit
	Burst                        int64         // the size of a bucket in tokens, at most math.MaxInt32; zero: one minute's worth
	Per                          budget.Per    // the dimensions of the scope that have a bucket for each value; zero: one bucket for all calls
	MaxWait                      time.Duration // how long a call may wait for its tokens
}

// Limits keeps a token bucket of uncached input tokens for each scope. A call takes what it is expected to need, and the difference is
// settled when its usage is known: if it needed more, the next calls wait longer.
type Limits struct {
	rule Rule

	mu      sync.Mutex
	buckets map[[3]string]*bucket // by principal, workflow and model; those that Rule.Per does not name are empty
}

// bucket is the token bucket of one scope.
type bucket struct {
	limiter *rate.Limiter // the bucket proper; it is safe for concurrent use
	mu      sync.Mutex    // guards the fields below
	used    time.Time     // when a call last asked for tokens
	cached  int64         // how many input tokens of the last answer were read from or written to the cache
}

// New returns the limiter of a rule. Burst defaults to the tokens of one minute, as far as they fit into the int that rate.Limiter
// takes, which may have 32 bits.
func New(rule Rule) *Limits {
	if rule.Burst == 0 {
		rule.Burst = min(rule.UncachedInputTokensPerMinute, math.MaxInt32)
	}
	return &Limits{rule: rule, buckets: make(map[[3]string]*bucket)}
}

// Debit is what one attempt took from its bucket, so that Settle or GiveBack can correct it later. Nil means that nothing was taken.
type Debit struct {
	bucket *bucket
	tokens int64
}

// On reports whether a rate is set.
func (r *Limits) On() bool { return r.rule.UncachedInputTokensPerMinute > 0 }

// Wait takes the tokens that a call is expected to need: its likely input less what the last answer in its bucket read from or wrote to the cache,
// and at least one. It waits for up to the rule's MaxWait. If that is too short it takes nothing, and returns a *refusal.RateLimitedError with the
// time that it would take; that time is zero if the call needs more than a full bucket holds.
func (r *Limits) Wait(ctx context.Context, s *budget.Scope, likelyInput int64) (*Debit, error) {
	scope := splitBy(r.rule.Per, s)
	b := r.bucket([3]string{scope.Principal, scope.Workflow, scope.Model})
	now := time.Now()
	b.mu.Lock()
	b.used = now
	need := max(likelyInput-b.cached, 1)
	b.mu.Unlock()
	limited := &refusal.RateLimitedError{Scope: scope, Requested: budget.UncachedInputTokens(need), PerMinute: r.rule.UncachedInputTokensPerMinute}
	if need > r.rule.Burst {
		return nil, limited
	}
	taken := b.limiter.ReserveN(now, int(need)) // the bucket may go below zero; delay is the time until it is back at zero
	delay := taken.DelayFrom(now)
	if delay > r.rule.MaxWait {
		taken.CancelAt(now)
		limited.RetryAfter = delay
		return nil, limited
	}
	// CancelAt above undoes the taking at its own time. Here time has passed since, and Cancel undoes it at the present time.
	if err := sleep(ctx, delay); err != nil {
		taken.Cancel()
		return nil, err
	}
	return &Debit{bucket: b, tokens: need}, nil
}

// sleep waits for a time, or until the context ends: then it returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// splitBy returns the values of a scope by which a rate is split, so that calls with the same values share a bucket. The others are empty.
func splitBy(per budget.Per, s *budget.Scope) budget.Scope {
	var split budget.Scope
	if per&budget.PerPrincipal != 0 {
		split.Principal = s.Principal
	}
	if per&budget.PerWorkflow != 0 {
		split.Workflow = s.Workflow
	}
	if per&budget.PerModel != 0 {
		split.Model = s.Model
	}
	return split
}

// bucket returns the bucket of a scope, and makes a full one if there is none.
func (r *Limits) bucket(key [3]string) *bucket {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.buckets[key]
	if b == nil {
		if len(r.buckets) >= maxBuckets {
			r.dropOldest()
		}
		// The limiter begins with a full bucket, and refills it at a rate per second.
		perSecond := rate.Limit(float64(r.rule.UncachedInputTokensPerMinute) / 60)
		b = &bucket{limiter: rate.NewLimiter(perSecond, int(r.rule.Burst))}
		r.buckets[key] = b
	}
	return b
}

// dropOldest drops the bucket that was used longest ago. Requires mu held.
func (r *Limits) dropOldest() {
	var oldest [3]string
	var at time.Time
	for key, b := range r.buckets {
		b.mu.Lock()
		used := b.used
		b.mu.Unlock()
		if at.IsZero() || used.Before(at) { // at is zero for the first bucket
			oldest, at = key, used
		}
	}
	delete(r.buckets, oldest)
}

// Settle corrects the expected tokens to those that the answer reports, and remembers how many of its input tokens the cache spared, because the
// next call in this bucket is likely to be spared as many.
func (d *Debit) Settle(u price.Usage) {
	if d == nil {
		return
	}
	uncached := u.UncachedInputTokens()
	d.bucket.mu.Lock()
	// All that is not uncached was read from the cache or written to it.
	d.bucket.cached = u.InputTokens - uncached
	d.bucket.mu.Unlock()
	d.adjust(uncached - d.tokens)
}

// GiveBack returns what was taken for an attempt that consumed nothing.
func (d *Debit) GiveBack() {
	if d != nil {
		d.adjust(-d.tokens)
	}
}

// adjust takes n more tokens, or puts some back if n is negative. It does so in steps, because a limiter takes no more than its burst at a time.
func (d *Debit) adjust(n int64) {
	now := time.Now()
	burst := int64(d.bucket.limiter.Burst())
	for ; n > burst; n -= burst {
		d.bucket.limiter.ReserveN(now, int(burst))
	}
	// A limiter takes a negative number as tokens to put back; more than its burst would not fit into the bucket.
	d.bucket.limiter.ReserveN(now, int(max(n, -burst)))
}
