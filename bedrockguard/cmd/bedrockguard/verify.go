package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name: "verify", Category: "prove", Usage: "recompute every balance from the entries, and name those that differ",
		Description: "For each period of each account, what is settled has to be what its entries have posted and what those had that were forgotten, and what is pending\n" +
			"what unresolved entries hold. Accounts have to be those of the calls that were booked there, and usage has to hold what entries have posted. Calls may go\n" +
			"on meanwhile: what differs is looked at again.\n\nExit code 3 says that something differs.",
		Flags:  []cli.Flag{&cli.IntFlag{Name: "tries", Value: 4, Usage: "how often to look, while calls go on, before a difference is one"}},
		Action: withLedger(verify),
	}
}

// differs is a figure that is not what it has to be.
type differs struct {
	What    string     `json:"what"` // settled, pending, missing, account, state or usage
	Limit   string     `json:"limit,omitempty"`
	Account string     `json:"account,omitempty"`
	Scope   *scopeJSON `json:"scope,omitempty"`
	Period  *time.Time `json:"period,omitempty"`
	Entry   string     `json:"entry,omitempty"`
	Told    int64      `json:"told"` // what the store tells
	Sum     int64      `json:"sum"`  // what it has to be
	Detail  string     `json:"detail,omitempty"`
}

// place names a figure, to recognise it in the next look.
func (d *differs) place() string {
	period := ""
	if d.Period != nil {
		period = d.Period.String()
	}
	return strings.Join([]string{d.What, d.Account, period, d.Entry, d.Detail}, "\x00")
}

func (d *differs) String() string {
	var at []string
	if d.Limit != "" {
		at = append(at, "limit "+d.Limit)
	}
	if d.Scope != nil {
		at = append(at, accountText((&accountJSON{Scope: *d.Scope}).scope()))
	}
	if d.Account != "" {
		at = append(at, "account "+d.Account)
	}
	if d.Period != nil {
		at = append(at, "from "+when(*d.Period)+" on")
	}
	if d.Entry != "" {
		at = append(at, "entry "+d.Entry)
	}
	text := d.What + ": " + strings.Join(at, ", ")
	if d.Detail != "" {
		return text + ": " + d.Detail
	}
	return fmt.Sprintf("%s: the store tells %d, and it has to be %d", text, d.Told, d.Sum)
}

// checked is how much verify looked at.
type checked struct {
	Entries     int        `json:"entries"`
	Accounts    int        `json:"accounts"`
	Periods     int        `json:"periods"`
	UsageDays   int        `json:"usage_days"`
	Differences []*differs `json:"differences"`
}

func verify(ctx context.Context, c *cli.Command, d *desk) error {
	if c.Int("tries") < 1 {
		return usageError("--tries %d: want 1 at least", c.Int("tries"))
	}
	var told *checked
	for try := range c.Int("tries") {
		now, err := d.look(ctx)
		if err != nil {
			return err
		}
		if told != nil { // what differs in each look, and by as much: all else was a call that came in between
			now.Differences = slices.DeleteFunc(now.Differences, func(one *differs) bool {
				return !slices.ContainsFunc(told.Differences, func(before *differs) bool {
					return before.place() == one.place() && before.Told-before.Sum == one.Told-one.Sum
				})
			})
		}
		if told = now; len(told.Differences) == 0 {
			break
		}
		if try+1 < c.Int("tries") {
			if err := pause(ctx, time.Duration(try+1)*200*time.Millisecond); err != nil {
				return err
			}
		}
	}
	if c.Bool("json") {
		if err := printJSON(c, told); err != nil {
			return err
		}
	} else {
		for _, one := range told.Differences {
			fmt.Fprintln(c.Root().Writer, printable(one.String()))
		}
		fmt.Fprintf(c.Root().Writer, "%d entries, %d accounts, %d periods and %d days of usage: %d differences\n",
			told.Entries, told.Accounts, told.Periods, told.UsageDays, len(told.Differences))
	}
	if n := len(told.Differences); n > 0 {
		return &found{fmt.Sprintf("%d figures differ from what the entries add up to", n)}
	}
	return nil
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
	newest           int64         // start of a period in which something was booked
	calendar         bool          // each period begins with an hour
	example          *budget.Entry // one of the entries
}

// sums are what entries add up to.
type sums struct {
	accounts map[budget.Key]*bookings
	usage    map[time.Time]*budget.Charge // by UTC day of the reservation
	first    time.Time                    // when the oldest entry was resolved that is remembered
	expired  map[budget.ID]bool           // not with their worst case
	entries  int
	bad      []*differs
}

