package budget

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MarshalText writes what String prints, with the unit in the plural, or returns ErrInvalidPolicy for a quantity without a unit, or below zero.
func (q Quantity) MarshalText() ([]byte, error) {
	if !q.Unit.Valid() || q.N < 0 {
		return nil, fmt.Errorf("%w: %d of %s", ErrInvalidPolicy, q.N, q.Unit)
	}
	if q.N == 1 && q.Unit != UnitUSD {
		return []byte("1 " + q.Unit.String()), nil // the only form that every release can read
	}
	return []byte(q.String()), nil
}

// UnmarshalText reads a number and a unit: "50 USD", "0.25 USD", "2000000 input tokens", "100 calls", "1 call". Underscores may separate
// thousands. USD has at most nine decimals, everything else none.
func (q *Quantity) UnmarshalText(text []byte) error {
	number, name, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	name = strings.TrimSpace(name)
	unit := Unit(0)
	for u := UnitUSD; u.Valid(); u++ {
		if unitNames[u] == name || u != UnitUSD && unitNames[u] == name+"s" {
			unit = u
		}
	}
	if unit == 0 {
		return fmt.Errorf("%w: %q names no unit: want a number and one of %s", ErrInvalidPolicy, clip(string(text)), strings.Join(unitNames[1:], ", "))
	}
	n, problem := parseDecimal(number, unit == UnitUSD)
	if problem != "" {
		return fmt.Errorf("%w: %q: %s", ErrInvalidPolicy, clip(string(text)), problem)
	}
	*q = Quantity{n, unit}
	return nil
}

// parseDecimal reads money in billionths, and everything else in whole units; or it returns what is wrong.
func parseDecimal(text string, money bool) (n int64, problem string) {
	whole, fraction, decimal := strings.Cut(strings.ReplaceAll(text, "_", ""), ".")
	digits := 0
	if money {
		digits = 9
	}
	switch {
	case decimal && !money:
		return 0, "not a whole number"
	case decimal && (fraction == "" || len(fraction) > digits):
		return 0, fmt.Sprintf("want 1 to %d decimals", digits)
	case strings.Trim(whole+fraction, "0123456789") != "" || whole == "":
		return 0, "not a number from 0 on"
	}
	n, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", digits-len(fraction)), 10, 64)
	if err != nil {
		return 0, "beyond the largest amount"
	}
	return n, ""
}

// clip shortens a text that is quoted in an error.
func clip(text string) string {
	const most = 60
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// MarshalText writes what String prints, with the unit in the plural, or returns ErrInvalidPolicy for a window that Open would refuse.
func (w Window) MarshalText() ([]byte, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	return []byte(w.String()), nil
}

// UnmarshalText reads "hourly", "daily", "weekly", "monthly", "quarterly" or "yearly", each with or without a time zone as in
// "daily in Europe/Berlin", "weekly from Sunday", "rolling 24h" or "lifetime".
func (w *Window) UnmarshalText(text []byte) error {
	name, rest, more := strings.Cut(strings.TrimSpace(string(text)), " ")
	rest = strings.TrimSpace(rest)
	var read Window
	for kind := hourly; kind <= lifetime; kind++ {
		if windowNames[kind] == name {
			read.kind = kind
		}
	}
	if day, from := strings.CutPrefix(rest, "from "); from && read.kind == weekly {
		day, rest, more = strings.Cut(day, " ")
		rest = strings.TrimSpace(rest)
		weekday, known := weekdayOf(day)
		if !known {
			return fmt.Errorf("%w: %q: weeks begin on a day from Monday to Sunday", ErrInvalidPolicy, clip(string(text)))
		}
		read = read.From(weekday)
	}
	zone, inZone := strings.CutPrefix(rest, "in ")
	switch {
	case read.kind == rolling && more:
		length, err := time.ParseDuration(rest)
		if err != nil {
			return fmt.Errorf("%w: %q: a rolling window needs a length, as in \"rolling 24h\"", ErrInvalidPolicy, clip(string(text)))
		}
		read.length = length
	case read.kind.calendar() && inZone:
		loc, err := time.LoadLocation(strings.TrimSpace(zone))
		if err != nil {
			return fmt.Errorf("%w: %q: no such time zone: want one as in Europe/Berlin", ErrInvalidPolicy, clip(string(text)))
		}
		read.loc = loc
	case read.kind == noWindow || read.kind == rolling || more:
		return fmt.Errorf("%w: %q is no window: want hourly, daily, weekly, monthly, quarterly or yearly, each with or without \"in\" a time zone, rolling with a length, or lifetime", ErrInvalidPolicy, clip(string(text)))
	}
	if err := read.Validate(); err != nil {
		return err
	}
	*w = read
	return nil
}

// weekdayOf returns the day of an English name.
func weekdayOf(name string) (day time.Weekday, known bool) {
	for day = time.Sunday; day <= time.Saturday; day++ {
		if day.String() == name {
			return day, true
		}
	}
	return 0, false
}

// perNames are the names of the dimensions, in the order of their bits.
var perNames = [...]string{"principal", "workflow", "model", "region", "profile", "project"}

// String prints the dimensions, joined with |: "principal|model"; nothing for none.
func (p Per) String() string {
	var names []string
	for i, name := range perNames {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

// MarshalText writes what String prints, with the unit in the plural, or returns ErrInvalidPolicy for unknown bits.
func (p Per) MarshalText() ([]byte, error) {
	if p&^perAll != 0 {
		return nil, fmt.Errorf("%w: Per holds unknown bits", ErrInvalidPolicy)
	}
	return []byte(p.String()), nil
}

// UnmarshalText reads what String prints.
func (p *Per) UnmarshalText(text []byte) error {
	var read Per
	if len(text) > 0 {
		for name := range strings.SplitSeq(string(text), "|") {
			one, ok := perOf(name)
			if !ok {
				return fmt.Errorf("%w: %q is no dimension: want %s", ErrInvalidPolicy, clip(name), strings.Join(perNames[:], ", "))
			}
			read |= one
		}
	}
	*p = read
	return nil
}

func perOf(name string) (Per, bool) {
	for i := range perNames {
		if perNames[i] == name {
			return 1 << i, true
		}
	}
	return 0, false
}
