package memstore

import (
	"cmp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A page holds the first elements, however many there are and in whatever order they come.
func TestPageHoldsTheFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		elements := rapid.SliceOfDistinct(rapid.IntRange(0, 10_000), func(n int) int { return n }).Draw(t, "elements")
		size := rapid.IntRange(1, 20).Draw(t, "size")
		p := page[int]{size: size, compare: cmp.Compare[int]}
		for _, n := range elements {
			if !p.excludes(n) {
				p.add(n)
			}
		}
		slices.Sort(elements)
		require.Equal(t, elements[:min(size, len(elements))], append([]int{}, p.sorted()...))
		require.Less(t, len(p.kept), 2*size+1)
	})
}