func (s *sums) of(account budget.Key, e *budget.Entry) *bookings {
	b := s.accounts[account]
	if b == nil {
		b = &bookings{settled: make(map[int64]int64), pending: make(map[int64]int64), newest: math.MinInt64, calendar: true, example: e}
		s.accounts[account] = b
	}
	return b
}

func (b *bookings) add(e *budget.Entry, line budget.Booking) {
	start := line.Start.UnixNano()
	if e.State == budget.Pending {
		b.pending[start] += line.Amount
	} else {
		b.settled[start] += line.Amount
	}
	if line.Amount != 0 {
		b.newest = max(b.newest, start)
	}
	b.calendar = b.calendar && start%int64(time.Hour) == 0
}

// look adds everything up once.
func (d *desk) look(ctx context.Context) (*checked, error) {
	s := &sums{accounts: make(map[budget.Key]*bookings), usage: make(map[time.Time]*budget.Charge), expired: make(map[budget.ID]bool)}
	for e, err := range d.Entries(ctx, budget.Query{}) {
		if err != nil {
			return nil, err
		}
		s.add(&e)
	}
	if err := d.compareExpired(ctx, s); err != nil {
		return nil, err
	}
	told := &checked{Entries: s.entries, Differences: append([]*differs{}, s.bad...)}
	known, forgotten, err := d.compareAccounts(ctx, s, told)
	if err != nil {
		return nil, err
	}
	for key, b := range s.accounts {
		if !known[key] {
			told.Differences = append(told.Differences, &differs{What: "account", Account: fmt.Sprintf("%x", key), Entry: b.example.ID.String(), Detail: "the entry is booked in an account that is not known"})
		}
	}
	if err := d.compareUsage(ctx, s, told, forgotten); err != nil {
		return nil, err
	}
	slices.SortFunc(told.Differences, func(a, b *differs) int { return strings.Compare(a.String(), b.String()) })
	return told, nil
}

// compareExpired looks for entries that are expired and neither charged with the worst case nor corrected.
func (d *desk) compareExpired(ctx context.Context, s *sums) error {
	if len(s.expired) == 0 {
		return nil
	}
	for r, err := range d.Changes(ctx, 0) {
		if err != nil {
			return err
		}
		if r.Kind == budget.ChangeCorrect {
			delete(s.expired, r.Reservation)
		}
	}
	for id := range s.expired {
		s.bad = append(s.bad, &differs{What: "state", Entry: id.String(), Detail: "it is expired, and neither charged with its worst case nor corrected"})
	}
	return nil
}

// add takes in an entry.
func (s *sums) add(e *budget.Entry) {
	s.entries++
	wrong := func(detail string) {
		s.bad = append(s.bad, &differs{What: "state", Entry: e.ID.String(), Detail: detail})
	}
	switch {
	case e.State < budget.Pending || e.State > budget.Expired:
		wrong("its state is none of those that there are")
	case (e.State == budget.Pending) != e.ResolvedAt.IsZero():
		wrong(fmt.Sprintf("it is %s, and resolved at %q", e.State, when(e.ResolvedAt)))
	case e.State == budget.Voided && e.Actual != (budget.Charge{}) && !e.Orphan:
		wrong("it is voided, and has posted something")
	case e.State == budget.Pending && e.Actual != (budget.Charge{}):
		wrong("it is pending, and has posted something")
	}
	if charged := e.Estimated && e.Actual == e.Reserved; e.State == budget.Expired && !charged {
		s.expired[e.ID] = true
	}
	for _, line := range e.Lines {
		s.of(line.Account, e).add(e, line)
	}
	if e.State == budget.Pending {
		return
	}
	if s.first.IsZero() || e.ResolvedAt.Before(s.first) {
		s.first = e.ResolvedAt
	}
	day := budget.UsageDay(e.ReservedAt)
	if s.usage[day] == nil {
		s.usage[day] = new(budget.Charge)
	}
	for unit := range e.Actual {
		s.usage[day][unit] += e.Actual[unit]
	}
}

