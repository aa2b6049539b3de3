// Package bedrockguardgo is the map of the house; it holds no code.
//
//   - budget: the domain. Limits, policies, windows, scopes, and the Ledger that enforces them.
//   - budget/driver: what a Ledger asks of a Store, the contract included, and the values that pass between them.
//   - budget/price: amounts of money, prices of tokens, and what a usage costs.
//   - budget/lease: escrow leases in front of any store, so that most calls cost no round trip.
//   - budget/memstore: a store in memory, for one process.
//   - budget/sqlitestore: a durable store for the processes of one host (a module of its own).
//   - budget/redisstore, budget/pgstore, budget/dynamostore: stores for fleets (a module each).
//   - budget/verify: recomputes a ledger's balances from its entries.
//   - budget/storetest: the conformance suite that defines what a store is.
//   - bedrockguard: the guard, installed in the AWS SDK's own Bedrock runtime client, or in any HTTP client.
//   - bedrockguard/event: what a guard tells of its calls; bedrockguard/refusal: the errors with which it refuses them. bedrockguard has
//     another name for each, so that its users need neither.
//   - bedrockguard/proxy: an HTTP handler in front of Bedrock, for programs in any language; bedrockguard/proxy/sigv4 verifies the
//     signatures of its callers, bedrockguard/proxy/keys keeps their virtual keys: who pays, until when.
//   - bedrockguard/statuspage: a page over a ledger and a guard's events: what is spent, on what, how fast, and buttons that stop it.
//   - bedrockguard/otelguard: metrics and attributes of spans for OpenTelemetry, and so for Prometheus (a module of its own).
//   - bedrockguard/notify: tells a log, a webhook or Slack of thresholds, refusals and kills, each once.
//   - bedrockguard/stsidentity: names the caller by AWS STS (a module of its own).
//   - bedrockguard/cmd: commands. bedrockguard/cmd/bedrockguard shows who spends, and steers, over any store (a module of its own).
//   - bedrockguard/bedrocktest: a simulated Bedrock that keeps its own bill, for tests.
//   - bedrockguard/agenttest: what a user's test asserts of an agent's prompt caching.
//   - cache: prompt-cache knowledge: lint, tracker, usage check, placing of cache points. cache/prompt: the form of a request, its blocks and
//     cache points, read from JSON or told by a front door.
//   - internal/catalog: prices and limits of the models; internal/tokens: bounds on a prompt's tokens; internal/pixels: the
//     sizes of images; internal/wire: what Bedrock answers, as JSON and as event streams; internal/jsonscan: a strict JSON scanner;
//     internal/request: what a reading of a request tells, whatever its dialect; internal/request/converse: the reading of the SDK's values;
//     internal/request/jsonbody: the reading of JSON in any dialect; internal/request/cost: what a body can cost; internal/checked: arithmetic
//     that says when it does not fit; internal/servers: real servers for tests; internal/clients: clients that others wrote, internal/browser: the page in a browser (modules of their own).
//   - internal/robustness: the hard-cap test over processes, faults and kills (a module of its own).
//   - internal/tools: what releases, formats, lints and measures the house (modules of their own).
//   - examples: one task a folder (a module of its own).
package bedrockguardgo
