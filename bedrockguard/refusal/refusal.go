// Package refusal has the errors with which a guard refuses a call, besides those of budget and cache. Package bedrockguard has another name
// for each, so that its users need not import this package.
package refusal

import (
	"errors"
	"fmt"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// The errors that a caller tells apart with errors.Is, besides those of budget, cache, the catalog of models and the reading of requests. None looks
// retryable to the SDK's retryer.
var (
	// ErrRateLimited says that the scope's rate of uncached input tokens is used up. The error is a *RateLimitedError.
	ErrRateLimited = errors.New("bedrockguard: rate limited")
	// ErrLooping says that a workflow repeats itself. The error is a *LoopError.
	ErrLooping = errors.New("bedrockguard: looping")
	// ErrUnsupportedOperation says that the operation spends money in a way that the guard can't meter. The error is an
	// *UnsupportedOperationError or an *UnknownHostError.
	ErrUnsupportedOperation = errors.New("bedrockguard: unsupported operation")
	// ErrIdentity says that Options.Identity could not name the caller.
	ErrIdentity = errors.New("bedrockguard: caller's identity unknown")
	// ErrUnauthenticated says that a proxy does not know the caller. Nothing is reserved or sent.
	ErrUnauthenticated = errors.New("bedrockguard: unauthenticated")
	// ErrUnreachable says that a proxy could not sign a request or hand it on, or got no answer.
	ErrUnreachable = errors.New("bedrockguard: Bedrock can't be reached")
	// ErrInstalled says that the guard is in the middleware stack already: a second one would count every call twice.
	ErrInstalled = errors.New("bedrockguard: installed twice on one client")
)

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

// LoopError says which field of Brakes refused a call. It unwraps to ErrLooping.
type LoopError struct {
	Scope budget.Scope // principal, workflow and tags
	What  string       // what was repeated, such as "identical requests"
	Count int          // how often in a row, including this call
	Most  int          // the number that Brakes allows
}

// Error prints the numbers and what to do.
func (e *LoopError) Error() string {
	who := e.Scope.String()
	if who != "" {
		who = " for " + who
	}
	return fmt.Sprintf("bedrockguard: looping%s: %d %s in a row, at most %d: change what is asked, or end the run; raise Options.Brakes if it is meant to be so", who, e.Count, e.What, e.Most)
}

// Unwrap returns ErrLooping.
func (e *LoopError) Unwrap() error { return ErrLooping }

// RetryableError reports false: the same request would be refused again.
func (e *LoopError) RetryableError() bool { return false }

// UnsupportedOperationError names the operation that was refused. It unwraps to ErrUnsupportedOperation.
type UnsupportedOperationError struct{ Operation string }

// Error says what to do instead.
func (e *UnsupportedOperationError) Error() string {
	return fmt.Sprintf("bedrockguard: unsupported operation %s: it is billed in a way that the guard can't meter: give Options.FlatPrices the most that one call can cost, or call it on a client of its own, outside the budget", e.Operation)
}

// Unwrap returns ErrUnsupportedOperation.
func (e *UnsupportedOperationError) Unwrap() error { return ErrUnsupportedOperation }

// RetryableError reports false.
func (e *UnsupportedOperationError) RetryableError() bool { return false }

// UnknownHostError is the refusal of a request that has a path of Bedrock's and a host that is not known to be Bedrock. It unwraps to
// ErrUnsupportedOperation.
type UnknownHostError struct{ Host string }

// Error says what to do.
func (e *UnknownHostError) Error() string {
	return fmt.Sprintf("bedrockguard: unknown host %q: the path is one of Bedrock's, and the region whose prices apply is not known: name the host in TransportOptions.Hosts, with its region, or with none if it is not Bedrock", e.Host)
}

// Unwrap returns ErrUnsupportedOperation.
func (e *UnknownHostError) Unwrap() error { return ErrUnsupportedOperation }
