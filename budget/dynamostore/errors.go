package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The errors of steps. The last two don't end a step: it waits a little, and begins anew.
var (
	errClosed   = errors.New("dynamostore: closed: open a new store")
	errReplaced = fmt.Errorf("%w: the table was deleted, recreated or restored since it was opened, or items of it are gone", driver.ErrLost)
	errNone     = fmt.Errorf("%w in the table: on its first start, set Options.Create; if it was there before, what was spent is forgotten", driver.ErrNoLedger)
	// errRestored is what Open returns for a copy, unless Options.Adopt is set.
	errRestored = errors.New("dynamostore: the table is a copy or was restored from a backup: what was spent since is not in it: open it with Adopt to accept that")
	// errMoved says that a condition of a transaction did not hold: somebody was faster, and the step is decided anew.
	errMoved = errors.New("dynamostore: other processes keep changing the same items")
	// errDrained says that a kill flag is about to be set: reservations wait for it.
	errDrained = errors.New("dynamostore: a kill flag is being set")
)

// movedError is errMoved with the items that did not meet their conditions, as they are stored.
type movedError struct {
	old map[int]item // by the action's index in the transaction; an item that does not exist is missing
}

func (e *movedError) Error() string        { return errMoved.Error() }
func (e *movedError) Is(target error) bool { return target == errMoved }

// transientError is a failure that may pass: nothing is known of what the request did, and the step can be repeated.
type transientError struct{ cause error }

func (e *transientError) Error() string { return e.cause.Error() }
func (e *transientError) Unwrap() error { return e.cause }

// conflictReason says that a transaction met another one in an item.
const conflictReason = "TransactionConflict"

// The reasons for which DynamoDB cancels a transaction that may go through later.
var transientReasons = map[string]bool{
	conflictReason: true, "ProvisionedThroughputExceeded": true, "ThrottlingError": true, "RequestLimitExceeded": true, "InternalServerError": true,
}

// The codes of errors after which a request may go through later, beside those that the SDK would retry by itself.
var transientCodes = map[string]bool{
	"TransactionConflictException": true, "TransactionInProgressException": true, "ProvisionedThroughputExceededException": true,
	"ThrottlingException": true, "RequestLimitExceeded": true, "InternalServerError": true, "ServiceUnavailable": true,
}

// retryables is how the SDK recognises what may pass: connections that broke, statuses 500 to 504, throttles.
var retryables = retry.IsErrorRetryables(retry.DefaultRetryables)

// classify turns an error of the SDK into a *movedError, a *transientError, or an error that is final. actions is how many the request had. A
// cancelled transaction has a reason for each of its actions, in their order. Only a condition that failed says anything about the ledger, and no
// reason is ever a denial by itself: the service does not promise to name every action that failed, so the decision is made on a read of all
// the items at one moment.
func classify(ctx context.Context, err error, actions int) error {
	if err == nil {
		return nil
	}
	var cancelled *types.TransactionCanceledException
	if errors.As(err, &cancelled) {
		return cancellation(cancelled, actions)
	}
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), err)
	}
	var api smithy.APIError
	if errors.As(err, &api) && transientCodes[api.ErrorCode()] || retryables.IsErrorRetryable(err) == aws.TrueTernary {
		return &transientError{err}
	}
	var unsent *smithyhttp.RequestSendError
	var unread *smithy.DeserializationError
	var network net.Error
	// api is nil if the service has not answered.
	if api == nil && (errors.As(err, &unsent) || errors.As(err, &unread) || errors.As(err, &network)) {
		return &transientError{err} // a connection that broke, a reply that was cut: the request may have been carried out
	}
	return err
}

// cancellation converts the reasons for which a transaction of so many actions was cancelled, one for each action. It returns a movedError if
// only conditions failed, a transientError if there is any reason that passes with time or none at all, and another error for anything else.
func cancellation(cancelled *types.TransactionCanceledException, actions int) error {
	if len(cancelled.CancellationReasons) != actions { // they can't be assigned to the actions
		return &transientError{fmt.Errorf("%d reasons for %d actions: %w", len(cancelled.CancellationReasons), actions, cancelled)}
	}
	moved := &movedError{old: make(map[int]item)}
	failed, passing := false, false // a condition failed; there is a reason that passes with time
	for i, reason := range cancelled.CancellationReasons {
		switch code := aws.ToString(reason.Code); {
		case code == "None" || code == "": // it was not this action
		case code == "ConditionalCheckFailed":
			failed = true
			if reason.Item != nil {
				moved.old[i] = reason.Item
			}
		case transientReasons[code]:
			passing = true
		default: // ValidationError, ItemCollectionSizeLimitExceeded, and what is not known yet
			return fmt.Errorf("dynamostore: transaction cancelled: action %d: %s: %w", i, code, cancelled)
		}
	}
	if failed && !passing {
		return moved
	}
	return &transientError{cancelled}
}

// missing reports whether the service does not know the table.
func missing(err error) bool {
	var gone *types.ResourceNotFoundException
	return errors.As(err, &gone)
}
