// Package request has what all readers of requests share, whatever the dialect of a request and the way it comes in. Its subpackages converse and
// jsonbody read a request: they walk over it once and call a Sink for each part that they find. There are two kinds of sink: the meter, which bounds
// what the request can cost, and the prompt of the cache check. Facts stand here and in the readers: what media are likely to count, which fields
// change what is cached without being in the prompt, how long a cache point lives. What follows from a fact is for each sink to judge.
package request
