// Package bedrocktest is a simulated Amazon Bedrock runtime on loopback, for tests of code that spends money there. It
// speaks the service's wire formats, models the prompt cache, injects faults on a script, and keeps its own bill from its
// own price table: an oracle that shares nothing with the guard.
//
// Where the real service is lenient or undocumented, the simulator is strict: unknown members, duplicate keys and
// unpaired tool results are refused, and every request that it received is billed unless it was answered with 400, 403,
// 404, 429 or 503, whether the client saw the answer or not.
//
//	server := bedrocktest.New(t, bedrocktest.Options{})
//	client := bedrockruntime.NewFromConfig(server.Config())
//	...
//	server.Bill().NanoUSD
package bedrocktest
