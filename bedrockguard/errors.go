package bedrockguard

import (
	"errors"
	"fmt"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// The outcomes that a caller branches on, besides budget.ErrKilled, budget.ErrStore and cache.ErrRefused. All survive
// the SDK's wrapping, in streams too (stream.Err()), and none looks retryable to the SDK's retryer.
var (
	// ErrBudgetExceeded is budget.ErrExceeded: a limit has no room for the call. The error is a *budget.ExceededError.
	ErrBudgetExceeded = budget.ErrExceeded
	// ErrRateLimited says that the scope's rate of uncached input tokens is used up. The error is a *RateLimitedError.
	ErrRateLimited = errors.New("bedrockguard: rate limited")
	// ErrUnpriced says that the call can't be priced. Such a call is refused, because it must not count as free. The error is an
	// *UnpricedError.
	ErrUnpriced = catalog.ErrUnpriced
	// ErrUnsupportedOperation says that the operation spends money in a way that the guard can't meter.
	ErrUnsupportedOperation = errors.New("bedrockguard: unsupported operation")
	// ErrMalformedRequest says that the request can't be parsed, so that its cost has no bound. The error is a *MalformedError.
	ErrMalformedRequest = request.ErrMalformed
	// ErrIdentity says that Options.Identity could not name the caller.
	ErrIdentity = errors.New("bedrockguard: caller's identity unknown")
	// ErrUnauthenticated says that a proxy does not know the caller. Nothing is reserved or sent.
	ErrUnauthenticated = errors.New("bedrockguard: unauthenticated")
	// ErrUnreachable says that a proxy could not sign a request or hand it on, or got no answer.
	ErrUnreachable = errors.New("bedrockguard: Bedrock can't be reached")
	// ErrInstalled says that the guard is in the middleware stack already: a second one would count every call twice.
	ErrInstalled = errors.New("bedrockguard: installed twice on one client")
	// ErrInvalidOptions says that New can't build a guard as asked. New returns all reasons, joined.
	ErrInvalidOptions = errors.New("bedrockguard: invalid options")
)

// UnpricedError names the model or the feature that has no price, and what to do about it. It unwraps to ErrUnpriced.
type UnpricedError = catalog.UnpricedError

// MalformedError says where a request can't be parsed, without quoting it. It unwraps to ErrMalformedRequest.
type MalformedError = request.MalformedError

// RateLimitedError says how long the scope's token bucket needs to refill. It unwraps to ErrRateLimited.
type RateLimitedError struct {
	Scope      budget.Scope
	Requested  budget.Quantity // uncached input tokens that the call is expected to need
	PerMinute  int64           // the rate in force
	RetryAfter time.Duration   // 0 when the call is larger than the bucket and never fits
}

// Error prints the numbers and what to do.
func (e *RateLimitedError) Error() string {
	who := e.Scope.String()
	if who != "" {
		who = " for " + who
	}
	advice := "larger than the burst: shorten the prompt or raise Rate.Burst"
	if e.RetryAfter > 0 {
		advice = "retry after " + e.RetryAfter.Round(time.Millisecond).String()
	}
	return fmt.Sprintf("bedrockguard: rate limited%s: need %s at %d per minute: %s", who, e.Requested, e.PerMinute, advice)
}

// Unwrap returns ErrRateLimited.
func (e *RateLimitedError) Unwrap() error { return ErrRateLimited }

// RetryableError reports false, so that the SDK does not retry inside its own loop: the guard has waited already.
func (e *RateLimitedError) RetryableError() bool { return false }

// refusedError keeps the SDK from retrying refusals whose text or cause looks like a broken connection.
type refusedError struct{ error }

func (e refusedError) Unwrap() error { return e.error }

// RetryableError reports false.
func (refusedError) RetryableError() bool { return false }
