package bedrockguard_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// What keeps sub-agents, rates and substitutes in their bounds says which bound it was, how far it reaches, and what to do.
func TestRefusalsOfAgentsSayWhatToDo(t *testing.T) {
	call := func(ctx context.Context, r *rig) error {
		_, err := r.client.Converse(ctx, converseInput("hello"))
		return err
	}
	bounded := func(l budget.Limit) settings { l.Name = "agents"; return settings{limits: []budget.Limit{l}} }
	dollar := budget.Limit{Max: budget.USD(1), Window: budget.Daily}
	tree, paced := dollar, budget.Limit{Max: budget.Calls(1), Window: budget.Rolling(time.Minute), Paced: true}
	tree.MaxDepth, tree.MaxChildren = 1, 1
	small := budget.Child{Name: "search", Max: budget.USD(0.0001)}
	for name, tc := range map[string]struct {
		settings settings
		call     func(ctx context.Context, r *rig) error
		is       error
		says     []string
	}{
		"a child's budget": {bounded(dollar), func(ctx context.Context, r *rig) error {
			child, end, err := r.ledger.Child(ctx, small)
			require.NoError(t, err)
			defer end()
			return call(child, r)
		}, budget.ErrExceeded, []string{`limit "child:search" exceeded`, "of 0.0001 USD left", "give the child a larger Max", "lower maxTokens"}},
		"a child that has ended": {bounded(dollar), func(ctx context.Context, r *rig) error {
			child, end, err := r.ledger.Child(ctx, small)
			require.NoError(t, err)
			end()
			return call(child, r)
		}, budget.ErrInvalidScope, []string{"the child search has ended", "another child with Ledger.Child"}},
		"a tree too deep": {bounded(tree), func(ctx context.Context, r *rig) error {
			child, end, err := r.ledger.Child(ctx, small)
			require.NoError(t, err)
			defer end()
			_, _, err = r.ledger.Child(child, small)
			return err
		}, budget.ErrExceeded, []string{`limit "agents"`, "1 deep", "2 deep", "raise MaxDepth"}},
		"a tree too wide": {bounded(tree), func(ctx context.Context, r *rig) error {
			_, end, err := r.ledger.Child(ctx, small)
			require.NoError(t, err)
			defer end()
			_, _, err = r.ledger.Child(ctx, budget.Child{Name: "read", Max: budget.USD(0.1)})
			return err
		}, budget.ErrExceeded, []string{`limit "agents"`, "at most 1 children of one parent", "end one of them first, or raise MaxChildren"}},
		"a rate that all share": {bounded(paced), func(ctx context.Context, r *rig) error {
			require.NoError(t, call(ctx, r))
			return call(ctx, r)
		}, budget.ErrExceeded, []string{`limit "agents" exceeded`, "need 1 call, 0 calls of 1 call left", "which is a rate: try again in 1m"}},
		"a substitute that is dearer": {settings{guard: bedrockguard.Options{Substitute: cheaperFrom(0, dear)}}, func(ctx context.Context, r *rig) error {
			in := converseInput("hello")
			in.ModelId = aws.String(cheap)
			_, err := r.client.Converse(ctx, in)
			require.NoError(t, err, "the call stays with its model")
			var told []error
			for _, e := range r.events.of(bedrockguard.EventSubstituted) {
				told = append(told, e.Err)
			}
			return errors.Join(told...)
		}, bedrockguard.ErrUnpriced, []string{dear, "it is no substitute, because it is dearer in", "the call stays with " + cheap}},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.call(t.Context(), newRig(t, tc.settings))
			require.ErrorIs(t, err, tc.is)
			for _, says := range tc.says {
				require.ErrorContains(t, err, says)
			}
		})
	}
}
