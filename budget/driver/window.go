package driver

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/internal/quote"
)

// windowKind is which of the windows below a Window is.
type windowKind uint8

const (
	noWindow windowKind = iota
	hourly
	daily
	weekly
	monthly
	quarterly
	yearly
	rolling
	lifetime
)

// windowNames are the names of the kinds, as String prints them and UnmarshalText reads them.
var windowNames = [...]string{"", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly", "rolling", "lifetime"}

// calendar reports whether the window begins and ends with hours, days or months of a time zone.
func (k windowKind) calendar() bool { return k >= hourly && k <= yearly }

// Window is the time over which a limit counts. It is a value, made by the names below; Open refuses the zero value.
type Window struct {
	kind   windowKind
	length time.Duration  // of a rolling window
	loc    *time.Location // of a calendar window; nil is UTC
	first  uint8          // of a weekly window: the first day of the week, in days after Monday
}

// The calendar windows, which begin and end in UTC unless In changes that, and the window that never ends. Weeks begin on Monday unless From
// changes that; quarters begin in January, April, July and October.
var (
	Hourly    = Window{kind: hourly}
	Daily     = Window{kind: daily}
	Weekly    = Window{kind: weekly}
	Monthly   = Window{kind: monthly}
	Quarterly = Window{kind: quarterly}
	Yearly    = Window{kind: yearly}
	Lifetime  = Window{kind: lifetime}
)

// rollingSteps is in how many steps a rolling window moves: spend leaves it up to one step late, never early.
const rollingSteps = 60

// Rolling returns a window that ends now: no interval of the given length ever holds more than the limit. Spend counts from the moment of
// its Reserve and leaves the window up to length/60 late, so that a store keeps at most 61 sums for each account. The length must be between
// a second and 366 days.
func Rolling(length time.Duration) Window { return Window{kind: rolling, length: length} }

// Length returns the length of a rolling window, and 0 for all others.
func (w Window) Length() time.Duration { return w.length }

// In returns a calendar window that begins and ends in the given time zone: one of the IANA database by its name, as from time.LoadLocation.
// Open refuses time.Local and fixed offsets, because processes on other hosts would count other days. Rolling and lifetime windows are
// returned unchanged; nil means UTC.
func (w Window) In(loc *time.Location) Window {
	if w.kind.calendar() {
		w.loc = loc
	}
	return w
}

// From returns a weekly window whose weeks begin on another day than Monday. Other windows are returned unchanged.
func (w Window) From(day time.Weekday) Window {
	if w.kind == weekly {
		w.first = uint8((day - time.Monday + 7) % 7)
	}
	return w
}

// String names the window: "monthly", "daily in Europe/Berlin", "weekly from Sunday", "rolling 1h0m0s".
func (w Window) String() string {
	switch {
	case w.kind == rolling:
		return "rolling " + w.length.String()
	case w.loc != nil && w.loc != time.UTC:
		return w.name() + " in " + w.loc.String()
	default:
		return w.name()
	}
}

// name is String without the time zone.
func (w Window) name() string {
	if w.first == 0 {
		return windowNames[w.kind]
	}
	return windowNames[w.kind] + " from " + time.Weekday((int(w.first)+int(time.Monday))%7).String()
}

// Validate reports a zero window, a rolling window whose length is out of range, and a zone that is not one of the IANA database.
func (w Window) Validate() error {
	switch {
	case w.kind == noWindow || w.kind > lifetime:
		return fmt.Errorf("%w: a limit needs a window", ErrInvalidPolicy)
	case w.kind == rolling && (w.length < time.Second || w.length > 366*24*time.Hour):
		return fmt.Errorf("%w: a rolling window of %s, want 1s to 8784h", ErrInvalidPolicy, w.length)
	}
	return checkZone(w.loc)
}

// Spellings returns the window's names in the keys of accounts: the canonical one, and the one as written if its zone has another spelling;
// an older version kept accounts under that name.
func (w Window) Spellings() (canonical, asWritten string) {
	asWritten = w.String()
	if w.loc == nil || !w.kind.calendar() {
		return asWritten, asWritten
	}
	canonical = w.name()
	if zone := canonicalZone(w.loc.String()); zone != "" {
		canonical += " in " + zone
	}
	return canonical, asWritten
}

// At returns the span of the given moment, by the store's clock.
func (w Window) At(now time.Time) Span {
	switch w.kind {
	case lifetime, noWindow:
		// One bucket, which begins in 1970 and never ends.
		return Span{Next: math.MaxInt64, End: math.MaxInt64}
	case rolling:
		return w.rollingAt(now.UnixNano())
	default:
		start, end := w.calendarAt(now)
		return Span{Start: start.UnixNano(), Since: start.UnixNano(), Next: end.UnixNano(), End: end.UnixNano()}
	}
}

// rollingAt is At for a rolling window. Its buckets are one step wide. A bucket counts during its own step and during those that follow it, until it
// is one length old.
func (w Window) rollingAt(now int64) Span {
	step, following := w.step(), w.following()
	start := now - now%step
	return Span{Start: start, Since: start - following*step, Next: start + step, End: start + (following+1)*step}
}

// step returns the width of a rolling window's bucket in nanoseconds: a sixtieth of the window, rounded up.
func (w Window) step() int64 { return (int64(w.length) + rollingSteps - 1) / rollingSteps }

// following returns for how many steps after its own a bucket of a rolling window counts: as many as have at least the window's length.
func (w Window) following() int64 { return (int64(w.length) + w.step() - 1) / w.step() }

// calendarAt returns the first moment of the calendar window that holds now, and that of the next window.
func (w Window) calendarAt(now time.Time) (start, end time.Time) {
	loc := w.loc
	if loc == nil {
		loc = time.UTC
	}
	t := now.In(loc)
	if w.kind == hourly { // by subtraction, because time.Date can't tell apart the two hours of the same name when clocks go back
		start = t.Add(-time.Duration(t.Minute())*time.Minute - time.Duration(t.Second())*time.Second - time.Duration(t.Nanosecond()))
		return start, start.Add(time.Hour)
	}
	y, m, d := t.Date()
	start, end = w.edges(y, m, d, loc)
	// If clocks go back over midnight, one hour has the date of a day that has already ended: it counts in the window that follows, which then begins at
	// the end of this one.
	for !t.Before(end) {
		y, m, d = end.Date()
		start, end = w.edges(y, m, d, loc)
	}
	return start, end
}

// edges returns the first moment of the day, week, month, quarter or year that contains a date, and that of the next one. y, m and d are the date;
// a day or month beyond its range stands for one of the next month or year, as in time.Date.
func (w Window) edges(y int, m time.Month, d int, loc *time.Location) (start, end time.Time) {
	switch w.kind {
	case daily:
		return dayStart(y, m, d, loc), dayStart(y, m, d+1, loc)
	case weekly:
		// Weekday counts from Sunday, and first from Monday. Before each %, 7 days more keep the number from being negative.
		afterMonday := (int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Weekday()) - int(time.Monday) + 7) % 7
		d -= (afterMonday - int(w.first) + 7) % 7 // back to the first day of the week
		return dayStart(y, m, d, loc), dayStart(y, m, d+7, loc)
	case quarterly:
		m -= (m - 1) % 3 // back to January, April, July or October
		return dayStart(y, m, 1, loc), dayStart(y, m+3, 1, loc)
	case yearly:
		return dayStart(y, time.January, 1, loc), dayStart(y+1, time.January, 1, loc)
	default: // monthly; hourly windows have no use of dates
		return dayStart(y, m, 1, loc), dayStart(y, m+1, 1, loc)
	}
}

