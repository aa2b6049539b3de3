package price

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/checked"
)

// Amount is money in nano-USD. Its range is about 9.2 billion USD in both directions; arithmetic beyond that is an error.
type Amount int64

// Dollar is one US dollar.
const Dollar Amount = 1_000_000_000

// Add returns a+b, or ErrOverflow.
func (a Amount) Add(b Amount) (Amount, error) {
	n, ok := checked.Add(int64(a), int64(b))
	if !ok {
		return 0, fmt.Errorf("%w: %d + %d nano-USD", ErrOverflow, int64(a), int64(b))
	}
	return Amount(n), nil
}

// String prints the exact amount in dollars without trailing zeros: "0.0125 USD".
func (a Amount) String() string {
	sign, u := "", uint64(a)
	if a < 0 {
		sign, u = "-", -u // of uint64, so that the lowest int64 has its right value, too
	}
	s := strconv.FormatUint(u/uint64(Dollar), 10)
	if frac := u % uint64(Dollar); frac != 0 {
		s += "." + strings.TrimRight(fmt.Sprintf("%09d", frac), "0")
	}
	return sign + s + " USD"
}
