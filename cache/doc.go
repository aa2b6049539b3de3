// Package cache knows how prompt caching on Amazon Bedrock works and fails: which requests will not cache, which caches
// silently stopped working, and what either costs. It is pure: no I/O, no clock, no AWS types, no budgets. Time is an
// argument. Texts of a prompt never leave it: a Finding tells places, sizes and prices.
//
// A request becomes a Prompt, an ordered list of blocks with the cache points between them. ParseBody reads one from the JSON
// of a request, and EditBody changes the cache points in there and nothing else. What looks at a Prompt:
//
//   - Lint judges a single request, the first one included.
//   - A Tracker compares a request with what its workflow sent before, and the response's Usage with what it should have
//     been. A workflow whose cache stopped working trips.
//   - Place says where cache points should stand, and Tracker.Fix where they pay, by what the workflow sent before.
//
// A Policy says what is to be done about findings. The guard's chain asks all of them; nothing here acts by itself.
package cache
