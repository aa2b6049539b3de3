package pgstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The first two are losses: the ledger can't be trusted any more, and each step returns driver.ErrLost.
var (
	errReplaced  = loss("it was emptied, replaced or set back since it was opened, or rows of it are gone")
	errForgotten = loss("the server's clock went back behind the time up to which sums were forgotten")
	errNone      = fmt.Errorf("%w in the schema: on its first start, set Options.Create; if it was there before, what was spent is forgotten", driver.ErrNoLedger)
)

// loss is a driver.ErrLost. Its text has no user data.
type loss string

// Error says what was lost.
func (l loss) Error() string { return driver.ErrLost.Error() + ": " + string(l) }

// Unwrap returns driver.ErrLost.
func (l loss) Unwrap() error { return driver.ErrLost }

// problem is an error that this package finds itself. Its text has no user data.
type problem string

// Error says what is wrong and what to do.
func (p problem) Error() string { return string(p) }

const (
	errClosed   = problem("the store is closed: open a new one")
	errStandby  = problem("the server is a standby or read-only: connect to the primary")
	errVolatile = problem("fsync or synchronous_commit is off, so a crash forgets what was acknowledged: turn them on, or set Options.AllowVolatile")
	errForeign  = problem("the schema holds tables of something else: name another in Options.Schema")
	errAnswer   = problem("the server's answer can't be understood")
	errNoListen = problem("Options.Listen names no connection to listen on: kill flags have to be polled")
	errUnaware  = problem("the flag is set, but transactions that were under way before have not ended and may still admit: set it again, and look for long ones in pg_stat_activity")
	errTwice    = problem("two lines name one account")
)

// SQLSTATEs of the schema's functions to which the store reacts.
const (
	codeReplaced = "BG001" // the ledger is another one, or older, than the caller knows
	codeMissing  = "BG004" // accounts have to be made, or more of them locked, or the step needs a transaction of its own
)

// ownCodes are the errors for SQLSTATEs that the schema's functions raise, and for 25006, with which a read-only server refuses to write. BG006,
// which they raise if a newer library has written to the ledger, is not among them: its message says what to do.
var ownCodes = map[string]error{codeReplaced: errReplaced, "BG002": errStandby, "BG003": errVolatile, "BG005": errForgotten, "25006": errStandby}

// stepError is a failed step. Its text has no connection parameters, unlike the texts of pgx's errors.
type stepError struct {
	step  string
	cause error
}

// failed wraps the error of a step. A nil stays nil.
func failed(step string, err error) error {
	if err == nil {
		return nil
	}
	return &stepError{step, err}
}

// Error names the step and what went wrong.
func (e *stepError) Error() string { return "pgstore: " + e.step + ": " + plain(e.cause) }

// Unwrap returns the error of pgx, of this package or of the context, and, if it is a refusal of the server that means a loss, that loss.
func (e *stepError) Unwrap() []error {
	var refused *pgconn.PgError
	if errors.As(e.cause, &refused) && errors.Is(ownCodes[refused.Code], driver.ErrLost) {
		return []error{e.cause, ownCodes[refused.Code]}
	}
	return []error{e.cause}
}

// plain returns an error's text without hosts, users and databases: the text of errors that have none, and a text of its own for all others.
func plain(err error) string {
	var own problem
	var refused *pgconn.PgError
	var errno syscall.Errno
	var network net.Error
	var lost loss
	switch {
	case errors.As(err, &own):
		return own.Error()
	case errors.As(err, &lost):
		return lost.Error()
	case errors.Is(err, driver.ErrNoLedger):
		return err.Error()
	case errors.As(err, &refused):
		return refusal(refused)
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "canceled by the caller"
	case errors.As(err, &errno):
		return "no connection: " + errno.Error()
	case errors.As(err, &network), isConnect(err):
		return "no connection"
	default:
		return "the connection was lost"
	}
}

// refusal is plain for an error of the server: the text of this package's own error that stands for its code, or what the server says.
func refusal(refused *pgconn.PgError) string {
	if own, known := ownCodes[refused.Code]; known {
		return own.Error()
	}
	// advice is empty for most codes.
	return fmt.Sprintf("the server refused: %s (SQLSTATE %s)%s", refused.Message, refused.Code, advice[refused.Code])
}

// advice says what to do about refusals with a common cause.
var advice = map[string]string{
	"42501": ": grant the role USAGE on the schema, or let a role with CREATE on the database open the ledger first",
	"55P03": ": another transaction holds an account: look for long ones in pg_stat_activity",
	"57014": ": the step took longer than Options.Timeout or its context allowed",
	"53300": ": raise max_connections or lower the pool's size",
}

// isCode reports whether err is a refusal of the server with the given SQLSTATE.
func isCode(err error, code string) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == code
}

// isConnect reports whether err says that no connection could be made.
func isConnect(err error) bool {
	var connect *pgconn.ConnectError
	return errors.As(err, &connect)
}

// repetition says how often a failed step is tried again.
type repetition int

const (
	never          repetition = iota
	whileTimeLasts            // others held locks, or changed the same rows
	aFewTimes                 // the connection broke or could not be made
)

// retry says how often to try again after an error. Repeating is always safe, because steps are idempotent, but only useful for some errors. An
// error that is neither the server's refusal nor one of this package or of the context is one of the connection.
func retry(err error) repetition {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case "40P01", "40001", "55P03", codeMissing: // deadlock, serialization failure, lock timeout, an account forgotten while it was made
			return whileTimeLasts
		case "57P01", "57P02", "57P03": // the session or the server is shutting down, or the server is starting
			return aFewTimes
		}
		if len(refused.Code) == 5 && refused.Code[:2] == "08" { // the class of connection errors
			return aFewTimes
		}
		return never
	}
	var own problem
	if errors.Is(err, driver.ErrLost) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &own) {
		return never
	}
	return aFewTimes
}
