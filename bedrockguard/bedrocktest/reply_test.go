package bedrocktest

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"
)

// script answers every request with the same blocks.
func script(blocks ...Block) func(Request) Reply {
	return func(Request) Reply { return Reply{Blocks: blocks} }
}

// A Converse answer holds the blocks that were scripted, in one piece and as a stream.
func TestAnswersOfSeveralBlocks(t *testing.T) {
	blocks := []Block{Thinks("Let me see.", "c2ln"), Says("First"), Uses("look", `{"at":1}`), Uses("look", ""), Says("and then"), {Reasoning: &Reasoning{Redacted: []byte("xx")}}}
	server := New(t, Options{Reply: script(blocks...)})
	out, err := newClient(server).Converse(context.Background(), &ask(sonnet45).user(say("q")).in)
	require.NoError(t, err)
	require.Equal(t, types.StopReasonToolUse, out.StopReason)
	content := out.Output.(*types.ConverseOutputMemberMessage).Value.Content
	require.Len(t, content, len(blocks))
	thought := content[0].(*types.ContentBlockMemberReasoningContent).Value.(*types.ReasoningContentBlockMemberReasoningText).Value
	require.Equal(t, [2]string{"Let me see.", "c2ln"}, [2]string{*thought.Text, *thought.Signature})
	require.Equal(t, "First", content[1].(*types.ContentBlockMemberText).Value)
	first, second := content[2].(*types.ContentBlockMemberToolUse).Value, content[3].(*types.ContentBlockMemberToolUse).Value
	require.Equal(t, "look", *first.Name)
	require.NotEqual(t, *first.ToolUseId, *second.ToolUseId)
	require.Equal(t, []byte("xx"), content[5].(*types.ContentBlockMemberReasoningContent).Value.(*types.ReasoningContentBlockMemberRedactedContent).Value)

	in := ask(sonnet45).user(say("q")).in
	stream, err := newClient(server).ConverseStream(context.Background(), &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: in.Messages})
	require.NoError(t, err)
	var starts, stops, texts int
	for e := range stream.GetStream().Events() {
		switch v := e.(type) {
		case *types.ConverseStreamOutputMemberContentBlockStart:
			starts++
			require.NotEqual(t, *first.ToolUseId, *v.Value.Start.(*types.ContentBlockStartMemberToolUse).Value.ToolUseId, "each answer has ids of its own")
		case *types.ConverseStreamOutputMemberContentBlockStop:
			require.EqualValues(t, stops, *v.Value.ContentBlockIndex)
			stops++
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			if _, ok := v.Value.Delta.(*types.ContentBlockDeltaMemberText); ok {
				texts++
			}
		}
	}
	require.NoError(t, stream.GetStream().Close())
	require.Equal(t, [3]int{2, len(blocks), 3}, [3]int{starts, stops, texts})
}

// An answer that only uses a tool has no text, in the words of each dialect.
func TestAnswersThatAreAToolCallAlone(t *testing.T) {
	server := New(t, Options{Reply: script(Uses("look", `{"at":1}`))})
	for model, tc := range map[string]struct{ body, want string }{
		sonnet45: {claudeBody, `{"content":[{"type":"tool_use","name":"look","input":{"at":1}}],"stop_reason":"tool_use"}`},
		novaPro:  {`{"messages":[{"role":"user","content":[{"text":"q"}]}]}`, `{"output":{"message":{"content":[{"toolUse":{"name":"look","input":{"at":1}}}]}},"stopReason":"tool_use"}`},
		gptOSS:   {`{"messages":[{"role":"user","content":"q"}]}`, `{"choices":[{"finish_reason":"tool_calls","message":{"content":null,"tool_calls":[{"type":"function","function":{"name":"look","arguments":"{\"at\":1}"}}]}}]}`},
	} {
		raw, err := invoke(server, model, tc.body)
		require.NoError(t, err, model)
		requireHolds(t, tc.want, string(raw.Body))
	}
}

// requireHolds checks that got has all that want has, and in its lists no more items.
func requireHolds(t *testing.T, want, got string) {
	t.Helper()
	var w, g any
	require.NoError(t, json.Unmarshal([]byte(want), &w))
	require.NoError(t, json.Unmarshal([]byte(got), &g))
	var holds func(w, g any, at string)
	holds = func(w, g any, at string) {
		switch v := w.(type) {
		case map[string]any:
			object, ok := g.(map[string]any)
			require.True(t, ok, at)
			for k := range v {
				require.Contains(t, object, k, at)
				holds(v[k], object[k], at+"."+k)
			}
		case []any:
			list, ok := g.([]any)
			require.True(t, ok, at)
			require.Len(t, list, len(v), at)
			for i := range v {
				holds(v[i], list[i], fmt.Sprintf("%s[%d]", at, i))
			}
		default:
			require.Equal(t, w, g, at)
		}
	}
	holds(w, g, "$")
}