// ResetAfter returns how long after now it takes until excess has left the window, or 0 if time alone never frees that
// much. excess is by how much the account is too full for what is asked. The buckets are those that count now (from Span.Since on), in ascending
// order of Start.
func (w Window) ResetAfter(now time.Time, buckets []Bucket, excess int64) time.Duration {
	switch w.kind {
	case lifetime, noWindow:
		return 0
	case rolling:
		for _, b := range buckets {
			if excess -= b.Used; excess <= 0 {
				// This bucket and all before it have to leave. They have left when it stops counting, as in rollingAt.
				end := b.Start + (w.following()+1)*w.step()
				return time.Duration(end - now.UnixNano())
			}
		}
		return 0
	default:
		return time.Duration(w.At(now).End - now.UnixNano())
	}
}

// Span is where a moment lies in a window, in nanoseconds since 1970 UTC. A bucket is a part of time for which an account has a sum. A store
// books what is reserved at that moment in the bucket that begins at Start, and checks the limit against all buckets that begin at Since or
// later. For calendar windows that is the same bucket; for rolling ones up to 61, and later buckets too, if the clock has gone back.
type Span struct {
	Start int64
	Since int64
	Next  int64 // when the next bucket begins; math.MaxInt64 for never
	End   int64 // when the bucket stops counting; math.MaxInt64 for never
}

