package price

import "fmt"

// Usage is what one inference consumed, in the classes that are billed separately. InputTokens counts every input token; the three cache
// counts are parts of it. All counts are non-negative; Validate reports anything else.
type Usage struct {
	InputTokens             int64 // all of them: uncached + read + written
	CacheReadInputTokens    int64
	CacheWrite5mInputTokens int64 // written with a TTL of five minutes, or of unknown TTL
	CacheWrite1hInputTokens int64
	OutputTokens            int64 // including reasoning
}

// UncachedInputTokens is the project's one definition of the term: input tokens that were neither read from the cache
// nor written to it, and so are billed at the base rate.
func (u Usage) UncachedInputTokens() int64 {
	return u.InputTokens - u.CacheReadInputTokens - u.CacheWrite5mInputTokens - u.CacheWrite1hInputTokens
}

// Validate reports negative counts, and cache counts that exceed the input.
func (u Usage) Validate() error {
	if min(u.InputTokens, u.CacheReadInputTokens, u.CacheWrite5mInputTokens, u.CacheWrite1hInputTokens, u.OutputTokens) < 0 {
		return fmt.Errorf("%w: negative token count in %+v", ErrInvalidUsage, u)
	}
	rest := u.InputTokens - u.CacheReadInputTokens // both are non-negative, so this can't overflow
	if rest < u.CacheWrite5mInputTokens || rest-u.CacheWrite5mInputTokens < u.CacheWrite1hInputTokens {
		return fmt.Errorf("%w: cached tokens exceed the input in %+v", ErrInvalidUsage, u)
	}
	return nil
}
