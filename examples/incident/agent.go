package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// How the agent works. Caching is "on": there is one cache point at the end of the system prompt, which never moves. So the tools and
// instructions are read from the cache, while the conversation after them, which grows, is paid in full with every turn. A session has
// several stints; between them a long build runs or somebody reviews, and the cache entry expires after five minutes, so each stint writes
// the prefix again.
const (
	modelID      = "us.anthropic.claude-opus-4-6-v1"
	systemBytes  = 66_000 // instructions and project notes
	turnBytes    = 2_950  // what the agent reads of a file in a turn
	firstBytes   = 26_000 // the task, and the file that it is about
	turns        = 18     // calls in a stint, a time of work without a long interruption
	stints       = 8      // in a session, which is one conversation
	outputTokens = 384    // in a turn, on average: so the replay's output is to its input as on the invoice
	thinkTime    = 30 * time.Second
	review       = 25 * time.Minute // between two stints
	pause        = 28 * time.Hour   // between two sessions
)

// agent is a coding agent as many are written. It knows nothing of budgets: it has a client, and ends a session when a call fails.
type agent struct {
	client *bedrockruntime.Client
	files  *corpus
	clock  *clock
	onTurn func(error) // called after each turn, with its call's error
}

// work runs sessions, each as a workflow of its own, until the context ends or enough reports true.
func (a *agent) work(ctx context.Context, enough func() bool) {
	system := []types.SystemContentBlock{
		&types.SystemContentBlockMemberText{Value: "You are a coding agent. The project's notes follow.\n" + a.files.spread(systemBytes)},
		&types.SystemContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}},
	}
	for n := 1; !enough() && ctx.Err() == nil; n++ {
		session := budget.WithScope(ctx, budget.Scope{Principal: "ci", Workflow: fmt.Sprintf("session-%d", n)})
		a.session(session, system, enough)
		a.clock.Advance(pause)
	}
}

// session is one conversation: in each turn the agent sends the next part of the files, with all that came before.
func (a *agent) session(ctx context.Context, system []types.SystemContentBlock, enough func() bool) {
	var conversation []types.Message
	for turn := 0; turn < turns*stints && !enough(); turn++ {
		size := turnBytes
		switch {
		case turn == 0:
			size = firstBytes
		case turn%turns == 0: // a new stint begins
			a.clock.Advance(review)
		}
		conversation = append(conversation, message(types.ConversationRoleUser, "Review this, then go on.\n"+a.files.next(size)))
		out, err := a.client.Converse(ctx, &bedrockruntime.ConverseInput{
			ModelId: aws.String(modelID), System: system, Messages: conversation, ToolConfig: tools(),
			InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(4096)},
		})
		// The time passes after onTurn, which notes when the call was made.
		a.onTurn(err)
		a.clock.Advance(thinkTime)
		if err != nil {
			return
		}
		reply, ok := out.Output.(*types.ConverseOutputMemberMessage)
		if !ok {
			return
		}
		conversation = append(conversation, reply.Value)
	}
}

// message returns a message of a conversation.
func message(role types.ConversationRole, text string) types.Message {
	return types.Message{Role: role, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}
}

// tools returns the agent's one tool. The simulated model never calls it, but its definition is a part of each prompt.
func tools() *types.ToolConfiguration {
	schema := map[string]any{"type": "object", "properties": map[string]any{"path": map[string]any{"type": "string"}}, "required": []string{"path"}}
	return &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{
		Name: aws.String("read_file"), Description: aws.String("Reads a file of the project."),
		InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(schema)},
	}}}}
}
