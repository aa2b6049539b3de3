package redisstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// windows are one of each kind, and a rolling one whose buckets are shorter than many a round trip.
func windows() (lines []driver.Line) {
	for i, w := range []driver.Window{driver.Hourly, driver.Daily, driver.Weekly, driver.Monthly, driver.Lifetime, driver.Rolling(time.Second), driver.Rolling(time.Hour + 7), driver.Rolling(300 * 24 * time.Hour)} {
		lines = append(lines, line(byte(i+1), w)...)
	}
	return lines
}

// The server's clock decides where spend is booked, however wrong this process is about it.
func TestAWrongGuessBooksWhereTheServerSays(t *testing.T) {
	s := open(t)
	lines := windows()
	for _, wrong := range []time.Duration{0, -time.Millisecond, time.Hour, -time.Hour, 40 * 24 * time.Hour, -400 * 24 * time.Hour, 200 * 24 * time.Hour} {
		now, err := s.rdb.Time(t.Context()).Result()
		require.NoError(t, err)
		for range 3 {
			s.time.set(now.Add(wrong).UnixMicro())
			r := reservation(1, lines)
			d, err := s.Reserve(t.Context(), r)
			require.NoError(t, err)
			require.True(t, d.Admitted)
			require.WithinDuration(t, now.Add(r.TTL), d.ExpiresAt, time.Minute)
			s.time.set(now.Add(wrong).UnixMicro())
			_, err = s.Settle(t.Context(), driver.Settlement{ID: driver.NewID(), Actual: usd(1), Lines: lines})
			require.NoError(t, err)
		}
	}
	entries, err := s.Entries(t.Context(), driver.Query{Max: 100})
	require.NoError(t, err)
	require.Len(t, entries, 42)
	for i, l := range lines {
		if l.Window == driver.Rolling(time.Second) || l.Window == driver.Hourly { // it may have passed
			continue
		}
		s.time.set(time.Now().Add(-time.Hour).UnixMicro())
		stands(t, s, lines[i:], 21, 21)
	}
}

// A window that is over lets go, by the server's own clock.
func TestTheServersClockMoves(t *testing.T) {
	s := open(t)
	lines := line(1, driver.Rolling(time.Second))
	lines[0].Max = 1
	_, err := s.Reserve(t.Context(), reservation(1, lines))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		d, err := s.Reserve(t.Context(), reservation(1, lines))
		require.NoError(t, err)
		if len(d.Denied) > 0 {
			require.Positive(t, d.Denied[0].ResetAfter)
			require.LessOrEqual(t, d.Denied[0].ResetAfter, time.Second+time.Second/60+time.Millisecond)
		}
		return d.Admitted
	}, 30*time.Second, 5*time.Millisecond)
}

func TestTimesFitTheScripts(t *testing.T) {
	require.Equal(t, int64(0), micros(-1))
	require.Equal(t, int64(1), micros(1))
	require.Equal(t, int64(1), micros(time.Microsecond))
	require.Equal(t, int64(2), micros(time.Microsecond+1))
	require.Equal(t, int64(never), moment(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)))
	require.Equal(t, int64(0), moment(time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)))
	require.Equal(t, int64(1), moment(time.Unix(0, 1)))
	s := open(t, func(o *Options) {
		o.Clock = func() time.Time { return time.Date(1969, 12, 31, 12, 0, 0, 0, time.UTC) }
	})
	_, err := s.Reserve(t.Context(), reservation(1, line(1, driver.Daily)))
	require.ErrorIs(t, err, errBefore1970)
	far := open(t)
	r := reservation(1, line(1, driver.Daily))
	r.TTL = 1<<63 - 1
	d, err := far.Reserve(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, fromMicro(never), d.ExpiresAt)
}