// compareAccounts holds what accounts tell against the sums. It returns the accounts that are known, and whether anything was forgotten.
func (d *desk) compareAccounts(ctx context.Context, s *sums, told *checked) (known map[budget.Key]bool, forgotten bool, err error) {
	known = make(map[budget.Key]bool)
	for after, more := (budget.Key{}), true; more; {
		page, err := d.store.Accounts(ctx, after, accountPage) // with those that leases keep for themselves
		if err != nil {
			return nil, false, err
		}
		more = len(page) == accountPage
		for i := range page {
			a := &page[i]
			after, known[a.Key] = a.Key, true
			if strings.HasPrefix(a.Limit, "\x00") {
				continue
			}
			lost, err := d.compareAccount(ctx, s, told, a)
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

func (d *desk) compareAccount(ctx context.Context, s *sums, told *checked, a *budget.Account) (forgotten bool, err error) {
	told.Accounts++
	scope, key := jsonScope(a.Scope), fmt.Sprintf("%x", a.Key)
	note := func(what string, start time.Time, is, sum int64, detail string) {
		told.Differences = append(told.Differences, &differs{What: what, Limit: a.Limit, Account: key, Scope: &scope, Period: moment(start), Told: is, Sum: sum, Detail: detail})
	}
	b := s.accounts[a.Key]
	if b == nil {
		b = &bookings{}
	} else if !carries(b.example.Scope, a.Scope) {
		note("account", time.Time{}, 0, 0, fmt.Sprintf("its values are not those of entry %s, which was booked there", b.example.ID))
	}
	seen := make(map[int64]bool)
	var oldest time.Time
	for p, err := range d.Periods(ctx, a.Key, time.Time{}) {
		if err != nil {
			return false, err
		}
		told.Periods++
		start := p.Start.UnixNano()
		seen[start] = true
		if oldest.IsZero() {
			oldest = p.Start
		}
		forgotten = forgotten || p.Forgotten != 0
		if sum := b.settled[start] + p.Forgotten; p.Settled != sum {
			note("settled", p.Start, p.Settled, sum, "")
		}
		if sum := b.pending[start]; p.Pending != sum {
			note("pending", p.Start, p.Pending, sum, "")
		}
	}
	for start := range b.settled {
		if !seen[start] && b.settled[start] != 0 && b.kept(start, oldest) {
			note("missing", time.Unix(0, start), 0, b.settled[start], "")
		}
	}
	return forgotten, nil
}

// keptFor is how long each store keeps the sum of a calendar window at least, unless it was told to forget sooner.
const keptFor = 30 * 24 * time.Hour

// kept reports whether a period has to be there of which the oldest one that is there is known: those are forgotten oldest first, those of
// rolling windows sooner than the entries, and a lifetime never.
func (b *bookings) kept(start int64, oldest time.Time) bool {
	if !oldest.IsZero() {
		return start > oldest.UnixNano()
	}
	recent := start == 0 || time.Since(time.Unix(0, start)) < keptFor
	return b.calendar && start == b.newest && recent
}

// carries reports whether a call's scope has all the values that an account is of. A lease's entry stands for calls that agree in those.
func carries(call, account budget.Scope) bool {
	same := func(of, value string) bool { return of == "" || of == value }
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

// compareUsage holds the rows of usage of each day against what entries have posted. A day of which entries may be forgotten holds as much at
// least.
func (d *desk) compareUsage(ctx context.Context, s *sums, told *checked, forgotten bool) error {
	usage := make(map[time.Time]budget.Charge)
	earliest := time.Time{}
	for row, err := range d.Usage(ctx, budget.UsageQuery{Every: budget.ByDay}) {
		if errors.Is(err, budget.ErrOverflow) {
			told.Differences = append(told.Differences, &differs{What: "usage", Detail: err.Error()})
			return nil
		} else if err != nil {
			return err
		}
		day, sum := row.Day.UTC(), usage[row.Day.UTC()]
		for unit := range row.Charge {
			sum[unit] += row.Charge[unit]
		}
		if usage[day] = sum; earliest.IsZero() || day.Before(earliest) {
			earliest = day
		}
	}
	told.UsageDays = len(usage)
	// Entries are forgotten in the order in which they were resolved: days that begin later than the oldest one is are whole, and all are
	// if nothing was forgotten.
	first := budget.UsageDay(s.first)
	nothingForgotten := !forgotten && !earliest.Before(first)
	days := make(map[time.Time]bool)
	for day := range usage {
		days[day] = true
	}
	for day := range s.usage {
		days[day] = true
	}
	for day := range days {
		sum, is := s.usage[day], usage[day]
		if sum == nil {
			sum = new(budget.Charge)
		}
		exact := nothingForgotten || day.After(first)
		for _, u := range unitsTold {
			if is[u.unit] < sum[u.unit] || exact && is[u.unit] != sum[u.unit] {
				told.Differences = append(told.Differences, &differs{What: "usage", Period: moment(day), Told: is[u.unit], Sum: sum[u.unit], Detail: fmt.Sprintf("%s: the store tells %d, and entries have posted %d", u.name, is[u.unit], sum[u.unit])})
			}
		}
	}
	return nil
}
