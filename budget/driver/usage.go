package driver

import "time"

// UsageRetention is how long rows of usage are kept, counted from their day: long enough to compare a month with the same month of the year
// before.
const UsageRetention = 400 * 24 * time.Hour

// DefaultUsageRows is how many rows of usage a store keeps for one day by default. Usage that would need more rows is added to the row
// OtherUsage.
const DefaultUsageRows = 100_000

// OtherUsage is the key of the row, one for each day, for the usage of calls for which the day had no room for another row.
var OtherUsage = keyOf("usage", "other")

// UsageRow is the sum of one UTC day over the calls with the same principal, workflow, model, region and tags. Every amount that is settled,
// expired or corrected is in one row, of the day of its reservation, whatever the limits are.
type UsageRow struct {
	Day    time.Time // its beginning, in UTC
	Key    Key       // names the row within its day
	Scope  Scope     // without Profile and Project; empty for OtherUsage
	Charge Charge
}

// UsageScope returns the values by which a call is assigned to a row of usage. A nil call has none.
func (c *Call) UsageScope() Scope {
	if c == nil {
		return Scope{}
	}
	s := c.Scope
	s.Profile, s.Project = "", ""
	return s
}

// UsageKey names the row of usage, within a day, to which the call's amounts are added. Calls of the same UsageScope have the same key.
func (c *Call) UsageKey() Key {
	if c == nil {
		return nobodysUsage
	}
	if c.usage != (Key{}) { // NewCall has computed the key
		return c.usage
	}
	return usageKey(c.UsageScope())
}

// usageKey returns the key of the row of usage for the values of a scope: keyOf returns another key for each list of texts.
func usageKey(s Scope) Key {
	parts := []string{"usage", "of"} // OtherUsage has "other" in the place of "of"
	for name, value := range s.values() {
		parts = append(parts, name, value)
	}
	return keyOf(parts...)
}

// nobodysUsage is the key of the row for calls whose scope is empty or not known.
var nobodysUsage = usageKey(Scope{})

// UsageDay returns the beginning of the UTC day that a moment is in.
func UsageDay(at time.Time) time.Time { return at.UTC().Truncate(24 * time.Hour) }

// UsageMark is where a page of usage begins: after a key of a day, and then with the following days.
type UsageMark struct {
	Day   time.Time // its beginning, in UTC; the zero time is before all days
	After Key       // the zero Key is before all keys
}