// dayStart returns the first moment whose local date is the given day, or a later one if a zone has left out that day. The first moment is not
// midnight where clocks go forward over midnight: in Havana, Santiago and on the Azores such a day begins at one o'clock, and time.Date returns an
// hour of the day before.
func dayStart(y int, m time.Month, d int, loc *time.Location) time.Time {
	start := time.Date(y, m, d, 0, 0, 0, 0, loc)
	if loc == time.UTC || !clocksMoveAround(start) {
		return start
	}
	// Try the offsets that the zone has around the day, in the order of time: each is in force from change until next. With each, the day would start at
	// midnight, or when that offset came into force if that is later. The first offset that is still in force at that moment gives the answer.
	midnight := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	var next time.Time
	for at := midnight.Add(-aroundDay).In(loc); ; at = next {
		var change time.Time
		change, next = at.ZoneBounds() // zero without a change before, or after
		_, offset := at.Zone()
		start = midnight.Add(-time.Duration(offset) * time.Second).In(loc)
		if start.Before(change) {
			start = change
		}
		if next.IsZero() || start.Before(next) {
			return start
		}
	}
}

// aroundDay is how far from a day's midnight in UTC a change of its clocks can be: zones are within 14 hours of UTC, and no zone was ever moved by
// more than 24.
const aroundDay = 36 * time.Hour

// clocksMoveAround reports whether a zone's clocks are moved near a moment, so that its day may not begin at midnight.
func clocksMoveAround(at time.Time) bool {
	before, after := at.ZoneBounds() // the changes; zero if there is none
	return !before.IsZero() && at.Sub(before) <= aroundDay || !after.IsZero() && after.Sub(at) <= aroundDay
}

// Bucket is the sum of one bucket of an account, as an argument of ResetAfter.
type Bucket struct {
	Start int64
	Used  int64 // settled + pending
}

// MarshalText writes what String prints, or returns ErrInvalidPolicy for a window that Open would refuse.
func (w Window) MarshalText() ([]byte, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	return []byte(w.String()), nil
}

// UnmarshalText reads "hourly", "daily", "weekly", "monthly", "quarterly" or "yearly", each with or without a time zone as in
// "daily in Europe/Berlin", "weekly from Sunday", "rolling 24h" or "lifetime".
func (w *Window) UnmarshalText(text []byte) error {
	read, problem := parseWindow(string(text))
	if problem != "" {
		return fmt.Errorf("%w: %q%s", ErrInvalidPolicy, quote.Clip(string(text)), problem)
	}
	if err := read.Validate(); err != nil {
		return err
	}
	*w = read
	return nil
}

// parseWindow reads a window, as UnmarshalText does. If it can't, problem says why, behind the text.
func parseWindow(text string) (w Window, problem string) {
	name, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	rest = strings.TrimSpace(rest)
	for kind := hourly; kind <= lifetime; kind++ {
		if windowNames[kind] == name {
			w.kind = kind
		}
	}
	if from, ok := strings.CutPrefix(rest, "from "); ok && w.kind == weekly {
		var dayName string
		dayName, rest, _ = strings.Cut(from, " ")
		rest = strings.TrimSpace(rest)
		day, known := weekdayOf(dayName)
		if !known {
			return w, ": weeks begin on a day from Monday to Sunday"
		}
		w = w.From(day)
	}
	zone, hasZone := strings.CutPrefix(rest, "in ")
	var err error
	switch {
	case w.kind == rolling && rest != "":
		if w.length, err = time.ParseDuration(rest); err != nil {
			return w, ": a rolling window needs a length, as in \"rolling 24h\""
		}
	case w.kind.calendar() && hasZone:
		if w.loc, err = time.LoadLocation(strings.TrimSpace(zone)); err != nil {
			return w, ": no such time zone: want one as in Europe/Berlin"
		}
	case w.kind == noWindow || w.kind == rolling || rest != "": // no name of a window, rolling without a length, or more text than the window takes
		return w, " is no window: want hourly, daily, weekly, monthly, quarterly or yearly, each with or without \"in\" a time zone, rolling with a length, or lifetime"
	}
	return w, ""
}

// weekdayOf returns the day of an English name, as in "Sunday".
func weekdayOf(name string) (day time.Weekday, known bool) {
	for day = time.Sunday; day <= time.Saturday; day++ {
		if day.String() == name {
			return day, true
		}
	}
	return 0, false
}
