package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/storeurl"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// report prints an error and what to do about it, and returns the exit code for its kind. Nothing is printed for a program that was run and has
// ended with an exit code of its own (exit.Child).
func report(w io.Writer, err error) int {
	if err == nil {
		return exit.CodeOK
	}
	if child, ok := errors.AsType[*exit.Child](err); ok {
		return child.Code
	}
	if finding, ok := errors.AsType[*exit.Finding](err); ok {
		fmt.Fprintf(w, "bedrockguard: %s\n", output.Printable(finding.What))
		return exit.CodeFound
	}
	if misuse, ok := errors.AsType[*exit.Usage](err); ok {
		fmt.Fprintf(w, "bedrockguard: %s\n", output.Printable(misuse.Text))
		return exit.CodeUsage
	}
	fmt.Fprintf(w, "bedrockguard: %s\n", output.PrintableLines(err.Error()))
	if advice := adviceFor(err); advice != "" {
		fmt.Fprintf(w, "%s\n", advice)
	}
	return exit.CodeFailure
}

// adviceFor returns what to do about an error of the library, whose text does not know the command's flags and verbs; empty if there is no advice. A
// store that refuses to open names in its error the option by which it would.
func adviceFor(err error) string {
	switch {
	case errors.Is(err, budget.ErrLost):
		return "Look at what is left with status, and accept it with: bedrockguard accept-loss --reason \"…\""
	case errors.Is(err, budget.ErrNoLedger), storeurl.NoTable(err):
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
