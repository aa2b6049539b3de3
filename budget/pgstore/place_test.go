package pgstore

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// Whatever a time zone leaves out or repeats, a span that is worked out for one moment is the right one at each moment
// for which it is said to hold.
func TestPlacementsHoldAsLongAsTheySay(t *testing.T) {
	odd := map[string][]string{
		"UTC":                 {"2026-03-10T12:30:15Z", "2028-02-29T00:00:00Z"},
		"Australia/Lord_Howe": {"2026-04-04T15:00:00Z", "2026-10-03T15:30:00Z"}, // half an hour back and forth
		"Asia/Beirut":         {"2026-03-28T22:00:00Z", "2026-10-24T21:00:00Z"}, // no midnight, two midnights
		"America/Sao_Paulo":   {"2018-11-04T03:00:00Z", "2018-02-18T02:00:00Z"},
		"Pacific/Apia":        {"2011-12-30T10:00:00Z"}, // a day that never was
		"Asia/Kathmandu":      {"1985-12-31T18:30:00Z"},
	}
	random := rand.New(rand.NewPCG(1, 2))
	for zone, moments := range odd {
		loc, err := time.LoadLocation(zone)
		require.NoError(t, err)
		for _, moment := range moments {
			around, err := time.Parse(time.RFC3339, moment)
			require.NoError(t, err)
			for _, w := range []driver.Window{driver.Hourly, driver.Daily, driver.Weekly, driver.Monthly} {
				for range 200 {
					now := around.Add(time.Duration(random.Int64N(int64(8*time.Hour))) - 4*time.Hour).UnixNano()
					span := w.In(loc).At(time.Unix(0, now))
					from, until := holds(w.In(loc), now, span)
					require.LessOrEqual(t, from, now)
					require.Greater(t, until, now)
					for range 20 {
						at := from + random.Int64N(until-from)
						require.Equal(t, span, w.In(loc).At(time.Unix(0, at)), "%s in %s at %s, for %s", w, zone, time.Unix(0, at).UTC(), time.Unix(0, now).UTC())
					}
				}
			}
		}
	}
}

// A span that is said to hold too short would be asked for again and again.
func TestPlacementsHoldLongEnough(t *testing.T) {
	loc, err := time.LoadLocation("Asia/Beirut")
	require.NoError(t, err)
	for hour := range 400 * 24 {
		now := time.Date(2026, 1, 1, hour, 17, 0, 0, time.UTC)
		w := driver.Daily.In(loc)
		from, until := holds(w, now.UnixNano(), w.At(now))
		require.GreaterOrEqual(t, until-from, int64(22*time.Hour), "%s", now)
	}
}

// A window's edge that passes between the guess of the clock and the server's clock costs a second try, and no more.
func TestAWrongGuessOfTheClockIsCorrected(t *testing.T) {
	s := fresh(t)
	lines := []driver.Line{line(1, driver.Monthly, 100), line(2, driver.Rolling(time.Second), 100), line(3, driver.Lifetime, 100)}
	for n, skew := range []time.Duration{-50 * time.Hour, 50 * time.Hour, 0} {
		s.skew.Store(int64(skew))
		admitted(t, s, hold(1, lines...))
		s.skew.Store(int64(skew))
		stands(t, s, lines[0], 0, int64(n+1))
		stands(t, s, lines[2], 0, int64(n+1))
	}
}

func TestMomentsBeyondInt64(t *testing.T) {
	require.Equal(t, int64(math.MaxInt64), nanos(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)))
	require.Equal(t, int64(math.MinInt64), nanos(time.Time{}))
	require.Equal(t, int64(5), nanos(time.Unix(0, 5)))
	s := fresh(t)
	l := line(1, driver.Monthly, 10)
	require.NoError(t, s.Override(t.Context(), l.Account, &driver.Override{Max: 20, Until: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, storetest.NewChange()))
	admitted(t, s, hold(15, l))
}
