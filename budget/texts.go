package budget

import (
	"fmt"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget/internal/quote"
)

// perNames are the names of the dimensions, in the order of their bits.
var perNames = [...]string{"principal", "workflow", "model", "region", "profile", "project"}

// String prints the dimensions, joined with |: "principal|model"; nothing for none.
func (p Per) String() string {
	var names []string
	for i, name := range perNames {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

// MarshalText writes what String prints, or returns ErrInvalidPolicy for unknown bits.
func (p Per) MarshalText() ([]byte, error) {
	if p&^perAll != 0 {
		return nil, fmt.Errorf("%w: Per holds unknown bits", ErrInvalidPolicy)
	}
	return []byte(p.String()), nil
}

// UnmarshalText reads what String prints.
func (p *Per) UnmarshalText(text []byte) error {
	var read Per
	if len(text) > 0 {
		for name := range strings.SplitSeq(string(text), "|") {
			one, ok := perOf(name)
			if !ok {
				return fmt.Errorf("%w: %q is no dimension: want %s", ErrInvalidPolicy, quote.Clip(name), strings.Join(perNames[:], ", "))
			}
			read |= one
		}
	}
	*p = read
	return nil
}

// perOf returns the dimension of a name, and whether there is one.
func perOf(name string) (Per, bool) {
	for i := range perNames {
		if perNames[i] == name {
			return 1 << i, true
		}
	}
	return 0, false
}
