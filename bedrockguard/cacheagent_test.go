package bedrockguard_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
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

const opus46 = "us.anthropic.claude-opus-4-6-v1"

// fastClock is a time that the test moves: the simulator's cache and the guard's check both read it.
type fastClock struct {
	mu  sync.Mutex
	now time.Time
}

func newFastClock() *fastClock { return &fastClock{now: time.Date(2026, 4, 6, 8, 0, 0, 0, time.UTC)} }

func (c *fastClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fastClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// cacheRig is a rig whose guard checks caching, over a service whose time the test moves.
func cacheRig(tb testing.TB, policy cache.Policy, clock *fastClock) *rig {
	tb.Helper()
	return newRig(tb, settings{
		server: bedrocktest.Options{Clock: clock.Now},
		guard:  bedrockguard.Options{Cache: policy, Clock: clock.Now},
	})
}

// findings returns what the guard reported about caching.
func (r *rig) findings() []cache.Finding {
	var all []cache.Finding
	for _, e := range r.events.of(bedrockguard.EventCacheFinding) {
		all = append(all, e.Finding)
	}
	return all
}

func (r *rig) foundRules() []cache.Rule {
	var all []cache.Rule
	for _, f := range r.findings() {
		all = append(all, f.Rule)
	}
	return all
}

// script is an agent whose every turn is decided by its number. It keeps its history as agents do: it appends.
type script struct {
	client *bedrockruntime.Client
	clock  *fastClock
	gap    time.Duration
	system []types.SystemContentBlock
	tools  *types.ToolConfiguration
	talk   []types.Message
}

func newScript(client *bedrockruntime.Client, clock *fastClock) *script {
	schema := map[string]any{"type": "object", "properties": map[string]any{"path": map[string]any{"type": "string"}, "limit": map[string]any{"type": "integer"}}}
	var offered []types.Tool
	for _, name := range []string{"read_file", "run_tests", "search"} {
		offered = append(offered, &types.ToolMemberToolSpec{Value: types.ToolSpecification{
			Name: aws.String(name), Description: aws.String("Works on the project."),
			InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(schema)},
		}})
	}
	return &script{
		client: client, clock: clock, gap: 20 * time.Second,
		system: []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: "You are a careful agent. " + passage(1, 40_000)}},
		tools:  &types.ToolConfiguration{Tools: offered},
	}
}

// passage is about n bytes of text that differs by seed.
func passage(seed, n int) string {
	r := rand.New(rand.NewPCG(uint64(seed), 11))
	words := strings.Fields("the parser moves into a folder of its own and every test that names it follows while nothing else changes")
	var b strings.Builder
	fmt.Fprintf(&b, "%d: ", seed)
	for b.Len() < n {
		b.WriteString(words[r.IntN(len(words))] + " ")
	}
	return b.String()
}

func (a *script) fork() *script {
	b := *a
	b.talk = append([]types.Message(nil), a.talk...)
	return &b
}

func userSays(blocks ...types.ContentBlock) types.Message {
	return types.Message{Role: types.ConversationRoleUser, Content: blocks}
}

func textBlock(s string) types.ContentBlock { return &types.ContentBlockMemberText{Value: s} }

// say sends a user turn and appends the answer.
func (a *script) say(ctx context.Context, blocks ...types.ContentBlock) error {
	a.talk = append(a.talk, userSays(blocks...))
	out, err := a.client.Converse(ctx, &bedrockruntime.ConverseInput{
		ModelId: aws.String(opus46), System: a.system, ToolConfig: a.tools, Messages: a.talk,
		InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(500)},
	})
	a.clock.Advance(a.gap)
	if err != nil {
		return err
	}
	a.talk = append(a.talk, out.Output.(*types.ConverseOutputMemberMessage).Value)
	return nil
}

// useTools makes the last assistant message ask for so many tools at once, and answers them.
func (a *script) useTools(ctx context.Context, seed, n int) error {
	last := &a.talk[len(a.talk)-1]
	content := append([]types.ContentBlock(nil), last.Content...)
	var answers []types.ContentBlock
	for i := range n {
		id := fmt.Sprintf("tool-%d-%d", seed, i)
		content = append(content, &types.ContentBlockMemberToolUse{Value: types.ToolUseBlock{
			Name: aws.String("read_file"), ToolUseId: aws.String(id), Input: document.NewLazyDocument(map[string]any{"path": fmt.Sprintf("file-%d.go", i)}),
		}})
		answers = append(answers, &types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{
			ToolUseId: aws.String(id), Content: []types.ToolResultContentBlock{&types.ToolResultContentBlockMemberText{Value: passage(seed*100+i, 600)}},
		}})
	}
	last.Content = content
	return a.say(ctx, answers...)
}

// compact replaces all but the newest turns by a summary.
func (a *script) compact() {
	kept := a.talk[len(a.talk)-4:]
	a.talk = append([]types.Message{userSays(textBlock("What happened so far: " + passage(999, 3000))), {Role: types.ConversationRoleAssistant, Content: []types.ContentBlock{textBlock("I see.")}}}, kept...)
}

// picture is a PNG of the given size.
func picture(tb testing.TB, edge int) types.ContentBlock {
	tb.Helper()
	var b bytes.Buffer
	require.NoError(tb, png.Encode(&b, image.NewGray(image.Rect(0, 0, edge, edge))))
	return &types.ContentBlockMemberImage{Value: types.ImageBlock{Format: types.ImageFormatPng, Source: &types.ImageSourceMemberBytes{Value: b.Bytes()}}}
}

