// Package budget is the ledger behind bedrockguard: limits on money, tokens and calls that are reserved before a call and
// settled after it, in a pluggable Store.
//
// The promise, for every limit and window: settled + pending <= limit at every successful Reserve; and what the provider
// bills is at most settled + pending, provided that each worst case was an upper bound, that every call was reserved, and
// that the store lost no acknowledged write.
//
// A reservation goes from Pending to Settled, Voided or Expired. Expiry charges the worst case and never releases it,
// because the provider bills whether the caller lives or not; a Settle that comes later puts the truth in its place.
//
// # Where to begin
//
// Open a Ledger over a Store, with a Policy of Limits. Each of these has an Example:
//
//   - what is limited: Limit, its Window (Monthly, Rolling, In a time zone), Match, and Observe, Latch and Notify;
//   - who spends: WithScope;
//   - what a refused call gets: ExceededError, KilledError, StoreError;
//   - where things stand: Ledger.Balances, Operator.Standing, Usage, Accounts, Periods, Entries and Changes;
//   - how to steer: Operator.Kill, KillAs and KillAll, Ledger.Revive, Ledger.Override, Operator.Correct, Operator.SetPolicyDocument;
//   - how to do both from another process, without the policy: Operate;
//   - how to save round trips: package budget/lease.
//
// docs/operations.md says how to run it. Package budget/driver is for those who write a store; others need it for little more than the
// states of an Entry.
//
// The package knows nothing of AWS. Money is integer nano-USD, prices are integer pico-USD per token, and arithmetic that
// would wrap is ErrOverflow.
package budget
