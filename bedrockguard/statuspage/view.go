package statuspage

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The types whose names end in View or Row have the values that the templates in assets show.

// frame has the values that every page shows.
type frame struct {
	Title    string
	Who      string // the name of the operator who is logged in, which the audit trail gets
	Writable bool   // there is a secret with which operators can log in
	LoggedIn bool
	Script   bool // the page refreshes itself
}

// pageView has the values that the main page shows.
type pageView struct {
	frame
	// For this viewer; see show.
	Done      string // what a change that was just made has done
	Problem   string // why the figures are old, or missing
	Steer     bool   // show links to the forms for changes
	Overrides bool   // overrides can be made

	// What was spent.
	At     time.Time
	Tiles  []tile
	Charts []chart // by day
	Hits   hitView // which share of the input was read from the prompt cache, by workflow

	// The limits.
	Policy   bool // a policy with limits is known
	Accounts []accountRow
	Hidden   int          // how many accounts are not shown
	Unknown  int          // how many further accounts were not read
	Raised   []accountRow // accounts with an override

	// What guards have reported. If none reports to this page (Listening), the lists are empty.
	Listening bool
	Dropped   int64   // how many events did not arrive
	Hour      []chart // by minute, of the last hour
	Findings  []findingRow
	Notices   []noticeRow

	// What happens now, and what was changed.
	Calls     []callRow // in flight
	MoreCalls bool
	Kills     []killRow
	MoreKills int // how many flags are not shown
	Trail     []trailRow
}

// tile is one of the large figures at the top of the page.
type tile struct {
	Name  string
	Value figure
	Note  string
}

// accountRow is one account of a limit.
type accountRow struct {
	N            int    // the number of the row, for names in the HTML
	Key          string // for links to forms; empty for a limit under which nothing was booked
	Limit, Scope string
	Everything   bool // the account is for all calls, so that stopping it stops everything

	Settled, Pending     figure
	Since                time.Time // the beginning of the newest period, if there is no policy; else zero
	Latched, OverrideEnd time.Time // until when a refusal keeps it closed, or an override holds; zero if none does

	// What the limit tells. Without it these are empty.
	Known               bool // the policy has the limit
	Observe             bool // the limit only observes
	Left, Max           figure
	Part                string // how full the account is, in percent
	Bar                 bar    // the same as a picture
	Window              string
	Reset               string    // how long until the window ends
	ResetAt             time.Time // when that is
	Pace, Over, Reaches string    // how fast it is spent, over which time that was measured, and when it will be full
}

// findingRow is a finding of the cache check in one workflow. Cost and Day are what it costs by the latest report, for one call and for a day;
// Total is what it has cost so far.
type findingRow struct {
	Workflow, Rule, Cause, Where, Detail, Advice string
	Calls                                        string
	Cost, Day, Total                             figure
	At                                           time.Time
	Suspected                                    bool
}

// noticeRow is a refusal or a warning.
type noticeRow struct {
	At              time.Time
	Kind, Who, Text string
}

// callRow is a call in flight.
type callRow struct {
	N                int // the number of the row, for names in the HTML
	ID, Scope        string
	Model, Operation string
	Since            string // how long ago it was reserved
	Worst            figure // what it has reserved
}

// killRow is a kill flag in force.
type killRow struct {
	N             int    // the number of the row, for names in the HTML
	Flag          string // its key, for links to forms
	Scope, Reason string
	At, Until     time.Time // since when and until when; a zero Until is no end
	Effective     time.Time // from when it holds in every process; zero if it already does
	Patterns      bool      // the values of Scope are patterns
}

// trailRow is a row of the audit trail.
type trailRow struct {
	At                        time.Time
	Operator, Kind, What, Why string
}

// show renders the main page. If the ledger can't be read now, it shows the latest figures that could be, and says that they are old.
func (p *Page) show(w http.ResponseWriter, r *http.Request, who string) {
	s, err := p.snapshot(r.Context())
	v := new(pageView)
	if s != nil {
		// A copy, because all viewers share s.view, while the fields below are for this one.
		*v = *s.view
	}
	v.frame = frame{Title: "bedrockguard", Who: clip(who, shortText), Writable: p.writable, LoggedIn: who != "", Script: true}
	// Only who is logged in has a name: login gives one to those who leave it empty.
	v.Steer = who != ""
	v.Overrides = v.Steer && p.ledger != nil
	v.Done = doneText(r)
	status := http.StatusOK
	if err != nil {
		status, v.Problem = http.StatusServiceUnavailable, problemText(err, who != "")
	}
	render(w, status, "page.html", v)
}

