package cache

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

func claude() Model {
	return Model{
		Provider: anthropic, Explicit: true, MinTokens: 1024, MaxPoints: 4, TTLs: []time.Duration{prompt.FiveMinutes, prompt.OneHour},
		Tools: true, System: true, Messages: true,
		InputPrice: 5_000_000, CacheReadPrice: 500_000, CacheWrite5mPrice: 6_250_000, CacheWrite1hPrice: 10_000_000,
	}
}

func novaModel() Model {
	return Model{
		Provider: nova, Explicit: true, MinTokens: 1000, MaxTokens: 20_000, MaxPoints: 4, TTLs: []time.Duration{prompt.FiveMinutes},
		System: true, Messages: true,
	}
}

// repeat returns n times an item.
func repeat(it item, n int) []item { return slices.Repeat([]item{it}, n) }

func TestPlace(t *testing.T) {
	tool := of(prompt.ToolDefinition, 3000)
	five, hour, open := point(prompt.FiveMinutes), point(prompt.OneHour), item{ttl: prompt.FiveMinutes, open: true}
	hourly := PlaceOptions{Gaps: Gaps{Medium: 5, PrefixTokens: 9000, NewTokens: 200}}
	talk := []turn{user(text(100)), assistant(text(100)), user(text(100)), assistant(text(100)), user(text(100))}
	long := []turn{user(text(100)), assistant(repeat(of(prompt.ToolUse, 10), 25)...), user(repeat(of(prompt.ToolResult, 10), 25)...)}
	for name, tc := range map[string]struct {
		request lists
		model   func(*Model)
		options PlaceOptions
		want    string
	}{
		"all four places": {
			lists{tools: []item{tool}, system: []item{text(3000)}, messages: talk},
			nil,
			PlaceOptions{},
			"tools/1 5m, system/1 5m, 2/1 5m, 4/1 5m",
		},
		"no tools, no system prompt": {lists{messages: []turn{user(text(5000)), assistant(text(1)), user(text(1))}}, nil, PlaceOptions{}, "0/1 5m, 2/1 5m"},
		"nothing is long enough":     {lists{tools: []item{of(prompt.ToolDefinition, 100)}, system: []item{text(100)}, messages: talk}, nil, PlaceOptions{}, ""},
		"enough by the factor learned": {
			lists{system: []item{text(1000)}, messages: talk[:1]}, nil, PlaceOptions{Factor: 1300}, "system/1 5m",
		},
		"the minimum counts from the start": {
			lists{tools: []item{of(prompt.ToolDefinition, 1200)}, system: []item{text(1000)}, messages: talk[:1]},
			nil,
			PlaceOptions{},
			"system/1 5m, 0/1 5m",
		},
		"a turn as long as the lookback gets a point between, and the tools yield": {
			lists{tools: []item{tool}, system: []item{text(3000)}, messages: long},
			nil,
			PlaceOptions{},
			"system/1 5m, 0/1 5m, 1/19 5m, 2/25 5m",
		},
		"a turn of one block less gets none": {
			lists{system: []item{text(3000)}, messages: []turn{user(text(100)), assistant(text(1)), user(repeat(of(prompt.ToolResult, 10), 18)...)}},
			nil,
			PlaceOptions{},
			"system/1 5m, 0/1 5m, 2/18 5m",
		},
		"a turn of exactly the lookback gets one": {
			lists{system: []item{text(3000)}, messages: []turn{user(text(100)), assistant(text(1)), user(repeat(of(prompt.ToolResult, 10), 19)...)}},
			nil,
			PlaceOptions{},
			"system/1 5m, 0/1 5m, 2/18 5m, 2/19 5m",
		},
		"the caller's own lagging point will do": {
			lists{tools: []item{tool}, messages: []turn{user(text(3000)), assistant(slices.Concat(repeat(of(prompt.ToolUse, 10), 5), []item{five}, repeat(of(prompt.ToolUse, 10), 20))...), user(repeat(of(prompt.ToolResult, 10), 25)...)}},
			nil,
			PlaceOptions{},
			"tools/1 5m, 0/1 5m, 1/5 5m, 2/25 5m",
		},
		"a model without a bound needs none": {
			lists{tools: []item{tool}, system: []item{text(3000)}, messages: long},
			func(m *Model) { m.Lookback = -1 },
			PlaceOptions{},
			"tools/1 5m, system/1 5m, 0/1 5m, 2/25 5m",
		},
		"two points go to the turns": {
			lists{tools: []item{tool}, system: []item{text(3000)}, messages: talk}, func(m *Model) { m.MaxPoints = 2 }, PlaceOptions{}, "2/1 5m, 4/1 5m",
		},
		"an unknown number is taken for four": {
			lists{tools: []item{tool}, system: []item{text(3000)}, messages: long},
			func(m *Model) { m.MaxPoints = 0 },
			PlaceOptions{},
			"system/1 5m, 0/1 5m, 1/19 5m, 2/25 5m",
		},
		"a model that takes none": {
			lists{tools: []item{tool, five}, system: []item{text(3000), hour}, messages: []turn{user(text(1), five)}}, func(m *Model) { m.Explicit = false }, PlaceOptions{}, "",
		},
		"a section that takes none": {
			lists{tools: []item{tool, hour}, system: []item{text(3000)}, messages: talk[:1]}, func(m *Model) { m.Tools = false }, PlaceOptions{}, "system/1 5m, 0/1 5m",
		},
		"the beginning of an answer is no turn": {
			lists{system: []item{text(3000)}, messages: append(slices.Clone(talk), assistant(text(1)))}, nil, PlaceOptions{}, "system/1 5m, 2/1 5m, 4/1 5m",
		},
		"a question to a model without tools is most likely the only one": {
			lists{system: []item{text(3000)}, messages: []turn{user(text(9000))}}, nil, PlaceOptions{}, "system/1 5m",
		},
		"and so is one with the beginning of its answer": {
			lists{system: []item{text(3000)}, messages: []turn{user(text(9000)), assistant(text(1))}}, nil, PlaceOptions{}, "system/1 5m",
		},
		"of which the caller may think otherwise": {
			lists{system: []item{text(3000)}, messages: []turn{user(text(9000), open)}}, nil, PlaceOptions{}, "system/1 5m, 0/1 5m",
		},
		"user messages in a row are one turn": {
			lists{system: []item{text(3000)}, messages: []turn{user(text(1)), assistant(text(1)), user(text(1)), user(text(1))}}, nil, PlaceOptions{}, "system/1 5m, 0/1 5m, 3/1 5m",
		},
		"a final request writes no turn, and reads the one before": {
			lists{system: []item{text(3000)}, messages: talk, final: true}, nil, PlaceOptions{}, "system/1 5m, 2/1 5m",
		},
		"nothing stands behind what changes": {
			lists{tools: []item{tool}, system: []item{text(3000), text(10)}, messages: talk}, nil, PlaceOptions{Before: 2}, "tools/1 5m, system/1 5m",
		},

		"behind reasoning, so behind the turn before": {
			lists{system: []item{text(3000)}, messages: []turn{user(text(1)), assistant(of(prompt.Reasoning, 50), five), user(text(1))}},
			nil,
			PlaceOptions{},
			"system/1 5m, 0/1 5m, 2/1 5m",
		},
		"beside reasoning": {
			lists{system: []item{text(3000)}, messages: []turn{user(text(1)), assistant(of(prompt.Reasoning, 50), text(9), hour), user(text(1))}},
			nil,
			PlaceOptions{},
			"system/1 1h, 0/1 1h, 2/1 5m",
		},
		"beside reasoning, in another maker's model": {
			lists{system: []item{text(3000)}, messages: []turn{user(text(1)), assistant(of(prompt.Reasoning, 50), text(9), five), user(text(1))}},
			func(m *Model) { m.Provider = "other" },
			PlaceOptions{},
			"system/1 5m, 0/1 5m, 1/2 5m, 2/1 5m",
		},
		"behind an empty text": {
			lists{system: []item{text(3000), {block: true, empty: true}, hour}, messages: talk[:1]}, nil, PlaceOptions{}, "system/1 1h",
		},
		"first in its message": {
			lists{system: []item{text(3000)}, messages: []turn{user(five, text(1)), assistant(text(1)), user(five, text(1))}}, nil, PlaceOptions{}, "system/1 5m, 0/1 5m, 1/1 5m, 2/1 5m",
		},
		"nested": {
			lists{system: []item{text(3000)}, messages: []turn{user(text(1)), assistant(of(prompt.ToolUse, 5)), user(item{block: true, kind: prompt.ToolResult, tokens: 9, nested: []time.Duration{prompt.OneHour, prompt.FiveMinutes}}, text(1))}},
			nil,
			PlaceOptions{},
			"system/1 1h, 0/1 1h, 2/1 1h, 2/2 5m",
		},
		"two behind one block": {
			lists{system: []item{text(3000), five, hour}, messages: talk[:1]}, nil, PlaceOptions{}, "system/1 5m",
		},
		"a block that says so": {
			lists{system: []item{text(3000)}, messages: []turn{user(text(7), item{block: true, kind: prompt.Document, tokens: 9, noPoint: true}, five)}}, nil, PlaceOptions{}, "system/1 5m, 0/1 5m",
		},
		"the caller's behind a document stays, a new one does not go there": {
			lists{system: []item{text(3000)}, messages: []turn{user(text(7), of(prompt.Document, 9), five), assistant(text(1)), user(text(7), of(prompt.Document, 9))}},
			nil,
			PlaceOptions{},
			"system/1 5m, 0/1 5m, 0/2 5m, 2/1 5m",
		},
		"a turn of unknown content hands over to the answer before it": {
			lists{system: []item{text(3000)}, messages: []turn{user(text(7)), assistant(text(1)), user(of(prompt.Other, 9))}}, nil, PlaceOptions{}, "system/1 5m, 0/1 5m, 1/1 5m",
		},
		"no room for what has to move": {
			lists{tools: []item{tool}, system: []item{text(3000)}, messages: append([]turn{user(text(5)), assistant(of(prompt.Reasoning, 5), five)}, talk...)},
			nil,
			PlaceOptions{},
			"tools/1 5m, system/1 5m, 4/1 5m, 6/1 5m",
		},

		"too many": {
			lists{
				tools: []item{tool, five, tool, five}, system: []item{text(3000), five, text(9), five},
				messages: []turn{user(text(1), five), assistant(text(1)), user(text(1), five), assistant(text(1), five), user(text(1))},
			}, nil, PlaceOptions{}, "tools/2 5m, system/2 5m, 2/1 5m, 3/1 5m",
		},
		"too many in one place": {
			lists{system: []item{text(3000)}, messages: append([]turn{user(text(1), five, text(1), five, text(1), five, text(1), five, text(1), five), assistant(text(1))}, talk...)},
			nil,
			PlaceOptions{},
			"0/4 5m, 0/5 5m, 4/1 5m, 6/1 5m",
		},
		"four that the service accepts stay, wherever they stand": {
			lists{tools: []item{tool, five}, system: []item{text(3000), five}, messages: append([]turn{user(text(1), five), assistant(text(1), five)}, talk...)},
			nil,
			PlaceOptions{},
			"tools/1 5m, system/1 5m, 0/1 5m, 1/1 5m",
		},
		"those without effect yield to others": {
			lists{tools: []item{of(prompt.ToolDefinition, 10), five, of(prompt.ToolDefinition, 10), five}, system: []item{text(10), five, text(10), five}, messages: []turn{user(text(5000)), assistant(text(1)), user(text(1))}},
			nil,
			PlaceOptions{},
			"system/1 5m, system/2 5m, 0/1 5m, 2/1 5m",
		},
		"those without effect stay where there is room": {
			lists{system: []item{text(10), five}, messages: []turn{user(text(5000)), assistant(text(1)), user(text(1))}}, nil, PlaceOptions{}, "system/1 5m, 0/1 5m, 2/1 5m",
		},

		"lifetimes: an hour behind five minutes raises these": {
			lists{tools: []item{tool, five}, system: []item{text(3000), hour}, messages: talk},
			nil,
			PlaceOptions{},
			"tools/1 1h, system/1 1h, 2/1 5m, 4/1 5m",
		},
		"lifetimes: new points in front of an hour ask for one": {
			lists{tools: []item{tool}, system: []item{text(3000)}, messages: []turn{user(text(1)), assistant(text(1)), user(text(1), hour)}},
			nil,
			PlaceOptions{},
			"tools/1 1h, system/1 1h, 0/1 1h, 2/1 1h",
		},
		"lifetimes: unknown": {lists{system: []item{text(3000), point(0)}, messages: talk[:1]}, nil, PlaceOptions{}, "system/1 5m"},
		"lifetimes: not on offer": {
			lists{system: []item{text(3000), hour}, messages: talk[:1]}, func(m *Model) { m.TTLs = nil }, PlaceOptions{}, "system/1 5m",
		},
		"lifetimes: between two that are": {
			lists{system: []item{text(3000), point(30 * time.Minute)}, messages: talk[:1]}, nil, PlaceOptions{}, "system/1 5m",
		},
		"lifetimes: a model with another one alone": {
			lists{system: []item{text(3000), five}, messages: talk[:1]}, func(m *Model) { m.TTLs = []time.Duration{30 * time.Minute} }, PlaceOptions{}, "system/1 30m",
		},
		"lifetimes: an hour that pays": {
			lists{tools: []item{tool}, system: []item{text(3000)}, messages: talk},
			nil,
			PlaceOptions{Gaps: Gaps{Medium: 5, PrefixTokens: 9000, NewTokens: 200}},
			"tools/1 1h, system/1 1h, 2/1 1h, 4/1 1h",
		},
		"lifetimes: an hour that pays yields to the caller's five minutes": {
			lists{tools: []item{tool}, system: []item{text(3000), five}, messages: talk},
			nil,
			PlaceOptions{Gaps: Gaps{Medium: 5, PrefixTokens: 9000, NewTokens: 200}},
			"tools/1 1h, system/1 5m, 2/1 5m, 4/1 5m",
		},
		"lifetimes: an hour that pays, where the caller leaves it open": {
			lists{tools: []item{tool, open}, system: []item{text(3000), open}, messages: talk},
			nil, hourly,
			"tools/1 1h, system/1 1h, 2/1 1h, 4/1 1h",
		},
		"lifetimes: what is left open never goes against what is not": {
			lists{tools: []item{tool, open}, system: []item{text(3000), five}, messages: []turn{user(text(1), open), assistant(text(1)), user(text(1), open)}},
			nil, hourly,
			"tools/1 1h, system/1 5m, 0/1 5m, 2/1 5m",
		},
		"lifetimes: an hour behind what is left open": {
			lists{tools: []item{tool, open}, system: []item{text(3000), hour}, messages: []turn{user(text(1), open)}},
			nil,
			PlaceOptions{},
			"tools/1 1h, system/1 1h, 0/1 5m",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := claude()
			if tc.model != nil {
				tc.model(&m)
			}
			require.Equal(t, tc.want, placed(&tc.request, m, tc.options))
		})
	}
}

