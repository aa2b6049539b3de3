// Package wire reads what Bedrock answers: usage in the JSON of every dialect, and the event streams of the streaming operations. It knows neither
// smithy nor the SDK's client. Requests are read by package jsonbody.
package wire
