// Command pricetable checks the table of models and prices, and puts it in its order.
//
//	go run ./internal/catalog/pricetable              # rewrite internal/catalog/models.json
//	go run ./internal/catalog/pricetable -quote <ids  # print prices, for comparisons with other tables
//
// With -quote it reads lines of a model id, a tab and a region, and prints a line of JSON for each: the final rates in
// pico-USD per token, the factors of the service tiers in thousandths, and the fees in nano-USD.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
)

func main() {
	path := flag.String("file", "internal/catalog/models.json", "the table")
	quote := flag.Bool("quote", false, "print the prices of the ids and regions on standard input")
	flag.Parse()
	var err error
	if *quote {
		err = printQuotes(os.Stdout, os.Stdin)
	} else {
		err = rewrite(*path)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pricetable:", err)
		os.Exit(1)
	}
}

// rewrite replaces the file with its sorted form, and prints whether that has changed it.
func rewrite(path string) error {
	before, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var after bytes.Buffer
	if err := catalog.FormatModels(&after, bytes.NewReader(before)); err != nil {
		return err
	}
	if bytes.Equal(before, after.Bytes()) {
		fmt.Println(path, "is in order")
		return nil
	}
	fmt.Println(path, "is rewritten")
	return os.WriteFile(path, after.Bytes(), 0o644)
}

// answer is what -quote prints for one id in one region. For an unknown id only Problem is set.
type answer struct {
	Model   string                `json:"model,omitempty"`
	Assumed bool                  `json:"assumed"`
	Price   price.Price           `json:"price"`
	Fees    catalog.Fees          `json:"fees"`
	Media   catalog.MediaRates    `json:"media"`
	Tiers   map[string]price.Tier `json:"tiers"`
	Problem string                `json:"problem,omitempty"`
}

// printQuotes writes an answer for each line of r.
func printQuotes(w io.Writer, r io.Reader) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		id, region, _ := strings.Cut(lines.Text(), "\t")
		var a answer
		if r, err := catalog.Default().Lookup(id, region); err != nil {
			a.Problem = err.Error()
		} else {
			a = answer{Model: r.ModelID, Assumed: r.Assumed, Price: r.Price, Fees: r.Fees, Media: r.Media, Tiers: make(map[string]price.Tier)}
			for _, tier := range []string{"flex", "priority", "ultrafast"} {
				a.Tiers[tier] = r.ServedTier(tier)
			}
		}
		if err := enc.Encode(a); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return out.Flush()
}
