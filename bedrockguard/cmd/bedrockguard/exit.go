package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// The exit codes. docs/command.md and the help list them.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitFound   = 3
)

const exitCodes = `Exit codes: 0 it is done; 1 it failed; 2 the command line makes no sense; 3 it is done, and there is something to look at: a kill that matches
no known account, an account without room in a policy, a finding, a problem, a balance that differs, a way to spend that is not closed.`

// usage is an error of the command line.
type usage struct{ text string }

func (e *usage) Error() string { return e.text }

func usageError(format string, args ...any) error { return &usage{fmt.Sprintf(format, args...)} }

// misused turns an error of the command line's parser into a usage error.
func misused(_ context.Context, _ *cli.Command, err error, _ bool) error { return &usage{err.Error()} }

// found says that a command succeeded, but found something that scripts should notice. It is printed already.
type found struct{ what string }

func (e *found) Error() string { return e.what }

// report prints an error, and returns the exit code for its kind.
func report(w io.Writer, err error) int {
	var misuse *usage
	var noticed *found
	if child, ok := errors.AsType[*childExit](err); ok {
		return child.code
	}
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &noticed):
		fmt.Fprintf(w, "bedrockguard: %s\n", printable(noticed.what))
		return exitFound
	case errors.As(err, &misuse):
		fmt.Fprintf(w, "bedrockguard: %s\n", printable(misuse.text))
		return exitUsage
	}
	fmt.Fprintf(w, "bedrockguard: %s\n", printableLines(err.Error()))
	if advice := adviceFor(err); advice != "" {
		fmt.Fprintf(w, "%s\n", advice)
	}
	return exitFailure
}

// adviceFor returns what to do about an error whose text does not know this command.
func adviceFor(err error) string {
	switch {
	case errors.Is(err, budget.ErrLost):
		return "Look at what is left with status, and accept it with: bedrockguard accept-loss --reason \"…\""
	case errors.Is(err, budget.ErrNoLedger), noTable(err):
		return "If this is the first start, make the ledger with: bedrockguard init. If there was one, it is gone."
	}
	for _, option := range [...][2]string{
		{"Options.AllowEviction", "allow-eviction=true"}, {"Options.AllowNoAppendOnly", "allow-no-append-only=true"}, {"Options.AllowVolatile", "allow-volatile=true"},
	} {
		if strings.Contains(err.Error(), option[0]) {
			return "Here " + option[0] + " is the parameter " + option[1] + " of the store's address."
		}
	}
	return ""
}
