// Command textcost serves the tools that count with real tokenizers.
//
//	textcost write DIR SIZE SEED...   writes a text of each kind, size and seed to DIR/KIND-SIZE-SEED.txt
//	textcost bound                    reads JSON strings, one a line, and prints the bound of each
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens/corpus"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "textcost:", err)
		os.Exit(1)
	}
}

// run carries out one of the two commands.
func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "bound":
		return bound()
	case len(args) > 3 && args[0] == "write":
		return write(args[1], args[2], args[3:])
	default:
		return fmt.Errorf("use textcost write DIR SIZE SEED... or textcost bound")
	}
}

// bound prints the bound of each JSON string on standard input as soon as it is read, for a caller that waits for it.
func bound() error {
	out := bufio.NewWriter(os.Stdout)
	in := json.NewDecoder(bufio.NewReaderSize(os.Stdin, 1<<20))
	for in.More() {
		var text string
		if err := in.Decode(&text); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, tokens.TextBound(text, false)); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// write writes a text of each kind for each seed, of so many bytes.
func write(dir, size string, seeds []string) error {
	bytes, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	for _, number := range seeds {
		seed, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return err
		}
		for _, kind := range corpus.Kinds() {
			name := filepath.Join(dir, fmt.Sprintf("%s-%d-%d.txt", kind, bytes, seed))
			if err := os.WriteFile(name, []byte(corpus.Generate(kind, seed, bytes)), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}
