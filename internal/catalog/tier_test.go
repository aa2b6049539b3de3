package catalog

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

func TestTiers(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct{ worst, served budget.Tier }{
		"":         {1000, 1000},
		"default":  {1000, 1000},
		"standard": {1000, 1000},
		"reserved": {1000, 1000},
		"flex":     {1000, 500},
		"priority": {1750, 1750},
	} {
		worst, err := WorstTier(name)
		require.NoError(t, err, name)
		assert.Equal(t, want.worst, worst, name)
		assert.Equal(t, want.served, ServedTier(name), name)
		assert.LessOrEqual(t, ServedTier(name), dearestTier, name)
	}
	for _, name := range []string{"ultrafast", "Flex", "flex ", "\x00"} {
		_, err := WorstTier(name)
		require.ErrorIs(t, err, ErrUnpriced, name)
		assertPrintable(t, err)
		assert.Equal(t, dearestTier, ServedTier(name), name)
	}
}
