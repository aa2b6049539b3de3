package bedrocktest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
)

// turn is one request of a conversation and how its input is billed. A message brings 4 tokens of framing.
type turn struct {
	after  time.Duration
	prompt *prompt
	want   split
}

// filler returns n short blocks, each of which counts two tokens under perByte.
func filler(n int) []types.ContentBlock {
	blocks := make([]types.ContentBlock, n)
	for i := range blocks {
		blocks[i] = say(fmt.Sprintf("%02d", i))
	}
	return blocks
}

func big(tag string) types.ContentBlock { return say(sized(tag, 2000)) }

// behind returns a prompt whose point stands n blocks behind the one that was written, the point's own block included.
func behind(n int) *prompt {
	return ask(sonnet45).user(append(append([]types.ContentBlock{big("a")}, filler(n)...), point(""))...)
}

func TestCacheSemantics(t *testing.T) {
	q := say("question")
	static := func() *prompt { return ask(sonnet45).system(sized("s", 2000)).systemPoint("") }
	hour := func() *prompt { return ask(sonnet45).system(sized("s", 2000)).systemPoint(oneHour) }
	tests := map[string][]turn{
		"no points, no caching": {
			{0, ask(opus46).system(sized("s", 9000)).user(q), split{input: 9012}},
			{0, ask(opus46).system(sized("s", 9000)).user(q), split{input: 9012}},
		},
		"written once, then read": {
			{0, static().user(q), split{input: 12, write5m: 2000}},
			{0, static().user(say("another one")), split{input: 15, read: 2000}},
		},
		"nothing below the minimum": {
			{0, ask(sonnet45).system(sized("s", 1023)).systemPoint("").user(q), split{input: 1035}},
			{0, ask(sonnet45).system(sized("s", 1023)).systemPoint("").user(q), split{input: 1035}},
		},
		"the minimum itself is enough": {
			{0, ask(sonnet45).system(sized("s", 1024)).systemPoint("").user(q), split{input: 12, write5m: 1024}},
		},
		"the minimum counts the whole prefix": {
			{0, ask(sonnet45).system(sized("s", 1000)).systemPoint("").user(say(sized("u", 40)), point("")), split{write5m: 1044}},
			{0, ask(sonnet45).system(sized("s", 1000)).systemPoint("").user(say(sized("u", 40)), point("")), split{read: 1044}},
		},
		"Nova caches no more than 20,000 tokens": {
			{0, ask(novaPro).system(sized("s", 20001)).systemPoint("").user(q), split{input: 20013}},
			{0, ask(novaPro).system(sized("s", 20000)).systemPoint("").user(q), split{input: 12, write5m: 20000}},
		},
		"a change ahead of the point misses": {
			{0, static().user(q), split{input: 12, write5m: 2000}},
			{0, ask(sonnet45).system(sized("t", 2000)).systemPoint("").user(q), split{input: 12, write5m: 2000}},
		},
		"blocks in another order miss": {
			{0, ask(sonnet45).system(sized("a", 1000)).system(sized("b", 1000)).systemPoint("").user(q), split{input: 12, write5m: 2000}},
			{0, ask(sonnet45).system(sized("b", 1000)).system(sized("a", 1000)).systemPoint("").user(q), split{input: 12, write5m: 2000}},
		},
		"messages cut elsewhere miss": {
			{0, ask(sonnet45).user(big("a"), say("b"), point("")), split{write5m: 2005}},
			{0, ask(sonnet45).user(big("a")).assistant(say("b"), point("")), split{write5m: 2009}},
		},
		"a conversation grows and its point moves": {
			{0, ask(sonnet45).user(big("a"), point("")), split{write5m: 2004}},
			{0, ask(sonnet45).user(big("a")).assistant(say("ok")).user(q, point("")), split{read: 2004, write5m: 6 + 12}},
			{0, ask(sonnet45).user(big("a")).assistant(say("ok")).user(q).assistant(say("ok")).user(say("more"), point("")), split{read: 2022, write5m: 6 + 8}},
		},
		"lookback finds the 20th block, the point's own counted": {
			{0, ask(sonnet45).user(big("a"), point("")), split{write5m: 2004}},
			{0, behind(19), split{read: 2004, write5m: 38}},
		},
		"lookback misses the 21st block": {
			{0, ask(sonnet45).user(big("a"), point("")), split{write5m: 2004}},
			{0, behind(20), split{write5m: 2044}},
		},
		"only where a request wrote is there something to read": {
			{0, ask(sonnet45).user(big("a"), say("b"), point("")), split{write5m: 2005}},
			{0, ask(sonnet45).user(big("a"), say("c"), point("")), split{write5m: 2005}},
			{0, ask(sonnet45).user(big("a"), point("")), split{write5m: 2004}},
		},
		"five minutes are over after five minutes": {
			{0, static().user(q), split{input: 12, write5m: 2000}},
			{5 * time.Minute, static().user(q), split{input: 12, write5m: 2000}},
		},
		"a hit refreshes, free of charge": {
			{0, static().user(q), split{input: 12, write5m: 2000}},
			{5*time.Minute - 1, static().user(q), split{input: 12, read: 2000}},
			{5*time.Minute - 1, static().user(q), split{input: 12, read: 2000}},
			{5 * time.Minute, static().user(q), split{input: 12, write5m: 2000}},
		},
		"an hour is over after an hour": {
			{0, hour().user(q), split{input: 12, write1h: 2000}},
			{time.Hour - 1, hour().user(q), split{input: 12, read: 2000}},
			{time.Hour, hour().user(q), split{input: 12, write1h: 2000}},
		},
		"a hit on what lies behind a moved point refreshes it": {
			{0, ask(sonnet45).user(big("a"), point("")), split{write5m: 2004}},
			{4 * time.Minute, ask(sonnet45).user(big("a"), say("b"), point("")), split{read: 2004, write5m: 1}},
			{4 * time.Minute, ask(sonnet45).user(big("a"), point("")), split{read: 2004}},
		},
		"mixed lifetimes are billed apart": {
			{0, hour().user(big("u"), point(fiveMinutes)), split{write1h: 2000, write5m: 2004}},
			{0, hour().user(big("u"), point(fiveMinutes), say("v")), split{input: 1, read: 4004}},
			{0, hour().user(big("w"), point(oneHour), big("x"), point(fiveMinutes)), split{read: 2000, write1h: 2004, write5m: 2000}},
			{10 * time.Minute, hour().user(big("u"), point(fiveMinutes)), split{read: 2000, write5m: 2004}},
		},
		"a tool choice changes the messages alone": {
			{0, static().tool("a", "d").user(q), split{input: 12, write5m: 2000 + modeltable.ToolsOfClaude + int64(len(toolJSON("a", "d")))}},
			{0, static().tool("a", "d").choose(&types.ToolChoiceMemberAny{}).user(big("u"), point("")), split{read: 2000 + modeltable.ToolsOfClaude + int64(len(toolJSON("a", "d"))), write5m: 2004 + 100}},
			{0, static().tool("a", "d").user(big("u"), point("")), split{read: 2000 + modeltable.ToolsOfClaude + int64(len(toolJSON("a", "d"))), write5m: 2004}},
		},
		"thinking changes the messages alone": {
			{0, static().user(big("u"), point("")), split{write5m: 4004}},
			{0, static().think(1024).user(big("u"), point("")), split{read: 2000, write5m: 2004 + 40}},
			{0, static().think(2048).user(big("u"), point("")), split{read: 2000, write5m: 2004 + 40}},
			{0, static().user(big("u"), point("")), split{read: 4004}},
		},
		"the first image changes the messages alone": {
			{0, static().user(big("u"), point("")), split{write5m: 4004}},
			{0, static().user(big("u"), point(""), picture()), split{input: modeltable.MaxImageTokens, read: 2000, write5m: 2004}},
		},
		"tools change everything behind them": {
			{0, static().tool("a", "d").user(q), split{input: 12, write5m: 2000 + modeltable.ToolsOfClaude + int64(len(toolJSON("a", "d")))}},
			{0, static().tool("a", "e").user(q), split{input: 12, write5m: 2000 + modeltable.ToolsOfClaude + int64(len(toolJSON("a", "e")))}},
		},
		"each model has a cache of its own": {
			{0, static().user(q), split{input: 12, write5m: 2000}},
			{0, ask(opus41).system(sized("s", 2000)).systemPoint("").user(q), split{input: 12, write5m: 2000}},
		},
		"each profile has a cache of its own": {
			{0, ask(sonnet45).system(sized("s", 2000)).systemPoint("").user(q), split{input: 12, write5m: 2000}},
			{0, ask("global." + bare(sonnet45)).system(sized("s", 2000)).systemPoint("").user(q), split{input: 12, write5m: 2000}},
			{0, ask(sonnet45).system(sized("s", 2000)).systemPoint("").user(q), split{input: 12, read: 2000}},
		},
	}
	for name, turns := range tests {
		t.Run(name, func(t *testing.T) {
			clock := newFakeClock()
			server := New(t, Options{Clock: clock.Now, CountTokens: perByte})
			for i, turn := range turns {
				clock.advance(turn.after)
				require.Equal(t, turn.want, converse(t, server, turn.prompt), "turn %d", i+1)
			}
		})
	}
}

