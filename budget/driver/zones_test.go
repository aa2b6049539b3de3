package driver

import (
	"math"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/stretchr/testify/require"
)

// Every other spelling keeps the same time as the usual one, and the usual one is no other spelling itself.
func TestZoneAliasesAreTheSameZone(t *testing.T) {
	table := canonicalZones()
	require.Greater(t, len(table), 140)
	for alias, name := range table {
		require.NotContains(t, table, name)
		a, b := zone(t, alias), zone(t, name)
		for at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2032; at = at.Add(73 * time.Hour) {
			require.Equal(t, at.In(b).Format(time.DateTime), at.In(a).Format(time.DateTime), "%s and %s", alias, name)
		}
	}
}

// Every moment lies in its own window, windows follow each other without a gap, and none is empty.
func TestCalendarWindowsLeaveNoMomentOut(t *testing.T) {
	for _, name := range []string{
		"America/Havana", "America/Santiago", "Atlantic/Azores", "America/Asuncion", "America/Nuuk", "Asia/Beirut", "Africa/Cairo",
		"Australia/Lord_Howe", "Pacific/Apia", "Europe/Berlin", "America/St_Johns", "Asia/Tehran", "Asia/Gaza", "Africa/Casablanca",
		"America/Sao_Paulo", "America/Scoresbysund", "Pacific/Kwajalein", "UTC",
	} {
		loc := zone(t, name)
		for _, w := range []Window{Daily.In(loc), Weekly.In(loc), Weekly.From(time.Saturday).In(loc), Monthly.In(loc), Quarterly.In(loc), Yearly.In(loc)} {
			last := Span{}
			for at := time.Date(2004, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2030; at = at.Add(30 * time.Minute) {
				now := at.UnixNano()
				if now >= last.Start && now < last.End {
					continue
				}
				span := w.At(at)
				require.LessOrEqual(t, span.Start, now, "%s at %s", w, at)
				require.Greater(t, span.End, now, "%s at %s", w, at)
				require.Equal(t, span.Start, span.Since)
				if last.End != 0 {
					require.Equal(t, last.End, span.Start, "%s at %s: a gap, or an overlap", w, at)
				}
				require.Equal(t, span, w.At(time.Unix(0, span.Start)), "%s: its first moment", w)
				require.Equal(t, span, w.At(time.Unix(0, span.End-1)), "%s: its last moment", w)
				last = span
			}
		}
	}
}

func TestADayWithoutMidnightIsWhole(t *testing.T) {
	for _, tc := range []struct{ zone, day, starts string }{
		{"America/Havana", "2026-03-08", "2026-03-08T05:00:00Z"},
		{"America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z"},
		{"Atlantic/Azores", "2026-03-29", "2026-03-29T01:00:00Z"},
		{"Asia/Beirut", "2026-03-29", "2026-03-28T22:00:00Z"},
	} {
		w := Daily.In(zone(t, tc.zone))
		starts, err := time.Parse(time.RFC3339, tc.starts)
		require.NoError(t, err)
		require.Equal(t, starts.UnixNano(), w.At(starts).Start, tc.zone)
		before := w.At(starts.Add(-time.Minute))
		require.Equal(t, starts.UnixNano(), before.End, "%s: the last hour of the day before", tc.zone)
		require.Equal(t, tc.day, starts.In(w.loc).Format(time.DateOnly))
		require.Positive(t, w.ResetAfter(starts.Add(-time.Minute), nil, 1))
	}
	require.Equal(t, int64(math.MaxInt64), Lifetime.At(time.Now()).End)
	require.False(t, strings.Contains(Daily.In(time.UTC).String(), "UTC"))
}
