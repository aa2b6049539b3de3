package budget

import (
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The calendar windows, which begin and end in UTC unless In changes that, and the window that never ends. Weeks begin on Monday unless From
// changes that; quarters begin in January, April, July and October.
var (
	Hourly    = driver.Hourly
	Daily     = driver.Daily
	Weekly    = driver.Weekly
	Monthly   = driver.Monthly
	Quarterly = driver.Quarterly
	Yearly    = driver.Yearly
	Lifetime  = driver.Lifetime
)

// Rolling returns a window that ends now: no interval of the given length ever holds more than the limit. Spend counts from the moment of
// its Reserve and leaves the window up to length/60 late, so that a store keeps at most 61 sums for each account. The length must be between
// a second and 366 days.
func Rolling(length time.Duration) Window { return driver.Rolling(length) }
