// Package verify checks a ledger with its own entries: it recomputes every balance and reports those that differ. It changes nothing and
// needs no policy.
//
// The following is true of every correct ledger, and is checked:
//
//   - what is settled in each period of each account is what its entries have posted there, including entries that were forgotten; what is
//     pending is what unresolved entries have reserved;
//   - an entry is booked in accounts that exist and whose values are those of its call;
//   - a period in which entries are booked exists, unless it is so old that it may be forgotten;
//   - an entry's state agrees with what it has posted and when it was resolved; an expired one was charged its worst case, or corrected;
//   - the usage of each UTC day is what the entries of that day have posted, or more if some of them are forgotten.
//
// It can't find a change that keeps all of these true, for example of an amount in an entry, its accounts and its usage together. Anybody
// who may write to the store can make such a change; compare with the audit trail and the bill to find it.
package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// DefaultTries is how often a ledger is read before a difference is reported, when Options.Tries is zero.
const DefaultTries = 4

// Options configures the function Ledger. The zero value is ready to use.
type Options struct {
	// Tries is how often the ledger is read at most, first a fifth of a second apart and then longer. The ledger is read in many steps, so a
	// call that is made in between looks like a difference; only a difference that every reading has is reported. Zero or less is
	// DefaultTries; 1 is enough for a ledger that nobody uses.
	Tries int
	// Clock is the time against which ages are measured. Nil is time.Now.
	Clock func() time.Time
	// Progress is called after every 1000 entries with the number read so far in this reading of the ledger. It must be quick. May be nil.
	Progress func(entries int)
}

// progressEvery is how many entries are read between two reports of progress.
const progressEvery = 1000

// pauseBefore is how long to wait before the second reading; before the third it is twice as long, and so on.
const pauseBefore = 200 * time.Millisecond

// Ledger recomputes the balances of the ledger in a store. It reads all entries, and only keeps sums in memory. The error is the store's;
// differences are not an error, but in the report.
func Ledger(ctx context.Context, store driver.Store, o Options) (*Report, error) {
	if o.Tries <= 0 {
		o.Tries = DefaultTries
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	operator, err := budget.Operate(ctx, store)
	if err != nil {
		return nil, err
	}
	l := &ledger{operator, store, o}
	var report *Report
	for try := range o.Tries {
		if try > 0 {
			if err := pause(ctx, time.Duration(try)*pauseBefore); err != nil {
				return nil, err
			}
		}
		reading, err := l.read(ctx)
		if err != nil {
			return nil, err
		}
		if report != nil {
			reading.Differences = repeated(reading.Differences, report.Differences)
		}
		if report = reading; len(report.Differences) == 0 {
			break
		}
	}
	return report, nil
}

// repeated returns those of the differences that an earlier reading had, too, with the same amount. The others were calls in between. It overwrites
// the slice of the differences.
func repeated(differences, earlier []Difference) []Difference {
	return slices.DeleteFunc(differences, func(d Difference) bool {
		return !slices.ContainsFunc(earlier, func(before Difference) bool { return d.again(&before) })
	})
}

// ledger is the ledger that is checked. It is read through an Operator where that is enough, and else from the store.
type ledger struct {
	*budget.Operator
	store driver.Store
	opts  Options
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// bookings are what entries have booked in an account, by the start of the period in nanoseconds.
type bookings struct {
	settled, pending map[int64]int64
	newest           int64         // start of the newest period in which something was booked
	calendar         bool          // each period begins at a full hour, as calendar windows do
	example          *driver.Entry // one of the entries
}

// sums are what entries add up to, in one reading of the ledger.
type sums struct {
	accounts map[driver.Key]*bookings
	usage    map[time.Time]*driver.Charge // by UTC day of the reservation
	first    time.Time                    // the earliest moment at which any of the entries was resolved; zero if none was
	expired  map[driver.ID]bool           // entries that expired and were not charged with their worst case
	entries  int                          // how many there are
	bad      []Difference                 // what is wrong with single entries
}

// of returns the bookings of an account, in which the entry e is booked.
func (s *sums) of(account driver.Key, e *driver.Entry) *bookings {
	b := s.accounts[account]
	if b == nil {
		b = &bookings{settled: make(map[int64]int64), pending: make(map[int64]int64), newest: math.MinInt64, calendar: true, example: e}
		s.accounts[account] = b
	}
	return b
}

// add adds what the entry e has booked in the account, which is line.
func (b *bookings) add(e *driver.Entry, line driver.Booking) {
	start := line.Start.UnixNano()
	if e.State == driver.Pending {
		b.pending[start] += line.Amount
	} else {
		b.settled[start] += line.Amount
	}
	if line.Amount != 0 { // a period in which nothing is booked need not exist
		b.newest = max(b.newest, start)
	}
	b.calendar = b.calendar && start%int64(time.Hour) == 0
}

// read reads the ledger once, and returns what differs in this reading. It reads the entries first, and then the sums that the store keeps.
func (l *ledger) read(ctx context.Context) (*Report, error) {
	s, err := l.readEntries(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.compareExpired(ctx, s); err != nil {
		return nil, err
	}
	told := &Report{Entries: s.entries, Differences: slices.Clone(s.bad)}
	// Usage is compared last, because only the accounts show whether the store has forgotten entries.
	usage, err := l.readUsage(ctx, told)
	if err != nil {
		return nil, err
	}
	known, forgotten, err := l.compareAccounts(ctx, s, told)
	if err != nil {
		return nil, err
	}
	for key, b := range s.accounts {
		if !known[key] {
			told.Differences = append(told.Differences, Difference{Kind: Account, Account: key, Entry: b.example.ID, Detail: "the entry is booked in an account that is not known"})
		}
	}
	s.compareUsage(usage, told, forgotten)
	// Maps have been gone through in any order. The account's key and the rest are in the text of String.
	slices.SortFunc(told.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.Limit, b.Limit), a.Period.Compare(b.Period), strings.Compare(a.String(), b.String()))
	})
	return told, nil
}

