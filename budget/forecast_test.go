package budget_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// spendNow settles an amount, and returns the threshold that it reached.
func spendNow(t *testing.T, ledger *budget.Ledger, nano int64) []budget.Crossed {
	t.Helper()
	r, err := reserve(ledger, budget.Scope{}, nano)
	require.NoError(t, err)
	out, err := ledger.Settle(t.Context(), r, usd(nano), false)
	require.NoError(t, err)
	return out.Crossed
}

// A threshold tells how fast money goes, by the last hour, and when the limit will be reached.
func TestAThresholdForetells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := open(t, memstore.New(memstore.Options{}), budget.Limit{Name: "day", Max: nanoUSD(1000), Window: budget.Daily, Notify: []float64{0.4, 0.5, 0.9}})
		time.Sleep(10 * time.Hour) // bubbles begin at midnight
		require.Empty(t, spendNow(t, ledger, 200))
		time.Sleep(2 * time.Hour)
		require.Empty(t, spendNow(t, ledger, 100))
		time.Sleep(30 * time.Minute)
		crossed := spendNow(t, ledger, 100)
		require.Len(t, crossed, 1)
		require.Equal(t, budget.Forecast{PerHour: nanoUSD(200), FullIn: 3 * time.Hour}, crossed[0].Forecast, "by what was settled in the last hour")
		time.Sleep(2 * time.Hour)
		crossed = spendNow(t, ledger, 100)
		require.Len(t, crossed, 1)
		require.Equal(t, budget.Forecast{PerHour: nanoUSD(100), FullIn: 5 * time.Hour}, crossed[0].Forecast)
		time.Sleep(9 * time.Hour)
		crossed = spendNow(t, ledger, 400)
		require.Len(t, crossed, 1)
		require.Equal(t, nanoUSD(400), crossed[0].Forecast.PerHour)
		require.Equal(t, 15*time.Minute, crossed[0].Forecast.FullIn)
	})
}

// What other processes spend is in the average since the window began, and what would not be reached in this window is not foretold.
func TestAForecastKnowsOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(memstore.Options{})
		limit := budget.Limit{Name: "day", Max: nanoUSD(1000), Window: budget.Daily, Notify: []float64{0.5, 0.6}}
		here, there := open(t, store, limit), open(t, store, limit)
		time.Sleep(4 * time.Hour)
		spendNow(t, there, 490)
		crossed := spendNow(t, here, 10)
		require.Equal(t, budget.Forecast{PerHour: nanoUSD(125), FullIn: 4 * time.Hour}, crossed[0].Forecast)
		time.Sleep(16 * time.Hour)
		crossed = spendNow(t, here, 100)
		require.Equal(t, nanoUSD(100), crossed[0].Forecast.PerHour)
		require.Zero(t, crossed[0].Forecast.FullIn, "at midnight it begins anew")
	})
}

// A lifetime has no average, and a limit that is reached is not foretold any more.
func TestForecastsThatAreNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := open(t, memstore.New(memstore.Options{}), budget.Limit{Name: "ever", Max: nanoUSD(100), Window: budget.Lifetime, Notify: []float64{0.5, 1}})
		crossed := spendNow(t, ledger, 50)
		require.Equal(t, budget.Forecast{PerHour: nanoUSD(50), FullIn: time.Hour}, crossed[0].Forecast)
		crossed = spendNow(t, ledger, 50)
		require.Equal(t, budget.Forecast{PerHour: nanoUSD(100)}, crossed[0].Forecast)
	})
}
