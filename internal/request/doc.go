// Package request is what a reading tells of a request, whatever its dialect and the door that it comes through. A reading walks over the
// request once, in the order in which the cache reads it, and tells a Sink what there is. There are two sinks: the meter that bounds what the
// request can cost, and the prompt of the cache check. Facts stand here and in the readings: what media are likely to count, which fields change
// what is cached without being in the prompt, how long a cache point lives. What follows from a fact is each sink's own to judge.
package request
