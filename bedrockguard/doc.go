// Package bedrockguard keeps an Amazon Bedrock client inside its budget. It is not related to Amazon Bedrock Guardrails,
// which filter content.
//
// A Guard installs itself in the middleware stack of the AWS SDK's own client, so that every framework that holds a
// *bedrockruntime.Client works unchanged:
//
//	guard, err := bedrockguard.New(ledger, bedrockguard.Options{})
//	client := guard.NewFromConfig(cfg) // was: bedrockruntime.NewFromConfig(cfg)
//
// Guard.Wrap guards a client that exists, Guard.InstallConfig those that others build from a config, Guard.Install is what all of them
// use. Options holds every setting: the prompt-cache policy, who pays, prices and discounts, timeouts, and who is told of events. A
// refused call returns one of the errors of this package or of budget: errors.Is(err, ErrBudgetExceeded). Guard.Kill stops a model or a
// workflow, Guard.Close waits for answers that are still read on. Package bedrocktest is a Bedrock for tests. The examples show each.
//
// # The way of one call
//
// The links of the chain nest in this order; each is a file of this package:
//
//	identify            Initialize step, once a call: operation, model, scope                identify.go
//	  cache             the prompt-cache check                                               cachelink.go
//	    describe        behind the serializer: what is asked for, at most                      look.go, converse.go, invoke.go
//	      [SDK's Retry]
//	        rate        Finalize step, once an attempt: uncached input tokens per scope        rate.go
//	          reserve   worst case into every matching limit, one atomic step of the store     attempt.go, estimate.go, pricing.go
//	            [SDK's signing]
//	              last look  Deserialize step, next to the transport: what changed is reserved anew    transport.go, look.go
//	                [transport], under a context of its own: answers are read on             detach.go, drain.go, stream.go
//	          resolve   settle or void, exactly once on every exit                             outcome.go, settle.go, answered.go
//
// Reservations sit inside the SDK's retry loop, because each of its attempts can be billed. An operation that spends and
// that the guard can't meter is refused; operations that cost nothing pass.
package bedrockguard
