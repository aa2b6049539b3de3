package pricing

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

func askOf(bytes int) *Demand {
	text := strings.Repeat("The budget of the agent is checked before the call is sent. ", bytes/60+1)[:bytes]
	return &Demand{Raw: []byte(`{"messages":[{"role":"user","content":[{"text":"` + text + `"}]}]}`)}
}

// TestTightBoundAllocatesNothing, however long the prompt is.
func TestTightBoundAllocatesNothing(t *testing.T) {
	l := tokens.LimitsFor("anthropic")
	for _, bytes := range []int{1 << 10, 4 << 20} {
		a := askOf(bytes)
		assert.Zero(t, testing.AllocsPerRun(3, func() { _, _, _ = a.Tight(context.Background(), "m", l) }), "%d bytes", bytes)
	}
}

// TestTightBoundEndsWithItsContext instead of counting on for a caller who has left.
func TestTightBoundEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := askOf(4<<20).Tight(ctx, "m", tokens.LimitsFor("anthropic"))
	require.ErrorIs(t, err, context.Canceled)
}

// BenchmarkTight_4MB is what a denial of a prompt of 4 MB costs on top of the refusal.
func BenchmarkTight_4MB(b *testing.B) {
	a, l := askOf(4<<20), tokens.LimitsFor("anthropic")
	b.SetBytes(int64(len(a.Raw)))
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = a.Tight(context.Background(), "m", l)
	}
}
