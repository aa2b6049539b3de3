package budget

import "github.com/bedrockguard/bedrockguard-go/budget/driver"

// Types that are declared in package driver, because a store needs them, and repeated here, because users of a Ledger write them or hold them
// in variables. Package driver describes them and their methods. It also has the types that only pass between a Ledger and a Store.
type (
	// Store keeps the accounts, for all ledgers over it: a memstore.Store, a sqlitestore.Store and so on. Users call a Ledger, not a Store.
	Store = driver.Store
	// Scope says to which accounts a call counts: who pays, what runs, which model it asks.
	Scope = driver.Scope
	// Window is the time over which a limit counts, such as Monthly, Daily.In(berlin) or Rolling(time.Hour).
	Window = driver.Window
	// Unit is what a limit counts. The zero value is no unit and is refused wherever a unit is needed.
	Unit = driver.Unit
	// Quantity is a number of units, such as USD(5) or Calls(100). The zero value has no unit and is refused as a limit.
	Quantity = driver.Quantity
	// Charge is an amount in every unit at once, indexed by Unit.
	Charge = driver.Charge
	// ID names a reservation, and the entry that remains of it.
	ID = driver.ID
	// Key is an opaque name for an account.
	Key = driver.Key
	// Entry is what a store keeps of a reservation.
	Entry = driver.Entry
	// Query selects entries.
	Query = driver.Query
	// UsageRow is what was spent in one day or month, or throughout, by one set of values of a scope.
	UsageRow = driver.UsageRow
	// Account is one limit for one set of scope values, as a store knows it.
	Account = driver.Account
	// Override replaces a limit's Max for one account until a moment of the store's clock.
	Override = driver.Override
	// Flag selects the calls that a kill flag refuses, by their values or by patterns.
	Flag = driver.Flag
	// Kill is a flag that refuses the calls that it selects, with its reason and its end.
	Kill = driver.Kill
	// KilledError says which scope was killed and why. It unwraps to ErrKilled.
	KilledError = driver.KilledError
)

// The units that a limit can count.
const (
	UnitUSD                   = driver.UnitUSD                   // nano-USD at gross list price
	UnitUncachedInputTokens   = driver.UnitUncachedInputTokens   // InputTokens - CacheReadInputTokens - CacheWriteInputTokens
	UnitInputTokens           = driver.UnitInputTokens           // every input token, however it was billed
	UnitCacheReadInputTokens  = driver.UnitCacheReadInputTokens  // input tokens read from the prompt cache
	UnitCacheWriteInputTokens = driver.UnitCacheWriteInputTokens // input tokens written to the prompt cache, all TTLs together
	UnitOutputTokens          = driver.UnitOutputTokens          // output tokens, reasoning included
	UnitCalls                 = driver.UnitCalls                 // attempts that reached the service
)
