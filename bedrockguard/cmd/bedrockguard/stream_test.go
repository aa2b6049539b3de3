package main

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

// One command in another process ends a stream that runs. The time from the start of the command to the end of the stream is logged; the
// deadline is that of a machine that does much else.
func TestTheCommandEndsAStreamInAnotherProcess(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	at := t.TempDir() + "/spend.db"
	store, err := sqlitestore.Open(ctx, at, sqlitestore.Options{Create: true})
	require.NoError(t, err)
	defer store.Close()
	ledger, err := budget.Open(ctx, store, budget.Policy{Limits: []budget.Limit{{Name: "day", Max: budget.USD(100), Window: budget.Daily, Per: budget.PerWorkflow}}})
	require.NoError(t, err)
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{})
	require.NoError(t, err)
	defer guard.Close(ctx)
	server := bedrocktest.New(t, bedrocktest.Options{EventDelay: time.Hour}) // the stream does not end by itself
	client := guard.NewFromConfig(server.Config())

	ctx = budget.WithScope(ctx, budget.Scope{Workflow: "nightly"})
	out, err := client.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{
		ModelId:         aws.String("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
		Messages:        []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "go on for ever"}}}},
		InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(1000)},
	})
	require.NoError(t, err)
	stream := out.GetStream()
	defer stream.Close()
	<-stream.Events()

	begun := time.Now()
	told, err := exec.CommandContext(ctx, "bedrockguard", "--store", "sqlite:"+at, "kill", "--workflow", "nightly", "runaway loop").CombinedOutput()
	require.NoError(t, err, string(told))
	returned := time.Since(begun)
	for range stream.Events() {
	}
	t.Logf("the command took %s, and the stream ended %s after it began", returned.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	require.ErrorIs(t, stream.Err(), budget.ErrKilled)
	require.ErrorContains(t, stream.Err(), "runaway loop")
	require.Contains(t, string(told), "killed: workflow=nightly (1 known account)")
	require.NoError(t, ctx.Err(), "it ended by the flag, and not by the deadline")
}
