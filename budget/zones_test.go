package budget

import (
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/stretchr/testify/require"
)

func zone(t *testing.T, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	require.NoError(t, err)
	return loc
}

func TestZonesThatDifferFromHostToHostAreRefused(t *testing.T) {
	for name, loc := range map[string]*time.Location{
		"Local":          time.Local,
		"fixed, unnamed": time.FixedZone("", 3600),
		"fixed, named":   time.FixedZone("UTC+1", 3600),
		"fixed, called like a zone that has summer time": time.FixedZone("Europe/Berlin", 3600),
		"fixed, called UTC and an hour off":              time.FixedZone("UTC", 3600),
	} {
		err := Policy{Limits: []Limit{{Name: "l", Max: USD(1), Window: Daily.In(loc)}}}.Validate()
		require.ErrorIs(t, err, ErrInvalidPolicy, name)
		require.ErrorContains(t, err, "time.LoadLocation", name)
	}
	for _, loc := range []*time.Location{nil, time.UTC, zone(t, "Europe/Berlin"), zone(t, "Etc/GMT+5"), time.FixedZone("UTC", 0)} {
		require.NoError(t, Daily.In(loc).Validate())
		require.NoError(t, Rolling(time.Hour).In(loc).Validate())
	}
}

func TestOneZoneSpelledTwiceIsOneAccount(t *testing.T) {
	limit := func(w Window) Limit { return Limit{Name: "l", Max: USD(1), Window: w} }
	keys := func(w Window) []Key { _, keys := limit(w).accounts(Scope{}); return keys }
	before := func(w Window) Key { return limit(w).key(Scope{}, w.String()) } // as accounts were named at first

	for _, usual := range []Window{Daily, Monthly.In(time.UTC), Weekly.In(zone(t, "Europe/Berlin")), Rolling(time.Hour), Lifetime, Hourly.In(zone(t, "America/New_York"))} {
		require.Equal(t, []Key{before(usual)}, keys(usual), "%s keeps its account", usual)
	}
	for _, tc := range [][2]Window{
		{Daily.In(zone(t, "Etc/UTC")), Daily},
		{Daily.In(time.FixedZone("UTC", 0)), Daily},
		{Daily.In(zone(t, "US/Eastern")), Daily.In(zone(t, "America/New_York"))},
		{Monthly.In(zone(t, "Asia/Calcutta")), Monthly.In(zone(t, "Asia/Kolkata"))},
	} {
		require.Equal(t, []Key{before(tc[1]), before(tc[0])}, keys(tc[0]), "%s", tc[0])
	}
}
