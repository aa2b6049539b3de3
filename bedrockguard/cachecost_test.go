package bedrockguard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// said is one message: texts, each a block. One that begins with the point sign is followed by a cache point.
type said struct {
	user  bool
	texts []string
}

// pointSign begins a text behind which the agent itself puts a cache point.
const pointSign = "\x01"

// round is one request of an agent.
type round struct {
	workflow string
	tools    []string // their descriptions
	system   []string
	messages []said
	thinking int  // tokens to think with; 0 leaves thinking off
	plain    bool // bodies give texts as plain strings
	model    string
	atOnce   bool          // it is sent at the same time as the one before it
	pause    time.Duration // before it
}

// costAgent is an agent whose every request is known beforehand.
type costAgent struct {
	name   string
	rounds []round
	// unread is how many writes may go unread before the last request: none if it is 0.
	unread int
	saves  float64 // the least that Fix has to save, in percent
	bodies bool    // it sends InvokeModel bodies, and not Converse
}

// costs is what one run of an agent came to.
type costs struct {
	nanoUSD int64
	unread  int // writes of which no later request read anything
	hits    float64
	found   map[cache.Rule]int
}

// runCosts sends an agent's requests through a guard.
func runCosts(tb testing.TB, a *costAgent, mode cache.Mode) costs {
	tb.Helper()
	clock := newFastClock()
	var gate meeting
	opts := bedrocktest.Options{Clock: clock.Now, Reply: func(bedrocktest.Request) bedrocktest.Reply {
		gate.arrive()
		return bedrocktest.Reply{OutputTokens: 1}
	}}
	if slices.ContainsFunc(a.rounds, func(r round) bool { return r.atOnce }) {
		opts.FirstByteDelay = 50 * time.Millisecond // all have looked into the cache before one is answered
	}
	server := bedrocktest.New(tb, opts)
	found := make(map[cache.Rule]int)
	var mu sync.Mutex
	r := newRig(tb, settings{guard: bedrockguard.Options{Cache: cache.Policy{Mode: mode}, Clock: clock.Now, OnEvent: func(_ context.Context, e bedrockguard.Event) {
		if e.Kind == bedrockguard.EventCacheFinding {
			mu.Lock()
			defer mu.Unlock()
			found[e.Finding.Rule]++
		}
	}}})
	client := r.guard.NewFromConfig(server.Config())
	for i := 0; i < len(a.rounds); {
		group := 1
		for i+group < len(a.rounds) && a.rounds[i+group].atOnce {
			group++
		}
		clock.Advance(a.rounds[i].pause)
		gate.expect(group)
		var sending sync.WaitGroup
		for _, one := range a.rounds[i : i+group] {
			sending.Go(func() {
				if err := one.send(client, a.bodies); err != nil {
					tb.Error(err)
				}
			})
		}
		sending.Wait()
		clock.Advance(20 * time.Second)
		i += group
	}
	bill := server.Bill()
	return costs{bill.NanoUSD, unreadWrites(server.Inferences()), bill.CacheHitShare(), found}
}

// meeting has requests wait for each other, for ten seconds at most.
type meeting struct {
	mu    sync.Mutex
	await int
	all   chan struct{}
}

func (m *meeting) expect(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.await, m.all = n, make(chan struct{})
}

func (m *meeting) arrive() {
	m.mu.Lock()
	if m.await--; m.await == 0 {
		close(m.all)
	}
	all := m.all
	m.mu.Unlock()
	select {
	case <-all:
	case <-time.After(10 * time.Second):
	}
}

// unreadWrites counts the calls that wrote to the cache something of which no later call read anything: a call that did has read
// more than that one did, and no more than there was when it ended. The last call is left out: nobody can know that it is.
func unreadWrites(all []bedrocktest.Inference) int {
	n := 0
	for i := range all[:len(all)-1] {
		written := all[i].CacheWrite5mTokens + all[i].CacheWrite1hTokens
		read := written == 0
		for _, later := range all[i+1:] {
			read = read || later.CacheReadTokens > all[i].CacheReadTokens && later.CacheReadTokens <= all[i].CacheReadTokens+written
		}
		if !read {
			n++
		}
	}
	return n
}

func (r *round) send(client *bedrockruntime.Client, bodies bool) error {
	ctx := budget.WithScope(context.Background(), budget.Scope{Principal: "ci", Workflow: r.workflow})
	model := r.model
	if model == "" {
		model = opus46
	}
	if !bodies {
		_, err := client.Converse(ctx, r.converse(model))
		return err
	}
	_, err := client.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: aws.String(model), Body: r.body()})
	return err
}