// problemText says why the ledger could not be read. An error may contain names of hosts and accounts, which only operators may see.
func problemText(err error, operator bool) string {
	text := "The store does not answer, so that nobody knows what is spent now. Guarded calls are refused meanwhile."
	switch {
	case errors.Is(err, budget.ErrLost):
		text = "The ledger lost a part of what it knew. Every call is refused until an operator accepts the loss: bedrockguard accept-loss."
	case errors.Is(err, budget.ErrInvalidPolicy):
		text = "The policy that the store holds can't be read."
	}
	if operator {
		text += " (" + clip(err.Error(), longText) + ")"
	}
	return text
}

// view returns what the page shows of a snapshot and of the guards' events.
func (p *Page) view(s *snapshot) *pageView {
	v := &pageView{At: s.at, Policy: s.policy, Unknown: s.unknown}
	// List prices that were looked up so far, which both breakdowns by class share.
	var known prices
	columns, daily := s.days, s.daily
	byWorkflow := breakdownBy(columns, daily, workflowOf)
	v.Charts = []chart{
		chartOf("day-workflow", "By workflow", dayForm, byWorkflow),
		chartOf("day-model", "By model", dayForm, breakdownBy(columns, daily, modelOf)),
		chartOf("day-class", "By class of token", dayForm, breakdownByClass(columns, daily, &known)),
		chartOf("day-tokens", "Tokens by class", dayForm, breakdownOfTokens(columns, daily)),
	}
	minutes, hourly := p.events.hour(s.at) // both nil without a guard that reports here
	v.Listening = minutes != nil
	if v.Listening {
		v.Hour = []chart{
			chartOf("hour-workflow", "By workflow", minuteForm, breakdownBy(minutes, hourly, workflowOf)),
			chartOf("hour-model", "By model", minuteForm, breakdownBy(minutes, hourly, modelOf)),
			chartOf("hour-class", "By class of token", minuteForm, breakdownByClass(minutes, hourly, &known)),
		}
	}
	v.Hits = hitsOf(columns, daily, hourly, p.maxRows)
	p.viewAccounts(v, s)
	p.viewEvents(v)
	viewCalls(v, s)
	p.viewKills(v, s)
	p.viewTrail(v, s)
	v.Tiles = tiles(v, s, byWorkflow)
	return v
}

// tiles are the most important figures, at the top of the page.
func tiles(v *pageView, s *snapshot, byDay breakdown) []tile {
	// The columns end with today.
	today := byDay.Totals[len(byDay.Totals)-1]
	all := []tile{{"Spent today", usd(today), "UTC, from midnight"}, {fmt.Sprintf("Spent in %d days", historyDays), usd(byDay.Total), "today included"}}
	if v.Listening {
		// The first chart of the hour is that by workflow. Each of them splits all of the money, so any other one has the same total.
		all = append(all, tile{"Spent in the last hour", v.Hour[0].Total, "by the guards that report here"})
	}
	setAside := int64(0)
	for i := range s.pending {
		setAside = sum(setAside, s.pending[i].Reserved[budget.UnitUSD])
	}
	calls := strconv.Itoa(len(s.pending))
	if s.more {
		calls += " or more"
	}
	return append(all,
		tile{"Calls in flight", figure{calls, calls}, usd(setAside).Text + " set aside"},
		tile{"Kill flags in force", figureOf(budget.Quantity{N: int64(len(s.kills))}), ""},
	)
}

// viewAccounts adds the rows of the fullest accounts, which come first in the snapshot, and of those that have an override wherever they stand.
func (p *Page) viewAccounts(v *pageView, s *snapshot) {
	for i, a := range s.accounts {
		if a.override != nil && len(v.Raised) < p.maxRows {
			v.Raised = append(v.Raised, rowOf(i, a, s.at))
		}
		if i < p.maxRows {
			v.Accounts = append(v.Accounts, rowOf(i, a, s.at))
		}
	}
	v.Hidden = len(s.accounts) - len(v.Accounts)
}

