package checked

import (
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func FuzzMulDivCeil(f *testing.F) {
	f.Add(int64(math.MaxInt64), int64(75_000), int64(1000))
	f.Fuzz(func(t *testing.T, a, b, d int64) {
		got, ok := MulDivCeil(a, b, d)
		if a < 0 || b < 0 || d <= 0 {
			require.False(t, ok)
			return
		}
		want := new(big.Int).Mul(big.NewInt(a), big.NewInt(b))
		want.Add(want, big.NewInt(d-1)).Div(want, big.NewInt(d))
		require.Equal(t, want.IsInt64(), ok)
		if ok {
			require.Equal(t, want.Int64(), got)
		}
	})
}