// readEntries adds up all entries, and checks each of them by itself.
func (l *ledger) readEntries(ctx context.Context) (*sums, error) {
	s := &sums{accounts: make(map[driver.Key]*bookings), usage: make(map[time.Time]*driver.Charge), expired: make(map[driver.ID]bool)}
	for e, err := range l.Entries(ctx, driver.Query{}) {
		if err != nil {
			return nil, err
		}
		s.add(&e) // which counts it in s.entries
		if l.opts.Progress != nil && s.entries%progressEvery == 0 {
			l.opts.Progress(s.entries)
		}
	}
	return s, nil
}

// compareExpired adds to s.bad the entries that are Expired, were not charged with their worst case, and were not corrected either, as far as the
// audit trail tells.
func (l *ledger) compareExpired(ctx context.Context, s *sums) error {
	if len(s.expired) == 0 {
		return nil
	}
	for r, err := range l.Changes(ctx, 0) {
		if err != nil {
			return err
		}
		if r.Kind == driver.ChangeCorrect {
			delete(s.expired, r.Reservation)
		}
	}
	for id := range s.expired {
		s.bad = append(s.bad, Difference{Kind: State, Entry: id, Detail: "it is expired, and neither charged with its worst case nor corrected"})
	}
	return nil
}

// add checks an entry's state, and adds its amounts.
func (s *sums) add(e *driver.Entry) {
	s.entries++
	if detail := contradiction(e); detail != "" {
		s.bad = append(s.bad, Difference{Kind: State, Entry: e.ID, Detail: detail})
	}
	// Expiry charges the worst case, and marks it as an estimate. compareExpired looks whether an entry without that was corrected.
	if charged := e.Estimated && e.Actual == e.Reserved; e.State == driver.Expired && !charged {
		s.expired[e.ID] = true
	}
	for _, line := range e.Lines {
		s.of(line.Account, e).add(e, line)
	}
	if e.State == driver.Pending { // it is not resolved, and has posted no usage
		return
	}
	if s.first.IsZero() || e.ResolvedAt.Before(s.first) {
		s.first = e.ResolvedAt
	}
	day := driver.UsageDay(e.ReservedAt)
	if s.usage[day] == nil {
		s.usage[day] = new(driver.Charge)
	}
	for unit := range e.Actual {
		s.usage[day][unit] += e.Actual[unit]
	}
}