// rowOf returns the row of an account; i is its index in the snapshot.
func rowOf(i int, a *account, now time.Time) accountRow {
	b := &a.balance
	row := accountRow{
		N: i, Limit: clip(b.Limit, shortText), Scope: scopeText(b.Scope, "all calls"), Everything: len(b.Scope.Dims()) == 0, Known: a.known,
		Settled: figureOf(b.Settled), Pending: figureOf(b.Pending), Window: a.window, Since: a.since, Latched: a.latched, Observe: b.Observe,
	}
	if a.key != (budget.Key{}) {
		row.Key = hex.EncodeToString(a.key[:])
	}
	if a.override != nil {
		row.OverrideEnd = a.override.Until
	}
	if !a.known { // neither the maximum nor the window
		return row
	}
	row.Left, row.Max, row.Bar = figureOf(b.Left()), figureOf(b.Max), barOf(a)
	row.Part = percent(sum(b.Settled.N, b.Pending.N), b.Max.N)
	if b.Max.Unit != budget.UnitUSD {
		row.Window = b.Max.Unit.String() + ", " + row.Window
	}
	// ResetAfter is 0 for a lifetime, which never resets.
	if b.ResetAfter > 0 {
		row.Reset, row.ResetAt = lasting(b.ResetAfter), now.Add(b.ResetAfter).Round(time.Second)
	}
	row.Pace, row.Over, row.Reaches = paceTexts(a)
	return row
}

// paceTexts returns texts that say how fast an account is spent, over which time that was measured, and when it will be full. They are empty if no
// pace is known, except that an account that is full already says so. Its limit has to be known.
func paceTexts(a *account) (perHour, over, reaches string) {
	pace := &a.pace
	switch {
	case pace.over == 0: // no pace is known
	case pace.perHour < 1: // less than one nano-USD, token or call
		perHour = "none"
	default:
		// A float above 1e18 may not fit into an int64.
		perHour = figureOf(budget.Quantity{N: int64(min(pace.perHour, 1e18)), Unit: a.balance.Max.Unit}).Text + " an hour"
		over = "in this window"
		if pace.recent {
			over = "in the last " + lasting(pace.over)
		}
		reaches = pace.reachText()
	}
	if a.balance.Left().N <= 0 { // a latched account has nothing left either
		reaches = "reached"
	}
	return perHour, over, reaches
}

// reachText says when an account that has something left will be full at this pace.
func (p *pace) reachText() string {
	switch {
	case p.full == 0:
		return "not in ten years"
	case p.resets:
		return "not in this window"
	default:
		return "in " + lasting(p.full)
	}
}

// viewEvents adds what guards have reported: findings of the cache check, refusals and warnings.
func (p *Page) viewEvents(v *pageView) {
	findings, notices, dropped := p.events.seen()
	v.Dropped = dropped
	for _, f := range findings[:min(len(findings), p.maxRows)] {
		// Empty for a rule that is not known.
		info, _ := f.last.Rule.Info()
		v.Findings = append(v.Findings, findingRow{
			Workflow: named(f.key.workflow), Rule: string(f.last.Rule), Cause: info.Cause, Where: clip(f.last.Where, longText), Detail: clip(f.last.Detail, longText),
			Advice: info.Advice, Calls: grouped(strconv.FormatInt(f.calls, 10)), Cost: usd(f.last.NanoUSD), Day: usd(f.last.NanoUSDPerDay), Total: usd(f.nano),
			At: f.at, Suspected: f.last.Suspected,
		})
	}
	for _, n := range notices {
		v.Notices = append(v.Notices, noticeRow{n.at, string(n.kind), n.who, n.text})
	}
}

// viewCalls adds the calls in flight.
func viewCalls(v *pageView, s *snapshot) {
	v.MoreCalls = s.more
	for i := range s.pending {
		e := &s.pending[i]
		call := e.Scope
		call.Model = "" // it has a column of its own
		v.Calls = append(v.Calls, callRow{
			N: i, ID: e.ID.String(), Scope: scopeText(call, "(nobody said)"), Model: named(e.Scope.Model), Operation: named(e.Operation),
			// lasting returns nothing for a time of zero.
			Since: cmp.Or(lasting(s.at.Sub(e.ReservedAt)), "0 s"), Worst: usd(e.Reserved[budget.UnitUSD]),
		})
	}
}

// viewKills adds the kill flags in force.
func (p *Page) viewKills(v *pageView, s *snapshot) {
	for i := range s.kills[:min(len(s.kills), p.maxRows)] {
		k := &s.kills[i]
		row := killRow{N: i, Flag: flagKey(k), Scope: scopeText(k.Scope, "every call"), Reason: clip(k.Reason, longText), At: k.At, Until: k.Until, Patterns: k.Patterns}
		if s.at.Before(k.EffectiveBy) { // until then another process may still admit calls, if it draws amounts from the store in advance
			row.Effective = k.EffectiveBy
		}
		v.Kills = append(v.Kills, row)
	}
	v.MoreKills = len(s.kills) - len(v.Kills)
}

