package bedrockguard

import (
	"errors"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/refusal"
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
	ErrRateLimited = refusal.ErrRateLimited
	// ErrUnpriced says that the call can't be priced. Such a call is refused, because it must not count as free. The error is an
	// *UnpricedError.
	ErrUnpriced = catalog.ErrUnpriced
	// ErrUnsupportedOperation says that the operation spends money in a way that the guard can't meter.
	ErrUnsupportedOperation = refusal.ErrUnsupportedOperation
	// ErrMalformedRequest says that the request can't be parsed, so that its cost has no bound. The error is a *MalformedError.
	ErrMalformedRequest = request.ErrMalformed
	// ErrIdentity says that Options.Identity could not name the caller.
	ErrIdentity = refusal.ErrIdentity
	// ErrUnauthenticated says that a proxy does not know the caller. Nothing is reserved or sent.
	ErrUnauthenticated = refusal.ErrUnauthenticated
	// ErrUnreachable says that a proxy could not sign a request or hand it on, or got no answer.
	ErrUnreachable = refusal.ErrUnreachable
	// ErrInstalled says that the guard is in the middleware stack already: a second one would count every call twice.
	ErrInstalled = refusal.ErrInstalled
	// ErrInvalidOptions says that New can't build a guard as asked. New returns all reasons, joined.
	ErrInvalidOptions = errors.New("bedrockguard: invalid options")
)

// ErrLooping says that a workflow repeats itself. The error is a *LoopError.
var ErrLooping = refusal.ErrLooping

// UnpricedError names the model or the feature that has no price, and what to do about it. It unwraps to ErrUnpriced.
type UnpricedError = catalog.UnpricedError

// MalformedError says where a request can't be parsed, without quoting it. It unwraps to ErrMalformedRequest.
type MalformedError = request.MalformedError