// toolJSON is how the SDK writes a tool of the tests.
func toolJSON(name, description string) string {
	return fmt.Sprintf(`{"toolSpec":{"description":%q,"inputSchema":{"json":{"type":"object"}},"name":%q}}`, description, name)
}

// picture is an image that cannot be decoded, which counts as the largest.
func picture() types.ContentBlock {
	return &types.ContentBlockMemberImage{Value: types.ImageBlock{Format: types.ImageFormatPng, Source: &types.ImageSourceMemberBytes{Value: []byte("\x89PNG\r\n\x1a\nno image")}}}
}

// An answer that never began leaves nothing to read.
func TestCacheKeepsNothingOfAnAnswerThatNeverBegan(t *testing.T) {
	for _, fault := range []FaultKind{Internal, ModelTimeout, ModelError, Reset} {
		t.Run(string(fault), func(t *testing.T) {
			server := New(t, Options{CountTokens: perByte, Faults: Script(fault)})
			p := ask(sonnet45).system(sized("s", 2000)).systemPoint("").user(say("q"))
			_, err := newClient(server).Converse(context.Background(), &p.in)
			require.Error(t, err)
			require.Equal(t, split{input: 5, write5m: 2000}, server.Inferences()[0].split(), "billed all the same")
			require.Equal(t, split{input: 5, write5m: 2000}, converse(t, server, p))
			require.Equal(t, split{input: 5, read: 2000}, converse(t, server, p))
		})
	}
}