func TestPlace_Nova(t *testing.T) {
	five := point(prompt.FiveMinutes)
	used, result := of(prompt.ToolUse, 50), of(prompt.ToolResult, 50)
	for name, tc := range map[string]struct {
		request lists
		want    string
	}{
		"behind text alone, and not in tools": {
			lists{
				tools: []item{of(prompt.ToolDefinition, 3000), five}, system: []item{text(3000)},
				messages: []turn{user(text(9)), assistant(text(1), used), user(result, five, text(1), of(prompt.Image, 10))},
			}, "system/1 5m, 0/1 5m, 1/1 5m, 2/2 5m",
		},
		"a tool loop is marked in the answers": {
			lists{system: []item{text(3000)}, messages: []turn{user(text(9)), assistant(text(1), used), user(result), assistant(text(1), used), user(result, five)}},
			"system/1 5m, 1/1 5m, 3/1 5m",
		},
		"a tool loop without a word has no place": {
			lists{system: []item{text(3000)}, messages: []turn{user(text(9)), assistant(used), user(result), assistant(used), user(result)}}, "system/1 5m, 0/1 5m",
		},
		"beyond the maximum the newest within it count": {
			lists{system: []item{text(3000)}, messages: []turn{
				user(text(1000)), assistant(text(1000)), user(text(1000)), assistant(text(1000)), user(text(3000)), assistant(text(1000)), user(text(9000)), assistant(text(1000)), user(text(10)),
			}}, "system/1 5m, 4/1 5m, 5/1 5m",
		},
		"beyond the maximum the caller's give way": {
			lists{system: []item{text(90_000), five, text(1), five}, messages: []turn{user(text(1), five), assistant(text(1)), user(text(1), five)}}, "system/1 5m, system/2 5m, 0/1 5m, 2/1 5m",
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tc.want, placed(&tc.request, novaModel(), PlaceOptions{}))
		})
	}
}

