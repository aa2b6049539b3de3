package driver

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget/internal/quote"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// Unit is what a limit counts. The zero value is no unit and is refused wherever a unit is needed.
type Unit uint8

// The units that a limit can count.
const (
	UnitUSD                   Unit = iota + 1 // nano-USD at gross list price
	UnitUncachedInputTokens                   // InputTokens - CacheReadInputTokens - CacheWriteInputTokens
	UnitInputTokens                           // every input token, however it was billed
	UnitCacheReadInputTokens                  // input tokens read from the prompt cache
	UnitCacheWriteInputTokens                 // input tokens written to the prompt cache, all TTLs together
	UnitOutputTokens                          // output tokens, reasoning included
	UnitCalls                                 // attempts that reached the service
)

// NumUnits is the length of a Charge: units count from 1, and index 0 stays unused.
const NumUnits = 8

// unitNames are the names of the units, in the plural, as String prints them and UnmarshalText reads them.
var unitNames = [NumUnits]string{"", "USD", "uncached input tokens", "input tokens", "cache read input tokens", "cache write input tokens", "output tokens", "calls"}

// String returns the unit's name as errors print it.
func (u Unit) String() string {
	if !u.Valid() {
		return "unit(" + strconv.Itoa(int(u)) + ")"
	}
	return unitNames[u]
}

// Valid reports whether u is one of the units above.
func (u Unit) Valid() bool { return u >= UnitUSD && u <= UnitCalls }

// Quantity is a number of units. For UnitUSD, N counts nano-USD. The zero value has no unit and is refused as a limit.
type Quantity struct {
	N    int64
	Unit Unit
}

// String prints the quantity with its unit: "200 USD", "0.031 USD", "2000000 input tokens".
func (q Quantity) String() string {
	if q.Unit == UnitUSD {
		return price.Amount(q.N).String()
	}
	name := q.Unit.String()
	if q.N == 1 {
		name = strings.TrimSuffix(name, "s")
	}
	return strconv.FormatInt(q.N, 10) + " " + name
}

// MarshalText writes what String prints, except that a unit is always in the plural. For a quantity without a unit or below zero, it returns
// ErrInvalidPolicy.
func (q Quantity) MarshalText() ([]byte, error) {
	if !q.Unit.Valid() || q.N < 0 {
		return nil, fmt.Errorf("%w: %d of %s", ErrInvalidPolicy, q.N, q.Unit)
	}
	if q.N == 1 && q.Unit != UnitUSD {
		return []byte("1 " + q.Unit.String()), nil // "1 calls": earlier releases can't read "1 call"
	}
	return []byte(q.String()), nil
}

// UnmarshalText reads a number and a unit: "50 USD", "0.25 USD", "2000000 input tokens", "100 calls", "1 call". Underscores may separate
// thousands. USD has at most nine decimals, everything else none.
func (q *Quantity) UnmarshalText(text []byte) error {
	number, name, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	name = strings.TrimSpace(name)
	unit := Unit(0)
	for u := UnitUSD; u.Valid(); u++ {
		// Each name is in the plural, and read in the singular, too, as in "1 call". USD has no singular.
		if unitNames[u] == name || u != UnitUSD && unitNames[u] == name+"s" {
			unit = u
		}
	}
	if unit == 0 {
		return fmt.Errorf("%w: %q names no unit: want a number and one of %s", ErrInvalidPolicy, quote.Clip(string(text)), strings.Join(unitNames[1:], ", "))
	}
	n, problem := parseDecimal(number, unit == UnitUSD)
	if problem != "" {
		return fmt.Errorf("%w: %q: %s", ErrInvalidPolicy, quote.Clip(string(text)), problem)
	}
	*q = Quantity{n, unit}
	return nil
}

// parseDecimal reads a number from 0 on: an amount of money with up to nine decimals, of which it returns the billionths, and anything else as a
// whole number. Underscores in it are left out. If it can't, problem says why.
func parseDecimal(text string, money bool) (n int64, problem string) {
	whole, fraction, decimal := strings.Cut(strings.ReplaceAll(text, "_", ""), ".")
	digits := 0
	if money {
		digits = 9
	}
	switch {
	case decimal && !money:
		return 0, "not a whole number"
	case decimal && (fraction == "" || len(fraction) > digits):
		return 0, fmt.Sprintf("want 1 to %d decimals", digits)
	case strings.Trim(whole+fraction, "0123456789") != "" || whole == "":
		return 0, "not a number from 0 on"
	}
	// With nine digits behind the point, of which those that are not written are zeros, an amount of money is a number of billionths.
	n, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", digits-len(fraction)), 10, 64)
	if err != nil {
		return 0, "beyond the largest amount"
	}
	return n, ""
}