// Requests that are under way together all write: there is nothing to read before the first response has begun.
func TestCacheIsReadableOnceTheFirstResponseHasBegun(t *testing.T) {
	now := newFakeClock().Now()
	m, _, _, ok := modeltable.Lookup(sonnet45, nil)
	require.True(t, ok)
	in := &dialects.Prompt{Model: m, Blocks: []dialects.Block{{Section: dialects.System, Tokens: 2000, Point: "5m"}}, InputTokens: 2000}
	var cache promptcache.Cache
	first, second := cache.Serve(in, now), cache.Serve(in, now)
	require.Equal(t, []int{2000, 2000}, []int{first.Write5m, second.Write5m})
	cache.Begun(first)
	require.Equal(t, 2000, cache.Serve(in, now).Read)
}

// What outlives a failure lives as long as the request that was answered asked for.
func TestCacheTakesTheLifetimeOfTheAnsweredRequest(t *testing.T) {
	clock := newFakeClock()
	server := New(t, Options{Clock: clock.Now, CountTokens: perByte, Faults: Script(Internal)})
	_, err := newClient(server).Converse(context.Background(), &ask(sonnet45).system(sized("s", 2000)).systemPoint(fiveMinutes).user(say("q")).in)
	require.Error(t, err)
	hour := ask(sonnet45).system(sized("s", 2000)).systemPoint(oneHour).user(say("q"))
	require.Equal(t, split{input: 5, write1h: 2000}, converse(t, server, hour))
	clock.advance(time.Hour - 1)
	require.Equal(t, split{input: 5, read: 2000}, converse(t, server, hour))
}

// Another choice of tools loses the whole prefix on Nova, tools included, and on Claude what stands in messages.
func TestToolChoiceAndTheCache(t *testing.T) {
	server := New(t, Options{CountTokens: perByte})
	ask := func(model, choice string) Inference {
		got, err := post(t, server, model, "converse", `{"system":[{"text":"`+sized("s", 3000)+`"},{"cachePoint":{"type":"default"}}],"messages":[{"role":"user","content":[{"text":"q"}]}],`+
			`"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}],"toolChoice":{"`+choice+`":{}}}}`)
		require.NoError(t, err)
		require.Equal(t, 200, got.status, got.body)
		all := server.Inferences()
		return all[len(all)-1]
	}
	for model, reads := range map[string]bool{novaPro: false, sonnet45: true} {
		require.Positive(t, ask(model, "auto").CacheWrite5mTokens)
		require.Positive(t, ask(model, "auto").CacheReadTokens)
		require.Equal(t, reads, ask(model, "any").CacheReadTokens > 0, model)
	}
}