// contradiction says in what an entry's state contradicts its amounts and times; it is empty if it does not.
func contradiction(e *driver.Entry) string {
	resolved, posted := !e.ResolvedAt.IsZero(), e.Actual != (driver.Charge{})
	switch {
	case e.State < driver.Pending || e.State > driver.Expired:
		return "its state is none of those that there are"
	case resolved == (e.State == driver.Pending): // all but pending ones are resolved
		return fmt.Sprintf("it is %s, and was resolved at %s", e.State, e.ResolvedAt.UTC().Format(time.RFC3339))
	case e.State == driver.Voided && posted && !e.Orphan:
		return "it is voided, and has posted something"
	case e.State == driver.Pending && posted:
		return "it is pending, and has posted something"
	}
	return ""
}

// compareAccounts compares the sums that the store keeps for each account with those of its entries, and adds what differs to told. It returns the
// accounts that the store knows, and whether it has forgotten entries.
func (l *ledger) compareAccounts(ctx context.Context, s *sums, told *Report) (known map[driver.Key]bool, forgotten bool, err error) {
	known = make(map[driver.Key]bool)
	for after, more := (driver.Key{}), true; more; {
		// The store is asked itself, because the Operator leaves out the accounts that leases use for themselves, in which entries are booked, too.
		page, err := l.store.Accounts(ctx, after, accountPage)
		if err != nil {
			return nil, false, err
		}
		more = len(page) == accountPage
		for i := range page {
			a := &page[i]
			after, known[a.Key] = a.Key, true
			if strings.HasPrefix(a.Limit, "\x00") { // the library's own, whose sums limit nothing
				continue
			}
			lost, err := l.compareAccount(ctx, s, told, a)
			if err != nil {
				return nil, false, err
			}
			forgotten = forgotten || lost
		}
	}
	return known, forgotten, nil
}

// accountPage is how many accounts are read at a time.
const accountPage = 1000

// compareAccount compares the periods of one account with what its entries have booked there. forgotten reports whether it has sums of entries that
// the store has forgotten.
func (l *ledger) compareAccount(ctx context.Context, s *sums, told *Report, a *driver.Account) (forgotten bool, err error) {
	told.Accounts++
	b := s.accounts[a.Key]
	if b == nil {
		// The store has an account of which there are no entries: all sums of these maps, which are nil, are zero.
		b = &bookings{}
	} else if !carries(b.example.Scope, a.Scope) {
		d := told.differ(Account, a)
		d.Detail = fmt.Sprintf("its values are not those of entry %s, which was booked there", b.example.ID)
	}
	seen := make(map[int64]bool) // the periods that exist, by their start in nanoseconds
	var oldest time.Time
	for p, err := range l.Periods(ctx, a.Key, time.Time{}) {
		if err != nil {
			return false, err
		}
		told.Periods++
		start := p.Start.UnixNano()
		seen[start] = true
		if oldest.IsZero() { // the first one: periods come oldest first
			oldest = p.Start
		}
		forgotten = forgotten || p.Forgotten != 0
		told.compareSum(Settled, a, p.Start, p.Settled, b.settled[start]+p.Forgotten)
		told.compareSum(Pending, a, p.Start, p.Pending, b.pending[start])
	}
	for start, sum := range b.settled {
		if !seen[start] && sum != 0 && b.kept(start, oldest, l.opts.Clock()) {
			told.compareSum(Missing, a, time.Unix(0, start), 0, sum)
		}
	}
	return forgotten, nil
}

// differ adds a difference of an account to the report, and returns it for the caller to say what differs.
func (told *Report) differ(kind Kind, a *driver.Account) *Difference {
	told.Differences = append(told.Differences, Difference{Kind: kind, Limit: a.Limit, Account: a.Key, Scope: a.Scope})
	return &told.Differences[len(told.Differences)-1]
}

// compareSum compares a sum that the store tells of an account's period with what it has to be.
func (told *Report) compareSum(kind Kind, a *driver.Account, period time.Time, is, sum int64) {
	if is != sum {
		d := told.differ(kind, a)
		d.Period, d.Told, d.Sum = period, is, sum
	}
}

