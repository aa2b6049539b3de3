package storetest

import (
	"iter"
	"math"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// NewChange returns a change that has seen everything, so that nothing supersedes it.
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

// Done returns the error of a change that also tells how many accounts it touches.
func Done(_ int, err error) error { return err }
