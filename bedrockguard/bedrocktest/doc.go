// Package bedrocktest is a simulated Amazon Bedrock runtime on loopback, for tests of code that spends money there. It
// speaks the service's wire formats, models the prompt cache, injects faults on a script, and keeps its own bill from its
// own price table: an oracle that shares nothing with the guard.
//
// The bill is at least the service's. Prices go by the model and the region that a call is made from, service tiers by both; what
// has no tokens, such as images, seconds, search units and the text units of guardrails, is on it, and so is the text that the service
// adds to a prompt: hidden.go and framing.go say of each figure where it is from. Options.Serve lets another model, tier or mode answer.
//
// Options.Reply scripts the model: Turns a conversation, Answer a reply of blocks, When the faults of some requests; quotas, models and
// guardrails are Options, too. docs/testing.md shows tests of agents.
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
