package verify

import (
	"fmt"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Kind says which figure of a ledger is wrong.
type Kind string

// The kinds of differences.
const (
	Settled Kind = "settled" // the settled sum of an account's period
	Pending Kind = "pending" // the pending sum of an account's period
	Missing Kind = "missing" // a period does not exist although entries are booked in it
	Account Kind = "account" // an entry is booked in an account that is unknown, or not its own
	State   Kind = "state"   // an entry's state contradicts its amounts and times
	Usage   Kind = "usage"   // the usage of a UTC day
)

// Difference is a figure that is not what it should be.
type Difference struct {
	Kind    Kind
	Limit   string       // of the account; empty where there is no account, or it has no name
	Account driver.Key   // zero for State and Usage
	Scope   driver.Scope // the account's values
	Period  time.Time    // where it begins, or the day of usage; zero for Account and State
	Entry   driver.ID    // zero unless the difference is that of one entry
	Told    int64        // what the store tells
	Sum     int64        // what it has to be
	Detail  string       // in words, where figures do not say it
}

// String says what differs, in a line. It quotes names as they are.
func (d *Difference) String() string {
	var at []string
	if d.Limit != "" {
		at = append(at, "limit "+d.Limit)
	}
	if scope := d.Scope.String(); scope != "" {
		at = append(at, scope)
	}
	if d.Account != (driver.Key{}) {
		at = append(at, fmt.Sprintf("account %x", d.Account))
	}
	if !d.Period.IsZero() {
		at = append(at, "from "+d.Period.UTC().Format(time.RFC3339)+" on")
	}
	if d.Entry != (driver.ID{}) {
		at = append(at, "entry "+d.Entry.String())
	}
	text := string(d.Kind) + ": " + strings.Join(at, ", ")
	// The words say all, and the figures may be zero.
	if d.Detail != "" {
		return text + ": " + d.Detail
	}
	return fmt.Sprintf("%s: the store tells %d, and it has to be %d", text, d.Told, d.Sum)
}

// again reports whether o, from another reading of the ledger, is the same difference: of the same figure, and as large. The figure itself may have
// changed between the readings.
func (d *Difference) again(o *Difference) bool {
	return d.Kind == o.Kind && d.Account == o.Account && d.Period.Equal(o.Period) && d.Entry == o.Entry && d.Detail == o.Detail && d.Told-d.Sum == o.Told-o.Sum
}

// Report says what was compared, and what differs.
type Report struct {
	Entries, Accounts, Periods, UsageDays int // how many of each were compared
	Differences                           []Difference
}
