package driver

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func zone(t *testing.T, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	require.NoError(t, err)
	return loc
}

func TestCalendarWindowEdges(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for _, tc := range []struct {
		window          Window
		now, start, end string
	}{
		{Hourly, "2026-03-29T00:59:59Z", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"},
		{Hourly.In(zone(t, "Asia/Kolkata")), "2026-01-01T10:10:00Z", "2026-01-01T09:30:00Z", "2026-01-01T10:30:00Z"},
		{Daily, "2026-02-28T23:59:59Z", "2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z"},
		{Daily.In(berlin), "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},         // 23 hours
		{Daily.In(berlin), "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},         // 25 hours
		{Weekly, "2026-11-22T23:00:00Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"},                   // a Sunday
		{Weekly, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"},                   // a Monday
		{Weekly.From(time.Sunday), "2026-11-22T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z"}, // a Sunday
		{Weekly.From(time.Sunday), "2026-11-21T23:59:59Z", "2026-11-15T00:00:00Z", "2026-11-22T00:00:00Z"}, // a Saturday
		{Weekly.From(time.Wednesday).In(berlin), "2026-11-24T22:59:59Z", "2026-11-17T23:00:00Z", "2026-11-24T23:00:00Z"},
		{Quarterly, "2026-12-31T23:59:59Z", "2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{Quarterly.In(berlin), "2026-03-31T21:59:59Z", "2025-12-31T23:00:00Z", "2026-03-31T22:00:00Z"},
		{Yearly, "2028-02-29T12:00:00Z", "2028-01-01T00:00:00Z", "2029-01-01T00:00:00Z"},
		{Yearly.In(berlin), "2026-12-31T23:00:00Z", "2026-12-31T23:00:00Z", "2027-12-31T23:00:00Z"},
		{Monthly, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"},
		{Monthly.In(berlin), "2026-12-31T23:30:00Z", "2026-12-31T23:00:00Z", "2027-01-31T23:00:00Z"},
		{Monthly, "2038-01-19T03:14:08Z", "2038-01-01T00:00:00Z", "2038-02-01T00:00:00Z"},
	} {
		now, err := time.Parse(time.RFC3339, tc.now)
		require.NoError(t, err)
		span := tc.window.At(now)
		require.Equal(t, tc.start, time.Unix(0, span.Start).UTC().Format(time.RFC3339), "%s at %s", tc.window, tc.now)
		require.Equal(t, tc.end, time.Unix(0, span.End).UTC().Format(time.RFC3339), "%s at %s", tc.window, tc.now)
		require.Equal(t, span.Start, span.Since)
	}
}

// Whatever is reserved at one moment of a rolling window is still counted at every moment up to its length later, and no
// longer once it is a step older than that.
func TestRollingWindowCountsEverythingInAnyIntervalOfItsLength(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, length := range []time.Duration{time.Second, time.Minute + 7, time.Hour, 24 * time.Hour} {
		w := Rolling(length)
		for range 10_000 {
			at := random.Int64N(1 << 60)
			booked := w.At(time.Unix(0, at))
			later := w.At(time.Unix(0, at+random.Int64N(int64(length)+1)))
			require.GreaterOrEqual(t, booked.Start, later.Since, "%s: spend left the window early", length)
			gone := w.At(time.Unix(0, at+int64(length)+2*w.step()))
			require.Less(t, booked.Start, gone.Since, "%s: spend stays too long", length)
			require.LessOrEqual(t, (later.Start-later.Since)/w.step(), int64(rollingSteps))
		}
	}
}

func TestLifetimeNeverEnds(t *testing.T) {
	require.Equal(t, Span{Next: math.MaxInt64, End: math.MaxInt64}, Lifetime.At(time.Now()))
	require.Zero(t, Lifetime.ResetAfter(time.Now(), []Bucket{{0, 10}}, 1))
}

func TestResetAfter(t *testing.T) {
	now := time.Date(2026, 11, 24, 23, 0, 0, 0, time.UTC)
	require.Equal(t, time.Hour, Daily.ResetAfter(now, nil, 1))
	w := Rolling(time.Hour)
	old := w.At(now.Add(-50 * time.Minute)).Start
	buckets := []Bucket{{old, 30}, {w.At(now).Start, 70}}
	require.Equal(t, 11*time.Minute, w.ResetAfter(now, buckets, 30))
	require.Equal(t, 61*time.Minute, w.ResetAfter(now, buckets, 31))
	require.Zero(t, w.ResetAfter(now, buckets, 101), "more than was ever used never frees up")
}

func TestWindowValidate(t *testing.T) {
	for _, w := range []Window{{}, Rolling(0), Rolling(-time.Hour), Rolling(time.Millisecond), Rolling(400 * 24 * time.Hour)} {
		require.ErrorIs(t, w.Validate(), ErrInvalidPolicy, "%s", w)
	}
	require.Equal(t, "monthly in Europe/Berlin", Monthly.In(zone(t, "Europe/Berlin")).String())
	require.Equal(t, Rolling(time.Hour), Rolling(time.Hour).In(time.Local))
	require.Equal(t, "weekly from Sunday in Europe/Berlin", Weekly.In(zone(t, "Europe/Berlin")).From(time.Sunday).String())
	require.Equal(t, Weekly, Weekly.From(time.Monday))
	require.Equal(t, Daily, Daily.From(time.Sunday))
}
