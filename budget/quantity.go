package budget

import (
	"math"
	"strconv"
	"strings"

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

// USD returns an amount of money, rounded to the nearest nano-USD. It is meant for configuration; later arithmetic uses no floats. NaN,
// infinities and anything beyond int64 nano-USD give a negative Quantity, which Open refuses.
func USD(dollars float64) Quantity {
	n := math.Round(dollars * float64(price.Dollar))
	if math.IsNaN(n) || n >= math.MaxInt64 || n <= math.MinInt64 {
		return Quantity{N: math.MinInt64, Unit: UnitUSD}
	}
	return Quantity{N: int64(n), Unit: UnitUSD}
}

// UncachedInputTokens returns a number of input tokens that were neither read from the prompt cache nor written to it.
func UncachedInputTokens(n int64) Quantity { return Quantity{N: n, Unit: UnitUncachedInputTokens} }

// InputTokens returns a number of input tokens, cached ones included.
func InputTokens(n int64) Quantity { return Quantity{N: n, Unit: UnitInputTokens} }

// CacheReadInputTokens returns a number of input tokens read from the prompt cache.
func CacheReadInputTokens(n int64) Quantity { return Quantity{N: n, Unit: UnitCacheReadInputTokens} }

// CacheWriteInputTokens returns a number of input tokens written to the prompt cache.
func CacheWriteInputTokens(n int64) Quantity { return Quantity{N: n, Unit: UnitCacheWriteInputTokens} }

// OutputTokens returns a number of output tokens.
func OutputTokens(n int64) Quantity { return Quantity{N: n, Unit: UnitOutputTokens} }

// Calls returns a number of attempts sent to the service. The SDK's retries count one each: each can be billed.
func Calls(n int64) Quantity { return Quantity{N: n, Unit: UnitCalls} }

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
