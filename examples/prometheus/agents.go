package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/otelguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// openLedger opens a ledger in memory with three limits: one that the agents do not reach, one that refuses the agent "review" after ten calls, and
// one that only observes.
func openLedger(ctx context.Context) (*budget.Ledger, error) {
	return budget.Open(ctx, memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{
		{Name: "principal-month", Max: budget.USD(200), Window: budget.Monthly, Per: budget.PerPrincipal},
		{Name: "review-calls", Max: budget.Calls(10), Window: budget.Daily, Match: budget.Match{Workflow: "review"}, Notify: []float64{0.5, 0.8}},
		{Name: "fresh-input", Max: budget.UncachedInputTokens(5000), Window: budget.Hourly, Per: budget.PerWorkflow, Observe: true}, // a rehearsal
	}})
}

// agents are the agents that spend. Each makes calls in turn.
var agents = []struct {
	scope  budget.Scope
	model  string
	stamps bool // begins its prompt with the time, so that nothing of it is ever read from the cache
	leaves bool // does not wait for the end of its answers
}{
	{budget.Scope{Principal: "ci", Workflow: "nightly", Tags: map[string]string{"team": "build"}}, "us.anthropic.claude-haiku-4-5-20251001-v1:0", false, false},
	{budget.Scope{Principal: "ci", Workflow: "review", Tags: map[string]string{"team": "build"}}, "us.anthropic.claude-sonnet-4-6", false, false},
	{budget.Scope{Principal: "ada", Workflow: "research", Tags: map[string]string{"team": "lab"}}, "us.anthropic.claude-sonnet-4-6", true, false},
	{budget.Scope{Principal: "ada", Workflow: "chat", Tags: map[string]string{"team": "lab"}}, "us.anthropic.claude-haiku-4-5-20251001-v1:0", false, true},
	{budget.Scope{Principal: "bot", Workflow: "runaway", Tags: map[string]string{"team": "lab"}}, "us.anthropic.claude-haiku-4-5-20251001-v1:0", false, false},
}

// spend lets the agents make calls until the context ends, and kills one of them on the way.
func spend(ctx context.Context, ledger *budget.Ledger, telemetry *otelguard.Telemetry, out io.Writer) error {
	bedrock, err := bedrocktest.Start(bedrocktest.Options{EventDelay: 5 * time.Millisecond, Faults: throttleSome})
	if err != nil {
		return err
	}
	defer bedrock.Close()
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{
		Cache: cache.Policy{Mode: cache.Report}, Output: bedrockguard.Output{Default: 1000},
		Listeners: []func(context.Context, bedrockguard.Event){telemetry.Listen}, OnEvent: otelguard.Annotate,
	})
	if err != nil {
		return err
	}
	telemetry.Watch(guard)
	client := guard.NewFromConfig(bedrock.Config())
	refused := 0
	for turn := 0; ctx.Err() == nil; turn++ {
		n, err := takeTurn(ctx, client)
		if err != nil {
			return err
		}
		refused += n
		if turn == 3 { // somebody stops the runaway agent
			if _, err := ledger.Kill(ctx, budget.Scope{Workflow: "runaway"}, "it never ends"); err != nil && ctx.Err() == nil {
				return err
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	// The guard still reads answers whose callers have left, so it gets time although ctx has ended.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = guard.Close(closing)
	fmt.Fprintf(out, "spent $%.6f, %d calls were refused\n", bedrock.Bill().USD(), refused)
	return err
}

// throttleSome throttles one request of 20, so that the metrics have failed attempts.
func throttleSome(seq int) bedrocktest.FaultKind {
	if seq%20 == 19 {
		return bedrocktest.Throttle
	}
	return ""
}

// takeTurn lets each agent make one call, and returns how many calls were refused. An error because the context has ended is no failure; a throttled
// call is repeated by the client.
func takeTurn(ctx context.Context, client *bedrockruntime.Client) (refused int, err error) {
	for i := range agents {
		err := ask(budget.WithScope(ctx, agents[i].scope), client, i)
		if errors.Is(err, bedrockguard.ErrBudgetExceeded) || errors.Is(err, budget.ErrKilled) {
			refused++
		} else if err != nil && ctx.Err() == nil {
			return refused, err
		}
	}
	return refused, nil
}

// manual is what the agents read before each question.
var manual = strings.Repeat("Read all of the manual before you answer. ", 1200)

// ask makes one call of the agent with this index, as a stream.
func ask(ctx context.Context, client *bedrockruntime.Client, agent int) error {
	a := &agents[agent]
	text := manual
	if a.stamps {
		text = time.Now().Format(time.RFC3339Nano) + " " + manual
	}
	out, err := client.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{
		ModelId: aws.String(a.model),
		System:  []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: text}, &types.SystemContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}}},
		Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{
			&types.ContentBlockMemberText{Value: "What does it say of budgets?"},
		}}},
	})
	if err != nil {
		return err
	}
	stream := out.GetStream()
	if !a.leaves {
		// Reads to the end. An agent that leaves goes on to Close, and the guard reads the rest for the usage.
		for range stream.Events() {
		}
	}
	return errors.Join(stream.Err(), stream.Close())
}
