// Package wire reads Bedrock's own formats: the JSON bodies that InvokeModel takes and gives, one dialect a provider, and
// the event streams of the streaming operations. It knows neither smithy nor the SDK's client.
//
// Requests of every dialect go through one walk. It recognises what the dialects share (limits of the output, cache points,
// images, documents, tools) by its key and place, and counts everything else as text that the model reads: a dialect that
// is not known yet is bounded all the same. What could be read in two ways is read in the dearer one.
package wire
