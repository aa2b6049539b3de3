package storetest

import (
	"iter"
	"math"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// NewChange returns a change with an id of its own that is made whatever was changed before: its caller has seen all changes.
func NewChange() driver.Change { return driver.Change{ID: driver.NewID(), Seen: math.MaxInt64} }

// Collect returns what a sequence yields until it ends or tells an error.
func Collect[T any](all iter.Seq2[T, error]) (list []T, err error) {
	for one, err := range all {
		if err != nil {
			return list, err
		}
		list = append(list, one)
	}
	return list, nil
}

// Done returns only the error of a method, such as budget.Operator.Kill, that also returns how many accounts a change touches.
func Done(_ int, err error) error { return err }
