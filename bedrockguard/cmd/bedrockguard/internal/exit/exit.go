// Package exit has the exit codes of the command, and the errors that lead to them.
package exit

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

// The exit codes. docs/command.md and the help list them.
const (
	CodeOK      = 0
	CodeFailure = 1
	CodeUsage   = 2 // the command line makes no sense
	CodeFound   = 3 // it is done, and found something that scripts should notice
	CodeStopped = 4 // of run, if the program failed after one of its calls was refused by the budget or killed
)

// Codes is what the help says of the exit codes.
const Codes = `Exit codes: 0 it is done; 1 it failed; 2 the command line makes no sense; 3 it is done, and there is something to look at: a kill that matches
no known account, an account without room in a policy, a finding, a problem, a balance that differs, a way to spend that is not closed.`

// Usage is an error of the command line.
type Usage struct{ Text string }

func (e *Usage) Error() string { return e.Text }

// UsageError returns the error of a command line that makes no sense.
func UsageError(format string, args ...any) error { return &Usage{fmt.Sprintf(format, args...)} }

// Misused turns an error of the command line's parser into a usage error.
func Misused(_ context.Context, _ *cli.Command, err error, _ bool) error { return &Usage{err.Error()} }

// Finding says that a command succeeded, but found something that scripts should notice. A command prints what it found by itself; What is
// the line that sums it up.
type Finding struct{ What string }

func (e *Finding) Error() string { return e.What }

// Found returns the error of a command that found what it says.
func Found(what string) error { return &Finding{what} }

// Child has the exit code of a program that the command has run. No message is printed for it.
type Child struct{ Code int }

func (e *Child) Error() string { return fmt.Sprintf("exit status %d", e.Code) }

// OfChild returns the error of a program that ended with an exit code.
func OfChild(code int) error { return &Child{code} }
