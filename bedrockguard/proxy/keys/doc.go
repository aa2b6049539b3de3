// Package keys has the virtual keys of the proxy's callers. A key says who pays, with which tags, and until when it is valid.
//
// No secret is stored. A bearer key is 256 random bits, of which the book has the SHA-256. The secret of an AWS key pair is derived from the
// access key id with a master key, which is only in a file or a variable of the proxy. Two master keys may be valid at the same time, so
// that one can be replaced while clients keep their secrets:
//
//	master key A          every pair is made with A
//	master keys B, A      new pairs are made with B; those of A still work: distribute the new ones
//	master key B          the pairs of A are invalid
package keys
