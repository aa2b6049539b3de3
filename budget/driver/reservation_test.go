package driver

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestThresholdsAreRoundedUpOfTheMaxInForce(t *testing.T) {
	l := Line{Notify: []float64{0.5, 0.8, 1}}
	for i, want := range [][2]int64{{2, 5}, {3, 8}, {3, 10}} {
		require.Equal(t, want, [2]int64{l.Threshold(i, 3), l.Threshold(i, 10)})
	}
	require.Equal(t, int64(math.MaxInt64), l.Threshold(2, math.MaxInt64), "all of it is no rounded figure")
}

func TestIDsReadBack(t *testing.T) {
	id := NewID()
	got, err := ParseID(id.String())
	require.NoError(t, err)
	require.Equal(t, id, got)
	for _, s := range []string{"", "zz", id.String() + "0", strings.Repeat("g", 32)} {
		_, err := ParseID(s)
		require.Error(t, err)
	}
}