// An answer that is cut at the request's limit says so in the words of each family.
func TestAnswersThatAreCut(t *testing.T) {
	server := New(t, Options{})
	for model, tc := range map[string]struct{ body, want string }{
		"meta.llama3-8b-instruct-v1:0":     {`{"prompt":"q","max_gen_len":1}`, `{"stop_reason":"length"}`},
		gptOSS:                             {`{"messages":[{"role":"user","content":"q"}],"max_tokens":1}`, `{"choices":[{"finish_reason":"length"}]}`},
		"mistral.mistral-7b-instruct-v0:2": {`{"prompt":"q","max_tokens":1}`, `{"outputs":[{"stop_reason":"length"}]}`},
	} {
		raw, err := invoke(server, model, tc.body)
		require.NoError(t, err, model)
		requireHolds(t, tc.want, string(raw.Body))
	}
}

// A script goes by what the request says: the tools on offer, what they have answered, the system prompt. A test reads what its agent
// sent.
func TestScriptsSeeTheRequest(t *testing.T) {
	server := New(t, Options{Record: true, Reply: func(r Request) Reply {
		if len(r.ToolResults) == 0 {
			return Reply{Blocks: []Block{Uses(r.Tools[0], "{}"), Uses(r.Tools[0], "{}")}}
		}
		return Reply{Text: r.ToolResults[1].Content + " " + r.System}
	}})
	for model, turns := range map[string][2]string{
		"converse": {
			`{"system":[{"text":"be brief"}],"messages":[{"role":"user","content":[{"text":"q"}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"look","inputSchema":{"json":{}}}}]}}`,
			`{"system":[{"text":"be brief"}],"messages":[{"role":"user","content":[{"text":"q"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"a","name":"look","input":{}}},{"toolUse":{"toolUseId":"b","name":"look","input":{}}}]},` +
				`{"role":"user","content":[{"toolResult":{"toolUseId":"a","content":[{"text":"one"}]}},{"toolResult":{"toolUseId":"b","content":[{"json":{"n":2}}]}}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"look","inputSchema":{"json":{}}}}]}}`,
		},
	} {
		for _, body := range turns {
			got, err := post(t, server, sonnet45, model, body)
			require.NoError(t, err)
			require.Equal(t, 200, got.status, got.body)
		}
	}
	received := server.Received()
	require.Len(t, received, 2)
	require.Equal(t, []string{"look"}, received[0].Tools)
	require.Equal(t, []ToolResult{{ID: "a", Content: "one"}, {ID: "b", Content: `{"n":2}`}}, received[1].ToolResults)
	require.Contains(t, string(received[1].Body), `"toolUseId":"b"`)
	require.Equal(t, "be brief", received[1].System)
}

// A test of an agent with tools, in a few lines.
func ExampleReply_tools() {
	server, err := Start(Options{Reply: func(r Request) Reply {
		if len(r.ToolResults) == 0 {
			return Reply{Blocks: []Block{Uses("weather", `{"city":"Oslo"}`)}}
		}
		return Reply{Text: "It is " + r.ToolResults[0].Content + "."}
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	fmt.Println(agent(bedrockruntime.NewFromConfig(server.Config()), "What is the weather?"))
	// Output: It is snowing.
}

// agent is what such a test is about: a loop that lets the model use tools.
func agent(client *bedrockruntime.Client, question string) string {
	messages := []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: question}}}}
	tools := ask(sonnet45).tool("weather", "tells the weather").in.ToolConfig
	for {
		out, err := client.Converse(context.Background(), &bedrockruntime.ConverseInput{ModelId: aws.String(sonnet45), Messages: messages, ToolConfig: tools})
		if err != nil {
			return err.Error()
		}
		answer := out.Output.(*types.ConverseOutputMemberMessage).Value
		if out.StopReason != types.StopReasonToolUse {
			return answer.Content[0].(*types.ContentBlockMemberText).Value
		}
		results := types.Message{Role: types.ConversationRoleUser}
		for _, b := range answer.Content {
			if use, ok := b.(*types.ContentBlockMemberToolUse); ok {
				results.Content = append(results.Content, &types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{
					ToolUseId: use.Value.ToolUseId, Content: []types.ToolResultContentBlock{&types.ToolResultContentBlockMemberText{Value: "snowing"}},
				}})
			}
		}
		messages = append(messages, answer, results)
	}
}
