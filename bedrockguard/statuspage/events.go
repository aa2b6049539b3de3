package statuspage

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// The page does not read this from the ledger: guards tell it, and it is lost with the process. What the page shows of the last hour is a list of
// spent (spend.go): charges by minute, workflow, model and region.
const (
	// minutes is how many minutes of the past are shown one by one.
	minutes = 60
	// maxKeys is how many workflows and models have separate sums in a minute.
	maxKeys = 200
	// maxFindings is how many findings are remembered; the one that was not seen for the longest time is dropped first.
	maxFindings = 500
	// maxNotices is how many refusals and warnings are remembered.
	maxNotices = 100
)

// events is what was learned from a guard's events. The zero value is empty. It is safe for concurrent use.
type events struct {
	mu        sync.Mutex
	listening bool            // an event has arrived, so a guard reports to this page
	minutes   [minutes]minute // the last hour; a minute is at its number modulo 60
	findings  map[findingKey]*finding
	notices   []notice // oldest first
	dropped   int64    // how many events the guard did not deliver, because they came faster than Listen took them
}

// minute is what was charged in one minute.
type minute struct {
	number int64 // minutes since 1970
	sums   map[spentKey]*budget.Charge
}

// spentKey says for which calls of a minute a sum is. With other it is the sum of all calls whose own key came after the first maxKeys.
type spentKey struct {
	workflow, model, region string
	other                   bool
}

// findingKey says which findings are counted as one.
type findingKey struct {
	workflow string
	rule     cache.Rule
	where    string // the place in the request
}

// finding is one finding of the cache check in a workflow, for all calls that had it.
type finding struct {
	key   findingKey
	last  cache.Finding // as it was reported last
	at    time.Time     // of last
	calls int64
	nano  int64 // what it cost in nano-USD, summed over those calls
}

// notice is a refusal, or a warning of the guard, as one line of text.
type notice struct {
	at   time.Time
	kind bedrockguard.EventKind
	who  string // the scope of the call
	text string
}

// Listen records an event of a guard: put it into bedrockguard.Options.Listeners. It keeps no prompt text, and a bounded amount of
// everything else.
func (p *Page) Listen(_ context.Context, e bedrockguard.Event) {
	x := &p.events
	x.mu.Lock()
	defer x.mu.Unlock()
	x.listening = true
	// Each event tells how many were dropped before it.
	x.dropped = sum(x.dropped, e.Dropped)
	switch e.Kind {
	case bedrockguard.EventSettled:
		x.settled(&e)
	case bedrockguard.EventCacheFinding:
		x.found(&e)
	case bedrockguard.EventReserved, bedrockguard.EventVoided, bedrockguard.EventInShadow: // nobody needs to see these
	default:
		x.notice(&e)
	}
}

// settled adds what a call was charged to the sums of its minute. Requires mu held.
func (x *events) settled(e *bedrockguard.Event) {
	m := x.minuteAt(e.Time.Unix() / 60)
	if m == nil {
		return
	}
	total := m.total(spentKey{e.Scope.Workflow, e.Model, e.Region, false})
	for u := range total {
		total[u] = sum(total[u], e.Actual[u])
	}
}

// minuteAt returns the minute with this number, which it begins if there is none yet. It returns nil if a later minute has taken the place: then the
// event came an hour late or more. Requires mu held.
func (x *events) minuteAt(number int64) *minute {
	m := &x.minutes[((number%minutes)+minutes)%minutes] // not negative, even for a clock before 1970
	if m.number > number {
		return nil
	}
	if m.number < number || m.sums == nil { // the place has a minute of an earlier hour, or none
		*m = minute{number, make(map[spentKey]*budget.Charge)}
	}
	return m
}

// total returns the sum of a key, to be added to. If there is no room for another key, that is the sum of all others.
func (m *minute) total(key spentKey) *budget.Charge {
	if m.sums[key] == nil && len(m.sums) >= maxKeys {
		key = spentKey{other: true}
	}
	if m.sums[key] == nil {
		m.sums[key] = new(budget.Charge)
	}
	return m.sums[key]
}

// found counts a finding of the cache check. Requires mu held.
func (x *events) found(e *bedrockguard.Event) {
	key := findingKey{e.Scope.Workflow, e.Finding.Rule, e.Finding.Where}
	f := x.findings[key]
	if f == nil {
		if x.findings == nil {
			x.findings = make(map[findingKey]*finding)
		}
		if len(x.findings) >= maxFindings {
			x.forgetOldest()
		}
		f = &finding{key: key}
		x.findings[key] = f
	}
	f.last, f.at = e.Finding, e.Time
	f.calls++
	f.nano = sum(f.nano, e.Finding.NanoUSD)
}

// forgetOldest drops the finding that was not reported for the longest time. Requires mu held.
func (x *events) forgetOldest() {
	var oldest *finding
	for _, f := range x.findings {
		if oldest == nil || f.at.Before(oldest.at) {
			oldest = f
		}
	}
	delete(x.findings, oldest.key)
}

// notice keeps an event as a notice, in the place of the oldest one if there are maxNotices. Requires mu held.
func (x *events) notice(e *bedrockguard.Event) {
	text := ""
	switch {
	case e.Err != nil:
		text = e.Err.Error()
	case e.Crossed.Limit != "":
		text = e.Crossed.Limit + ": " + e.Crossed.Settled.String() + " of " + e.Crossed.Max.String()
		// FullIn is 0 if the window ends before the limit is reached, or if the pace is not known.
		if full := e.Crossed.Forecast.FullIn; full > 0 {
			text += ", full in " + full.Round(time.Second).String() + " at this pace"
		}
	case e.Asked != "" || e.Answered != "":
		// Mostly the model that was asked for, and the one that has answered or replaced it.
		text = e.Asked + " → " + e.Answered
	}
	if len(x.notices) >= maxNotices {
		x.notices = append(x.notices[:0], x.notices[len(x.notices)-maxNotices+1:]...)
	}
	x.notices = append(x.notices, notice{e.Time, e.Kind, scopeText(e.Scope, "(none)"), clip(text, longText)})
}

// hour returns the minutes of the last hour as columns of a chart, and what was charged in them. columns is nil if no guard reports to this page.
func (x *events) hour(now time.Time) (columns []time.Time, all []spent) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.listening {
		return nil, nil
	}
	first := now.Unix()/60 - minutes + 1
	for i := range int64(minutes) {
		columns = append(columns, time.Unix((first+i)*60, 0).UTC())
	}
	for i := range x.minutes {
		m := &x.minutes[i]
		// Minutes older than an hour stay until another one needs their place.
		if m.number < first {
			continue
		}
		for key, charge := range m.sums {
			all = append(all, spent{column: int(m.number - first), workflow: key.workflow, model: key.model, region: key.region, other: key.other, charge: *charge})
		}
	}
	return columns, all
}

// seen returns the findings, the most expensive first, the notices, the newest first, and how many events did not arrive.
func (x *events) seen() (findings []finding, notices []notice, dropped int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, f := range x.findings {
		findings = append(findings, *f)
	}
	slices.SortFunc(findings, func(a, b finding) int {
		return cmp.Or(cmp.Compare(b.nano, a.nano), b.at.Compare(a.at), cmp.Compare(a.key.workflow, b.key.workflow), cmp.Compare(a.key.rule, b.key.rule), cmp.Compare(a.key.where, b.key.where))
	})
	notices = slices.Clone(x.notices)
	slices.Reverse(notices)
	return findings, notices, x.dropped
}
