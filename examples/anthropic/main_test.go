package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// The client sends a refused request once, and the refusal is the guard's own.
func TestTheBudgetHolds(t *testing.T) {
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	server := bedrocktest.New(t, bedrocktest.Options{})
	var exceeded *budget.ExceededError
	err := ask(t.Context(), server.URL(), budget.USD(0.01))
	require.ErrorIs(t, err, bedrockguard.ErrBudgetExceeded)
	require.ErrorAs(t, err, &exceeded)
	require.LessOrEqual(t, server.Bill().NanoUSD, int64(10_000_000))
	require.Equal(t, server.Bill().Inferences, server.Requests())
	require.Positive(t, server.Requests())
}
