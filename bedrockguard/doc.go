// Package bedrockguard keeps an Amazon Bedrock client inside its budget. It is not related to Amazon Bedrock Guardrails,
// which filter content.
//
// A Guard installs itself in the middleware stack of the AWS SDK's own client, so that every framework that holds a
// *bedrockruntime.Client works unchanged:
//
//	guard, err := bedrockguard.New(ledger, bedrockguard.Options{})
//	client := guard.NewFromConfig(cfg) // was: bedrockruntime.NewFromConfig(cfg)
//
// Guard.Wrap guards an existing client, Guard.InstallConfig the clients that others build from a config; both use Guard.Install. Options
// holds every setting: the prompt-cache policy, default scopes, prices and discounts, timeouts, and listeners for events. A
// refused call returns one of the errors of this package or of budget: errors.Is(err, ErrBudgetExceeded). Guard.Kill stops a model or a
// workflow, Guard.Close waits for answers that are still being read. Package bedrocktest is a simulated Bedrock for tests. There is an
// example of each.
//
// # How one call is handled
//
// A call comes through one of two doors: the middlewares in the SDK's stack (internal/sdkdoor), or the transport of an HTTP client
// (internal/httpdoor). Both run it through the same chain. The links nest in this order; files without a folder are in internal/chain:
//
//	identify            Initialize step, once a call: operation, model, scope                identify.go, internal/identity
//	  cache             the prompt-cache check                                               cachelink.go, internal/cachepoints
//	    describe        after the serializer: the most that is asked for                       look.go, internal/pricing
//	      [SDK's Retry]
//	        rate        Finalize step, once an attempt: uncached input tokens per scope        internal/ratelimit
//	          reserve   worst case into every matching limit, one atomic step of the store     attempt.go, estimate.go, internal/pricing
//	            [SDK's signing]
//	              last look  Deserialize step, next to the transport: reserves again after a change    transport.go, look.go
//	                [transport], under a context of its own: answers are read on             detach.go, stream.go, internal/drain
//	          resolve   settle or void, exactly once on every exit                             outcome.go, settle.go, answered.go
//
// Reservations are made inside the SDK's retry loop, because each of its attempts can be billed. An operation that costs money and
// can't be metered is refused; operations that cost nothing pass.
package bedrockguard