// A point that is fine is not touched, so that nothing of the request has to be copied.
func TestPlace_LeavesGoodRequestsAlone(t *testing.T) {
	r := lists{
		tools: []item{of(prompt.ToolDefinition, 3000), point(prompt.OneHour)}, system: []item{text(3000), point(prompt.OneHour)},
		messages: []turn{user(text(9), point(prompt.FiveMinutes)), assistant(text(1)), user(text(9), point(prompt.FiveMinutes))},
	}
	require.Nil(t, Place(r.prompt(), claude(), PlaceOptions{}))
	require.Nil(t, Place(new(prompt.Prompt), claude(), PlaceOptions{}))
	require.Nil(t, Place(new(prompt.Prompt), Model{}, PlaceOptions{}))
}

// paper is a document that counts how often it is serialised.
type paper struct {
	tokens int
	times  *int
}

func (d paper) MarshalSmithyDocument() ([]byte, error) {
	*d.times++
	return []byte(filler[:d.tokens*7/2]), nil
}

// The size of documents counts, and only as long as it can matter are they serialised.
func TestPlace_SerialisesWhatCanMatter(t *testing.T) {
	for name, tc := range map[string]struct {
		model        Model
		points, read int
	}{
		"until the minimum is reached": {claude(), 2, 2},
		"all of them for a maximum":    {novaModel(), 0, 5},
	} {
		t.Run(name, func(t *testing.T) {
			times := 0
			p := new(prompt.Prompt)
			p.Message(0, true)
			for i := range 5 {
				p.Block(prompt.ToolUse, i)
				p.Document(paper{1500, &times})
			}
			p.Block(prompt.Text, 5)
			p.Text("and now?")
			p.Message(1, false)
			p.Block(prompt.Text, 0)
			p.Text("that")
			p.Message(2, true)
			p.Block(prompt.Text, 0)
			p.Text("why?")
			if tc.model.MaxTokens > 0 {
				tc.model.MaxTokens = 11_000 // less than five documents by the highest estimate
			}
			require.Len(t, Place(p, tc.model, PlaceOptions{}), tc.points)
			require.Equal(t, tc.read, times)
			bytes := p.Blocks[0].Bytes
			p.Record(nil)
			require.Equal(t, bytes, p.Blocks[0].Bytes, "counted once")
		})
	}
}

// BenchmarkPlace places points in a conversation of an agent.
func BenchmarkPlace(b *testing.B) {
	for _, messages := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(messages), func(b *testing.B) {
			r := lists{tools: repeat(of(prompt.ToolDefinition, 200), 20), system: []item{text(3000)}}
			for i := range messages {
				r.messages = append(r.messages, []turn{user(text(100), of(prompt.ToolResult, 200)), assistant(text(50), of(prompt.ToolUse, 20))}[i%2])
			}
			r.messages = append(r.messages[:len(r.messages)-1], user(text(10)))
			p, m := r.prompt(), claude()
			b.ReportAllocs()
			for b.Loop() {
				Place(p, m, PlaceOptions{})
			}
		})
	}
}
