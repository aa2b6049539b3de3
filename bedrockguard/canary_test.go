package bedrockguard_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

const canary = "c4n4ry-7f3a9e"

// canaryInput plants the canary wherever a prompt has text.
func canaryInput() *bedrockruntime.ConverseInput {
	schema := map[string]any{"type": "object", "description": canary}
	return &bedrockruntime.ConverseInput{
		ModelId: aws.String(sonnet), InferenceConfig: maxTokens(100),
		System: []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: canary}},
		ToolConfig: &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{
			Name: aws.String("tool"), Description: aws.String(canary), InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(schema)},
		}}}},
		Messages: []types.Message{userMessage(canary)},
	}
}

// No prompt text appears in an error or an event, whatever goes wrong.
func TestNoPromptTextInErrorsAndEvents(t *testing.T) {
	bodies := []string{
		`{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"messages":[{"role":"user","content":"` + canary + `"}]}`,
		`{"max_tokens":"` + canary + `","messages":[]}`,
		`{"` + canary + `":1,"` + canary + `":2}`,
		`{"messages":[{"role":"user","content":"` + canary + `"}]`,
		canary,
		`{"max_tokens":-1,"messages":[{"content":"` + canary + `"}]}`,
		`{"max_tokens":10,"tools":[{"type":"web_search_20250305","name":"` + canary + `"}]}`,
	}
	kinds := []bedrocktest.FaultKind{"", bedrocktest.Internal, bedrocktest.Reset, bedrocktest.Truncate, bedrocktest.MissingUsage}
	for _, limits := range [][]budget.Limit{nil, {{Name: "none", Max: budget.Calls(0), Window: budget.Daily}}} {
		r := newRig(t, settings{limits: limits, server: bedrocktest.Options{Faults: func(seq int) bedrocktest.FaultKind { return kinds[seq%len(kinds)] }}})
		var seen []string
		note := func(err error) {
			for ; err != nil; err = errors.Unwrap(err) {
				seen = append(seen, fmt.Sprintf("%v", err))
			}
		}
		for range len(kinds) {
			in := canaryInput()
			_, err := r.client.Converse(t.Context(), in)
			note(err)
			note(converseStream(t.Context(), r.client, &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: in.Messages, System: in.System, InferenceConfig: in.InferenceConfig}))
			for _, body := range bodies {
				note(invoke(t.Context(), r.client, sonnet, body))
				note(invokeStream(t.Context(), r.client, sonnet, body))
			}
		}
		for _, e := range r.events.all {
			seen = append(seen, fmt.Sprintf("%+v", e))
			note(e.Err)
		}
		require.Greater(t, len(seen), 50)
		for _, text := range seen {
			require.NotContains(t, text, canary)
		}
	}
}

// capturingStore notes what it is handed. It is not safe for concurrent use.
type capturingStore struct {
	budget.Store
	handed []string
}

func (s *capturingStore) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	s.handed = append(s.handed, fmt.Sprintf("%+v", r))
	return s.Store.Reserve(ctx, r)
}

func (s *capturingStore) Settle(ctx context.Context, p driver.Settlement) (driver.Posting, error) {
	s.handed = append(s.handed, fmt.Sprintf("%+v", p))
	return s.Store.Settle(ctx, p)
}

// No prompt text and no scope's text in clear reaches a store: what it is handed is keys and numbers.
func TestNoPromptTextReachesTheStore(t *testing.T) {
	store := &capturingStore{Store: memstore.New(memstore.Options{})}
	r := newRig(t, settings{store: store})
	ctx := budget.WithScope(t.Context(), budget.Scope{Workflow: canary, Tags: map[string]string{canary: canary}})
	_, err := r.client.Converse(ctx, canaryInput())
	require.NoError(t, err)
	require.NotEmpty(t, store.handed)
	for _, handed := range store.handed {
		require.NotContains(t, handed, canary)
	}
}

// The sources themselves print nothing: there is no logger in the library but the caller's listener.
func TestTheGuardPrintsNothing(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, call := range []string{"fmt.Print", "\"log\"", "slog.Default", "os.Stderr", "os.Stdout", "println("} {
			require.NotContains(t, string(source), call, file)
		}
	}
}
