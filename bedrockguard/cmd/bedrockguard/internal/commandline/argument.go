package commandline

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
)

// Confirm asks a question, and returns whether the answer was yes.
func Confirm(c *cli.Command, question string) bool {
	fmt.Fprintf(c.Root().ErrWriter, "%s [yes/no] ", question)
	answer, _ := bufio.NewReader(c.Root().Reader).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}

// ReasonFlag says why a change is made.
func ReasonFlag() cli.Flag {
	return &cli.StringFlag{Name: "reason", Usage: "why, for the audit trail", HideDefault: true}
}

// ReadArgument reads the file in the only argument; - is standard input.
func ReadArgument(c *cli.Command) (name string, raw []byte, err error) {
	if c.Args().Len() != 1 {
		return "", nil, exit.UsageError("want one file, or - for standard input")
	}
	if name = c.Args().First(); name == "-" {
		raw, err = io.ReadAll(c.Root().Reader)
		return "standard input", raw, err
	}
	raw, err = os.ReadFile(name)
	return name, raw, err
}