// viewTrail adds the audit trail.
func (p *Page) viewTrail(v *pageView, s *snapshot) {
	accounts := make(map[budget.Key]*account, len(s.accounts))
	for _, a := range s.accounts {
		accounts[a.key] = a
	}
	for i := range s.trail[:min(len(s.trail), p.maxRows)] {
		v.Trail = append(v.Trail, trailOf(&s.trail[i], accounts))
	}
}

// flagKey returns the key of a flag for links: the same for the same scope, and for patterns another one.
func flagKey(k *budget.Kill) string {
	object := k.Flag().Object()
	return hex.EncodeToString(object[:])
}

// trailOf returns the row of a change. The trail names an account by its key alone, so accounts has those that are known now.
func trailOf(r *driver.Record, accounts map[budget.Key]*account) trailRow {
	row := trailRow{At: r.At, Operator: named(r.Operator), Kind: r.Kind.String(), Why: clip(r.Reason, longText)}
	switch r.Kind {
	case driver.ChangeKill, driver.ChangeRevive:
		row.What = flagChangeText(r)
	case driver.ChangeOverride, driver.ChangeUnlatch:
		row.What = accountChangeText(r, accounts[r.Account])
	case driver.ChangeCorrect:
		row.What = "call " + r.Reservation.String() + ": " + r.From.In(budget.UnitUSD).String() + " to " + r.To.In(budget.UnitUSD).String()
	case driver.ChangePolicy:
		// A record without a hash says that the policy was removed.
		row.What = "none"
		if r.Policy != [32]byte{} {
			row.What = "SHA-256 " + hex.EncodeToString(r.Policy[:8]) + "…"
		}
	}
	return row
}

// flagChangeText says which flag was set or removed.
func flagChangeText(r *driver.Record) string {
	text := scopeText(r.Scope, "every call")
	if r.Patterns {
		text += " (patterns)"
	}
	if !r.Until.IsZero() {
		text += " until " + when(r.Until)
	}
	return text
}

// accountChangeText says what was changed of an account: its maximum was set or taken back, or it was opened (unlatched) after a refusal had closed
// it. a is nil if the account is not known now.
func accountChangeText(r *driver.Record, a *account) string {
	text := "account " + hex.EncodeToString(r.Account[:])
	var unit budget.Unit
	if a != nil && a.balance.Limit != "" { // an account under which no call was made yet has no limit's name
		text, unit = clip(a.balance.Limit, shortText)+", "+scopeText(a.balance.Scope, "all calls"), a.balance.Max.Unit
	}
	switch {
	case r.Override != nil:
		text += ": " + figureOf(budget.Quantity{N: r.Override.Max, Unit: unit}).Exact + " until " + when(r.Override.Until)
	case r.Kind == driver.ChangeOverride:
		text += ": taken back"
	}
	return text
}

// doneText says what a change has done, by the parameters of its redirect. It contains no text of the request.
func doneText(r *http.Request) string {
	q := r.URL.Query()
	n, err := strconv.Atoi(q.Get("accounts"))
	text := doneTexts[q.Get("done")]
	switch {
	// Some changes have no number of accounts, and then text is all.
	case text == "" || err != nil || n < 0:
		return text
	case n == 0:
		return text + " No known account carries these values: is a name misspelled?"
	case n == 1:
		return text + " One known account carries these values."
	}
	return text + fmt.Sprintf(" %d known accounts carry these values.", n)
}

// doneTexts are the texts for the values of the parameter done, which change.go sets.
var doneTexts = map[string]string{
	"kill": "Killed: every process refuses such calls, and running streams end.", "revive": "Revived: such calls are let through again.",
	"override": "The override is set.", "restore": "The override is taken back.",
}

// render answers with a page from a template.
func render(w http.ResponseWriter, status int, name string, view any) {
	var text bytes.Buffer
	if err := templates.ExecuteTemplate(&text, name, view); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = text.WriteTo(w)
}

// refuse answers with an error in a sentence.
func (p *Page) refuse(w http.ResponseWriter, status int, problem string) {
	render(w, status, "problem.html", struct {
		frame
		Problem string
	}{frame{Title: "Not done", Writable: p.writable}, problem})
}