func inWorkflow(name string) context.Context {
	return budget.WithScope(context.Background(), budget.Scope{Principal: "ci", Workflow: name})
}

// A well-behaved agent of 200 turns: points placed by the guard, pauses within the lifetime, turns with many tool calls,
// pictures, one announced compaction, and two branches that go on at the same time.
func TestAWellBehavedAgentIsNotWarned(t *testing.T) {
	clock := newFastClock()
	r := cacheRig(t, cache.Policy{Mode: cache.Fix}, clock)
	ctx := inWorkflow("well-behaved")
	a := newScript(r.client, clock)
	for turn := range 200 {
		var err error
		now := ctx
		switch {
		case turn == 120:
			a.compact()
			now = cache.WithCompaction(ctx)
			err = a.say(now, textBlock(passage(turn, 1500)))
		case turn%25 == 7:
			err = a.useTools(now, turn, 14) // 28 blocks in one turn
		case turn%10 == 3:
			err = a.useTools(now, turn, 3)
		case turn%40 == 20:
			err = a.say(now, textBlock(passage(turn, 500)), picture(t, 100+turn))
		case turn%50 == 49:
			clock.Advance(4*time.Minute + 20*time.Second)
			err = a.say(now, textBlock(passage(turn, 1500)))
		case turn == 60:
			b := a.fork()
			require.NoError(t, a.say(ctx, textBlock(passage(turn, 800))))
			require.NoError(t, b.say(ctx, textBlock(passage(5000, 800))))
			var branches sync.WaitGroup
			for i, s := range []*script{a, b} {
				branches.Go(func() {
					for k := range 10 {
						if err := s.say(ctx, textBlock(passage(6000+100*i+k, 800))); err != nil {
							t.Error(err)
						}
					}
				})
			}
			branches.Wait()
		default:
			err = a.say(now, textBlock(passage(turn, 1500)))
		}
		require.NoError(t, err, "turn %d", turn)
		for _, f := range r.findings() {
			require.Failf(t, "a well-behaved agent was warned", "turn %d: %s", turn, f)
		}
	}
	require.Greater(t, r.server.Bill().CacheHitShare(), 0.9)
	r.requireExact(t)
}

// What the incident's agent did: the system prompt is marked, the conversation behind it is not.
func onlySystemMarked(a *script) *script {
	a.system = append(a.system, &types.SystemContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault}})
	return a
}

func TestRefuseStopsAMisplacedPointBeforeAnythingIsSent(t *testing.T) {
	clock := newFastClock()
	r := cacheRig(t, cache.Policy{Mode: cache.Refuse}, clock)
	err := onlySystemMarked(newScript(r.client, clock)).say(inWorkflow("refused"), textBlock(passage(1, 30_000)))
	require.ErrorIs(t, err, cache.ErrRefused)
	var refused *cache.RefusedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, cache.Rule("uncached-tail"), refused.Findings[0].Rule)
	require.Positive(t, refused.Findings[0].NanoUSD)
	require.Zero(t, r.server.Requests(), "nothing was sent")
	require.Zero(t, r.balance(t, total).Settled.N+r.balance(t, total).Pending.N, "nothing was reserved")
}

func TestFixPlacesPointsWithoutTouchingTheCallersValues(t *testing.T) {
	clock := newFastClock()
	r := cacheRig(t, cache.Policy{Mode: cache.Fix}, clock)
	a := onlySystemMarked(newScript(r.client, clock))
	for turn := range 10 {
		require.NoError(t, a.say(inWorkflow("fixed"), textBlock(passage(turn, 8000))))
	}
	require.Len(t, a.system, 2)
	for _, m := range a.talk {
		for _, b := range m.Content {
			_, marked := b.(*types.ContentBlockMemberCachePoint)
			require.False(t, marked, "the caller's messages are the caller's")
		}
	}
	require.Greater(t, r.server.Bill().CacheHitShare(), 0.8)
	r.requireExact(t)
}

// A share of hits of a fifth is no cache that works, though something is read in every call.
func TestAHitShareOfAFifthTripsTheFloor(t *testing.T) {
	clock := newFastClock()
	quiet := map[cache.Rule]cache.Mode{"uncached-tail": cache.Report}
	r := cacheRig(t, cache.Policy{Mode: cache.Refuse, Rules: quiet}, clock)
	a := onlySystemMarked(newScript(r.client, clock))
	ctx := inWorkflow("trips")
	var err error
	turns := 0
	for ; turns < 30 && err == nil; turns++ {
		err = a.say(ctx, textBlock(passage(turns, 25_000)))
	}
	var refused *cache.RefusedError
	require.ErrorAs(t, err, &refused, "within 30 turns")
	require.Equal(t, cache.Rule("hit-ratio-below-floor"), refused.Findings[0].Rule)
	require.Contains(t, fmt.Sprint(refused.Findings), "uncached-tail", "the cause is named")
	for _, i := range r.server.Inferences()[1:] {
		require.Positive(t, i.CacheReadTokens, "each call but the first read something")
	}
	require.Less(t, turns, 12)

	a.talk = a.talk[:len(a.talk)-1]
	require.ErrorIs(t, a.say(ctx, textBlock("go on")), cache.ErrRefused, "until it is revived")
	a.talk = a.talk[:len(a.talk)-1]
	r.guard.ReviveCache(budget.Scope{Principal: "ci", Workflow: "trips"})
	require.NoError(t, a.say(ctx, textBlock("go on")))
}
