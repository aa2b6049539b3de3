// Package cache knows how prompt caching on Amazon Bedrock works and fails: which requests will not be cached, which caches have
// stopped working unnoticed, and what either costs. It is pure: no I/O, no clock, no AWS types, no budgets. Time is an
// argument. The text of a prompt never leaves it: a Finding has only places, sizes and prices.
//
// A request is a prompt.Prompt, an ordered list of blocks with the cache points between them: package prompt reads one from the JSON of a request,
// and changes the cache points in that JSON. Whoever only sets a Policy does not need it. A Prompt is used by:
//
//   - Lint, which checks a single request, even the first one;
//   - a Tracker, which compares a request with what its workflow sent before, and the response's Usage with what was expected.
//     A workflow whose cache has stopped working trips: see Policy.Floor;
//   - Place, which says where cache points should be, and Tracker.Fix, which says where they pay, given what the workflow sent before.
//
// A Policy says what to do about findings. The guard uses all of them; this package itself refuses and changes nothing.
package cache
