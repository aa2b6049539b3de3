package storetest

import (
	"math"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// NewChange returns a change that has seen everything, so that nothing supersedes it.
func NewChange() budget.Change { return budget.Change{ID: budget.NewID(), Seen: math.MaxInt64} }