// keptFor is how long every store keeps the sum of a calendar window at least, unless it is configured with a shorter time.
const keptFor = 30 * 24 * time.Hour

// kept reports whether a period in which something was booked has to exist. start is when it begins, in nanoseconds since 1970, which is zero for a
// lifetime. oldest is the account's oldest period that exists, zero if none does. Periods are forgotten oldest first, so that all after oldest have
// to exist. If none exists, only the newest one has to, and only if it is a lifetime or a recent calendar window: periods of rolling windows are
// forgotten sooner than the entries.
func (b *bookings) kept(start int64, oldest, now time.Time) bool {
	if !oldest.IsZero() {
		return start > oldest.UnixNano()
	}
	recent := start == 0 || now.Sub(time.Unix(0, start)) < keptFor
	return b.calendar && start == b.newest && recent
}

// carries reports whether a call's scope has all the values of an account's. That must be so for each entry that is booked in the account, also for
// the entry of a lease (package lease), which is for several calls that have these values in common.
func carries(call, account driver.Scope) bool {
	same := func(want, value string) bool { return want == "" || want == value }
	if !same(account.Principal, call.Principal) || !same(account.Workflow, call.Workflow) || !same(account.Model, call.Model) ||
		!same(account.Region, call.Region) || !same(account.Profile, call.Profile) || !same(account.Project, call.Project) {
		return false
	}
	for name, value := range account.Tags {
		if call.Tags[name] != value {
			return false
		}
	}
	return true
}

// readUsage adds up the rows of usage of each day. An overflow, which is a fault of the stored usage, is noted as a difference and ends the
// reading. Report.UsageDays stays zero then, and compareUsage reports the days that were not read, too.
func (l *ledger) readUsage(ctx context.Context, told *Report) (map[time.Time]driver.Charge, error) {
	usage := make(map[time.Time]driver.Charge)
	for row, err := range l.Usage(ctx, budget.UsageQuery{Every: budget.ByDay}) {
		if errors.Is(err, driver.ErrOverflow) {
			told.Differences = append(told.Differences, Difference{Kind: Usage, Detail: err.Error()})
			return usage, nil
		} else if err != nil {
			return nil, err
		}
		// A day may have two rows: one in which all scopes are added up, and one for OtherUsage.
		day, sum := row.Day.UTC(), usage[row.Day.UTC()]
		for unit := range row.Charge {
			sum[unit] += row.Charge[unit]
		}
		usage[day] = sum
	}
	told.UsageDays = len(usage)
	return usage, nil
}

// mayLack reports whether entries of a UTC day may be forgotten, if the store has forgotten any: stores forget entries in the order of the days
// on which they were resolved, so that days after the one on which the oldest entry was resolved are complete.
func (s *sums) mayLack(day time.Time) bool {
	return s.first.IsZero() || day.Before(driver.UsageDay(s.first).AddDate(0, 0, 1))
}

// compareUsage compares the usage of each day, as the store tells it, with what the day's entries have posted. forgotten says that the store has
// forgotten entries: for a day of which some may be forgotten, usage only has to be at least as much.
func (s *sums) compareUsage(usage map[time.Time]driver.Charge, told *Report, forgotten bool) {
	days := make(map[time.Time]bool)
	for day := range usage {
		days[day] = true
	}
	for day := range s.usage {
		days[day] = true
	}
	for day := range days {
		sum, is := s.usage[day], usage[day] // what it has to be, and what the store tells
		if sum == nil {
			sum = new(driver.Charge)
		}
		exact := !forgotten || !s.mayLack(day)
		for unit := range is {
			// Forgotten entries leave their usage behind: there may be more of it, but never less.
			if is[unit] < sum[unit] || exact && is[unit] != sum[unit] {
				told.Differences = append(told.Differences, Difference{
					Kind: Usage, Period: day, Told: is[unit], Sum: sum[unit],
					Detail: fmt.Sprintf("of %s the store tells %d, and entries have posted %d", driver.Unit(unit), is[unit], sum[unit]),
				})
			}
		}
	}
}
