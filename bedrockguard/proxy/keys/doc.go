// Package keys holds the virtual keys by which callers of the proxy are known: who pays, under which tags, and until when.
//
// No secret is stored. A bearer key is 256 random bits, of which the book holds the SHA-256. The secret of an AWS key pair is derived from
// the access key id by a master key, which stands in a file or a variable of the proxy alone; two may be valid at once, so that it can be
// replaced while clients go on with what they have.
//
//	master key A          every pair is made by A
//	master keys B, A      new pairs are made by B; those of A still work: hand out the new ones
//	master key B          the pairs of A are void
package keys
