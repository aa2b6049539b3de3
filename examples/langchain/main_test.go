package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// The typed refusal survives a framework that wraps the client.
func TestRefusalComesThroughLangchaingo(t *testing.T) {
	server := bedrocktest.New(t, bedrocktest.Options{})
	limit := budget.USD(0.01)
	err := chat(t.Context(), server, limit)
	require.ErrorIs(t, err, bedrockguard.ErrBudgetExceeded)
	var exceeded *budget.ExceededError
	require.ErrorAs(t, err, &exceeded)
	require.Equal(t, "chat", exceeded.Limit)
	require.Positive(t, server.Bill().Inferences, "calls went through before the refusal")
	require.LessOrEqual(t, server.Bill().NanoUSD, limit.N)
}
