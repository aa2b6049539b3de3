package cache

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Mode says what to do about a finding.
type Mode uint8

// The modes, from the mildest to the strictest.
const (
	Off    Mode = iota // do not look
	Report             // report findings as events
	Fix                // place, move or remove cache points where that is safe and pays (see Tracker.Fix), and report the rest
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

// Policy configures the check. The zero value switches it off. It is a value; its maps must not be changed while it is in use.
type Policy struct {
	// Mode applies to every rule and workflow that the maps do not name. Refuse refuses requests with a mistake that the caller can correct
	// (RuleInfo.Mendable), requests that the service would reject, and requests of workflows that tripped (see Floor).
	Mode Mode

	// Rules sets the mode of single rules. With Refuse any rule refuses; Off ignores it. Fix makes a request that breaks the rule get new
	// cache points, wherever these pay.
	Rules map[Rule]Mode

	// Workflows sets the mode of workflows by name; a name that ends in * applies to all that begin so. The longest match counts. It
	// overrides Mode, and Rules overrides it.
	Workflows map[string]Mode

	// Floor is a share from 0 to 1: of the tokens that the last calls of a workflow could have read from the cache, so many have to be read.
	// Below it the workflow trips: its next call is refused in Refuse mode, and reported in any other. Zero means 0.5; a negative value
	// switches the floor off.
	Floor float64

	// MinPoints is how many cache points the caller means to send with each request, if the model accepts them. A request with fewer has
	// lost some, for example in a proxy or a library. Zero expects none.
	MinPoints int

	// HoldFanOut is how long a request may be held back while another one that runs at the same time writes its prefix to the cache: at most
	// until that one's response begins. Zero does not wait, and reports the fan-out.
	HoldFanOut time.Duration
}

const (
	defaultFloor = 0.5
	maxHold      = 5 * time.Minute // a signed request expires at this age
)

// Validate returns every reason why the policy can't be enforced, joined.
func (p Policy) Validate() error {
	var errs []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("cache: "+format, args...))
		}
	}
	add(p.Mode > Refuse, "unknown mode %d", p.Mode)
	for r, m := range p.Rules {
		_, known := r.Info()
		add(!known, "Rules names %.40q, which is no rule", string(r))
		add(m > Refuse, "unknown mode %d for the rule %q", m, r)
	}
	for w, m := range p.Workflows {
		add(m > Refuse, "unknown mode %d for a workflow", m)
		add(strings.Contains(strings.TrimSuffix(w, "*"), "*"), "a workflow's pattern may have a * at its end only")
	}
	// A negative Floor is allowed: it switches the floor off.
	add(p.Floor > 1 || math.IsNaN(p.Floor), "Floor %v is more than 1", p.Floor)
	add(p.MinPoints < 0, "MinPoints %d is negative", p.MinPoints)
	add(p.HoldFanOut < 0 || p.HoldFanOut > maxHold, "HoldFanOut %s is not in 0 to %s", p.HoldFanOut, maxHold)
	return errors.Join(errs...)
}

// Enabled reports whether the policy does anything at all.
func (p Policy) Enabled() bool {
	if p.Mode != Off {
		return true
	}
	for _, m := range p.Workflows {
		if m != Off {
			return true
		}
	}
	for _, m := range p.Rules {
		if m != Off {
			return true
		}
	}
	return false
}

// ModeOf returns the mode for a workflow, without regard to Rules: that of its exact name in Workflows, else that of the longest pattern that
// matches, else Mode.
func (p Policy) ModeOf(workflow string) Mode {
	mode, longest := p.Mode, -1
	for pattern, m := range p.Workflows {
		prefix, open := strings.CutSuffix(pattern, "*")
		matches := pattern == workflow || open && strings.HasPrefix(workflow, prefix)
		if matches && len(pattern) > longest {
			mode, longest = m, len(pattern)
			if pattern == workflow {
				longest = math.MaxInt // the exact name counts before any pattern
			}
		}
	}
	return mode
}

// Action returns what to do about a finding in a workflow: Off, Report or Refuse. In Fix mode the cache points were corrected before the request was
// checked, so that what is still found is only reported.
func (p Policy) Action(f Finding, workflow string) Mode {
	if m, named := p.Rules[f.Rule]; named {
		if m == Fix {
			return Report
		}
		return m
	}
	switch m := p.ModeOf(workflow); m {
	case Refuse:
		if info, ok := f.Rule.Info(); ok && (info.Mendable || info.Rejected) && !f.Suspected {
			return Refuse
		}
		return Report
	case Fix:
		return Report
	default:
		return m
	}
}

// floor returns Floor, or its default if it is zero.
func (p Policy) floor() float64 {
	if p.Floor == 0 {
		return defaultFloor
	}
	return p.Floor
}

// ErrRefused says that the policy refused a call. The error is a *RefusedError.
var ErrRefused = errors.New("cache: call refused")

// RefusedError has the findings for which a call was refused. It unwraps to ErrRefused.
type RefusedError struct {
	Findings []Finding
}

// Error prints the first finding and how many there are.
func (e *RefusedError) Error() string {
	if len(e.Findings) == 0 {
		return "cache: call refused"
	}
	more := ""
	if n := len(e.Findings) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more findings)", n)
	}
	return "cache: call refused: " + e.Findings[0].String() + more // a finding ends with what to do
}

// Unwrap returns ErrRefused.
func (e *RefusedError) Unwrap() error { return ErrRefused }

// RetryableError reports false: the same request is refused again.
func (e *RefusedError) RetryableError() bool { return false }
