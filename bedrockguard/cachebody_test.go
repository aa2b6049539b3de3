package bedrockguard_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/cache"
)

// bodyAgent builds InvokeModel bodies the way that agents without Converse do: the whole conversation, anew in each turn.
type bodyAgent struct {
	system   any
	messages []map[string]any
}

func (a *bodyAgent) body(t *testing.T) string {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"anthropic_version": "bedrock-2023-05-31", "max_tokens": 200, "system": a.system, "messages": a.messages})
	require.NoError(t, err)
	return string(raw)
}

func (a *bodyAgent) turn(i int) {
	if i > 0 {
		a.messages = append(a.messages, map[string]any{"role": "assistant", "content": []any{map[string]any{"type": "text", "text": "Understood."}}})
	}
	a.messages = append(a.messages, map[string]any{"role": "user", "content": []any{map[string]any{"type": "text", "text": passage(i, 4000)}}})
}

func TestFixPlacesPointsInInvokeModelBodies(t *testing.T) {
	clock := newFastClock()
	r := cacheRig(t, cache.Policy{Mode: cache.Fix}, clock)
	ctx := inWorkflow("bodies")
	a := &bodyAgent{system: []any{map[string]any{"type": "text", "text": passage(77, 40_000)}}}
	for i := range 20 {
		a.turn(i)
		if i%2 == 0 {
			require.NoError(t, invoke(ctx, r.client, opus46, a.body(t)))
		} else {
			require.NoError(t, invokeStream(ctx, r.client, opus46, a.body(t)))
		}
		require.Empty(t, r.findings(), "turn %d", i)
	}
	require.Greater(t, r.server.Bill().CacheHitShare(), 0.8)
	r.requireExact(t)
}

func TestInvokeModelBodiesAreLinted(t *testing.T) {
	clock := newFastClock()
	r := cacheRig(t, cache.Policy{Mode: cache.Refuse}, clock)
	text := map[string]any{"type": "text", "text": passage(77, 40_000)}
	a := &bodyAgent{system: []any{text}}
	a.turn(0)
	require.ErrorIs(t, invoke(inWorkflow("w"), r.client, opus46, a.body(t)), cache.ErrRefused, "no point at all")
	text["cachePoint"] = map[string]any{"type": "default"}
	require.ErrorContains(t, invoke(inWorkflow("w"), r.client, opus46, a.body(t)), "wrong-dialect")
	require.Zero(t, r.server.Requests())
	delete(text, "cachePoint")
	text["cache_control"] = map[string]any{"type": "ephemeral"}
	require.NoError(t, invoke(inWorkflow("w"), r.client, opus46, a.body(t)))
}

// Bodies that the check does not understand go their way; those that nobody understands are refused as malformed.
func TestBodiesOfOtherDialectsGoUnchecked(t *testing.T) {
	clock := newFastClock()
	r := cacheRig(t, cache.Policy{Mode: cache.Refuse}, clock)
	require.NoError(t, invoke(inWorkflow("w"), r.client, gptOSS, fmt.Sprintf(`{"messages":[{"role":"user","content":%q}],"max_tokens":100}`, passage(1, 9000))))
	require.Error(t, invoke(inWorkflow("w"), r.client, opus46, `{"messages":[`))
	require.Equal(t, 1, r.server.Requests())
	require.Empty(t, r.findings())
}