func (r *round) converse(model string) *bedrockruntime.ConverseInput {
	point := types.CachePointBlock{Type: types.CachePointTypeDefault}
	in := &bedrockruntime.ConverseInput{ModelId: aws.String(model), InferenceConfig: maxTokens(20_000)}
	for i, text := range r.tools {
		if in.ToolConfig == nil {
			in.ToolConfig = new(types.ToolConfiguration)
		}
		schema := &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{"type": "object"})}
		in.ToolConfig.Tools = append(in.ToolConfig.Tools, &types.ToolMemberToolSpec{Value: types.ToolSpecification{
			Name: aws.String(fmt.Sprint("tool", i)), Description: aws.String(text), InputSchema: schema,
		}})
	}
	for _, text := range r.system {
		text, marked := strings.CutPrefix(text, pointSign)
		in.System = append(in.System, &types.SystemContentBlockMemberText{Value: text})
		if marked {
			in.System = append(in.System, &types.SystemContentBlockMemberCachePoint{Value: point})
		}
	}
	for _, m := range r.messages {
		var content []types.ContentBlock
		for _, text := range m.texts {
			text, marked := strings.CutPrefix(text, pointSign)
			content = append(content, textBlock(text))
			if marked {
				content = append(content, &types.ContentBlockMemberCachePoint{Value: point})
			}
		}
		role := types.ConversationRoleAssistant
		if m.user {
			role = types.ConversationRoleUser
		}
		in.Messages = append(in.Messages, types.Message{Role: role, Content: content})
	}
	if r.thinking > 0 {
		in.AdditionalModelRequestFields = document.NewLazyDocument(map[string]any{"thinking": map[string]any{"type": "enabled", "budget_tokens": r.thinking}})
	}
	return in
}

func (r *round) body() []byte {
	list := func(texts []string) any {
		if r.plain && len(texts) == 1 {
			return texts[0]
		}
		var blocks []any
		for _, text := range texts {
			text, marked := strings.CutPrefix(text, pointSign)
			block := map[string]any{"type": "text", "text": text}
			if marked {
				block["cache_control"] = map[string]any{"type": "ephemeral"}
			}
			blocks = append(blocks, block)
		}
		return blocks
	}
	body := map[string]any{"anthropic_version": "bedrock-2023-05-31", "max_tokens": 20_000}
	if len(r.system) > 0 {
		body["system"] = list(r.system)
	}
	var messages, tools []any
	for _, m := range r.messages {
		role := "assistant"
		if m.user {
			role = "user"
		}
		messages = append(messages, map[string]any{"role": role, "content": list(m.texts)})
	}
	for i, text := range r.tools {
		tools = append(tools, map[string]any{"name": fmt.Sprint("tool", i), "description": text, "input_schema": map[string]any{"type": "object"}})
	}
	if tools != nil {
		body["tools"] = tools
	}
	if r.thinking > 0 {
		body["thinking"] = map[string]any{"type": "enabled", "budget_tokens": r.thinking}
	}
	body["messages"] = messages
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return raw
}

// TestFixNeverCosts holds Fix to its promise over agents of many habits: none pays more than two hundredths more than it would
// without the cache check, none writes to the cache more than once, for one cause, what is never read, and those that repeat themselves
// save what they did when this was written.
func TestFixNeverCosts(t *testing.T) {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "agent\toff\tfix\tdifference\tread\tunread writes")
	for n, a := range costAgents() {
		for _, bodies := range []bool{false, true} {
			if (bodies || testing.Short()) && n%3 != 1 {
				continue // a third of them will do
			}
			a := a
			a.bodies = bodies
			name := a.name + ", Converse"
			if bodies {
				name = a.name + ", InvokeModel"
			}
			t.Run(name, func(t *testing.T) {
				off, fix := runCosts(t, &a, cache.Off), runCosts(t, &a, cache.Fix)
				more := 100 * (float64(fix.nanoUSD)/float64(off.nanoUSD) - 1)
				fmt.Fprintf(w, "%s\t$%.3f\t$%.3f\t%+.1f %%\t%.0f %%\t%d\n", name, float64(off.nanoUSD)/1e9, float64(fix.nanoUSD)/1e9, more, 100*fix.hits, fix.unread)
				require.LessOrEqual(t, more, 2.0, "%% dearer than without")
				require.LessOrEqual(t, fix.unread, a.unread, "writes that nobody read")
				for _, rule := range []cache.Rule{"no-cache-point", "uncached-tail", "no-cache-activity", "evicted", "silent-miss"} {
					require.NotContains(t, fix.found, rule)
				}
				if len(fix.found) == 1 {
					require.NotContains(t, fix.found, cache.Rule("hit-ratio-below-floor"), "without a cause")
				}
				if a.saves > 0 {
					require.GreaterOrEqual(t, -more, a.saves, "%% saved")
				}
			})
		}
	}
	w.Flush()
	t.Log("\n" + table.String())
}
