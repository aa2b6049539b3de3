package price

import "errors"

// The errors of this package.
var (
	// ErrOverflow says that an amount does not fit in an int64.
	ErrOverflow = errors.New("budget: amount overflows")
	// ErrInvalidUsage says that token counts are negative or contradict each other.
	ErrInvalidUsage = errors.New("budget: invalid usage")
)
