// Package cache holds what the guard does about prompt caching: its policy and the error of a call that the policy
// refuses. It is pure: no I/O, no clock, no AWS types.
//
// The guard's chain has a seat for a check between "killed?" and "rate". This version of the package brings no rules to
// sit in it, so no policy refuses anything yet; the types are here because callers configure and branch on them.
package cache

import (
	"errors"
	"fmt"
)

// Mode says what to do about a request whose prompt will not cache.
type Mode uint8

// The modes, from the mildest to the strictest.
const (
	Off    Mode = iota // do not look
	Report             // report findings as events
	Fix                // move, add or remove cache points where that is safe, and report
	Refuse             // refuse the call with a *RefusedError
)

var modeNames = [...]string{"off", "report", "fix", "refuse"}

// String returns the mode's name.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

// Policy configures the check. The zero value switches it off.
type Policy struct {
	Mode Mode
}

// Validate reports a mode that does not exist.
func (p Policy) Validate() error {
	if p.Mode > Refuse {
		return fmt.Errorf("cache: unknown mode %d", p.Mode)
	}
	return nil
}

// Finding is one reason why a prompt will not cache, or did not. It never holds prompt text.
type Finding struct {
	Rule   string // the rule's name
	Where  string // the place in the request: "system[0]", "messages[3].content[1]"
	Detail string // what is wrong there, and what to change
}

// ErrRefused says that the policy refused a call. The error is a *RefusedError.
var ErrRefused = errors.New("cache: call refused")

// RefusedError carries the findings for which a call was refused. It unwraps to ErrRefused.
type RefusedError struct {
	Findings []Finding
}

// Error names the first finding and how many there are.
func (e *RefusedError) Error() string {
	if len(e.Findings) == 0 {
		return "cache: call refused"
	}
	f := e.Findings[0]
	return fmt.Sprintf("cache: call refused: %s at %s: %s (%d findings)", f.Rule, f.Where, f.Detail, len(e.Findings))
}

// Unwrap returns ErrRefused.
func (e *RefusedError) Unwrap() error { return ErrRefused }

// RetryableError reports false: the same request is refused again.
func (e *RefusedError) RetryableError() bool { return false }
