package budget

import (
	"math"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Forecast says how fast an account fills, and when it is full if that goes on.
type Forecast struct {
	// PerHour is the larger of two figures: what this Ledger settled in the last hour, and the hourly average of all processes since the
	// window began.
	PerHour Quantity
	// FullIn is how long it takes until the limit is reached at that rate; 0 if the window ends before, or nothing is known.
	FullIn time.Duration
}

// A forecast goes by how fast accounts filled in the last hour: by their pace.
const (
	paceBuckets  = 60          // of one minute each
	maxPaces     = 4096        // how many accounts are remembered
	leastElapsed = time.Minute // an average over a shorter time means little
)

// paces remembers what this process settled in the last hour, by account. Its zero value is ready to use.
type paces struct {
	mu  sync.Mutex
	all map[Key]*pace
}

// pace is what was settled in one account in each of the last 60 minutes. The sum of a minute is at its number modulo 60.
type pace struct {
	minute int64 // the newest minute that has a sum, counted from 1970
	sums   [paceBuckets]int64
}

// note adds what a settlement posted, for accounts that have thresholds: a forecast is only reported with a threshold that is reached.
func (p *paces) note(lines []driver.Line, actual *Charge) {
	for i := range lines {
		l := &lines[i]
		if n := actual[l.Unit]; len(l.Notify) > 0 && n > 0 {
			p.add(l.Account, n, time.Now().Unix()/60)
		}
	}
}

// add adds n to the sum of an account in a minute, counted from 1970. A sum stops at math.MaxInt64.
func (p *paces) add(account Key, n, minute int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.all[account]
	if at == nil {
		if p.all == nil || len(p.all) >= maxPaces { // start again: for an hour forecasts are too low, but the memory stays bounded
			p.all = make(map[Key]*pace)
		}
		at = &pace{minute: minute}
		p.all[account] = at
	}
	at.move(minute)
	sum := &at.sums[minute%paceBuckets]
	*sum += min(n, math.MaxInt64-*sum)
}

// move makes minute the newest one, and empties the sums of minutes that are more than an hour older. A clock that goes back changes nothing.
func (p *pace) move(minute int64) {
	for range min(max(minute-p.minute, 0), paceBuckets) {
		p.minute++
		p.sums[p.minute%paceBuckets] = 0
	}
	p.minute = max(p.minute, minute) // the loop has emptied all sums, but not come as far, if more than an hour has passed
}

// lastHour returns what this ledger settled in an account in the last hour.
func (p *paces) lastHour(account Key, now time.Time) (sum int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.all[account]
	if at == nil {
		return 0
	}
	at.move(now.Unix() / 60)
	for _, n := range at.sums {
		sum += min(n, math.MaxInt64-sum)
	}
	return sum
}

// forecast returns the forecast that is reported with a threshold. settled is what is spent in the account's window, and max the limit in force. If
// the window would end, and so be empty again, before the limit is reached at the present rate, FullIn stays zero. Only a calendar window ends so.
func (p *paces) forecast(l *driver.Line, settled, max int64, now time.Time) Forecast {
	perHour := float64(p.lastHour(l.Account, now))
	span := l.Window.At(now)
	// span.Since is when the calendar window began, or about one length ago for a rolling one. A lifetime is left out: it begins in 1970, so that its
	// average means nothing.
	if elapsed := time.Duration(now.UnixNano() - span.Since); l.Window != Lifetime && elapsed >= leastElapsed {
		perHour = math.Max(perHour, float64(settled)/elapsed.Hours())
	}
	// Half of MaxInt64, because float64 rounds MaxInt64 up, beyond the range of int64.
	f := Forecast{PerHour: Quantity{N: int64(math.Min(perHour, math.MaxInt64/2)), Unit: l.Unit}}
	if perHour <= 0 || settled >= max {
		return f
	}
	full := float64(max-settled) / perHour * float64(time.Hour)               // until the limit is reached, in nanoseconds
	left := float64(math.MaxInt64)                                            // until the window ends
	if calendar := l.Window != Lifetime && l.Window.Length() == 0; calendar { // only a rolling window has a Length
		left = float64(span.End - now.UnixNano())
	}
	if full < left {
		f.FullIn = time.Duration(full)
	}
	return f
}
