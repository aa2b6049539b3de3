package budget

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUSDRefusesWhatIsNoAmount(t *testing.T) {
	require.Equal(t, Quantity{N: 500_000_000, Unit: UnitUSD}, USD(0.5))
	require.Equal(t, "2000000 uncached input tokens", UncachedInputTokens(2_000_000).String())
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e10, -1e10} {
		require.Negative(t, USD(f).N, "%v must not become a limit", f)
	}
}
