// Package prompt is the form of a request, as far as prompt caching depends on it: the blocks that a model reads, in order, and the cache points
// between them.
//
// ParseBody reads them from the JSON of a request, and EditBody changes the cache points in that JSON and nothing else. Any other front door calls
// Enter, Message, Block and so on for each part of a request, in the order in which the service reads them. What the points are good for is package
// cache's to judge: see cache.Lint, cache.Tracker and cache.Place.
//
// A request's text never leaves a Prompt: Record gives hashes and sizes, by which requests are compared, Volatile and CountsAtLeast give what they
// find in a text, and a Memory knows texts by where they lie.
package prompt
