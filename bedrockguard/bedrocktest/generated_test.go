package bedrocktest

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/shapes"
)

// variants returns values of a type in which each member stands once, valid, down to the last one.
func (g *sampler) variants(name string) (all []any) {
	s := g.shapes[name]
	if g.depth > 9 {
		return []any{g.valid(name)}
	}
	g.depth++
	defer func() { g.depth-- }()
	switch {
	case len(s.Enum) > 0:
		for _, v := range s.Enum {
			all = append(all, v)
		}
		return all
	case s.Type == "integer" || s.Type == "float":
		return g.limits(s, name)
	case s.Type == "string" && samples[name] == "" && (s.Min != nil || s.Max != nil):
		all = append(all, g.valid(name))
		if s.Min != nil && *s.Min > 0 {
			all = append(all, strings.Repeat("a", int(*s.Min)))
		}
		if s.Max != nil && *s.Max <= 100_000 {
			all = append(all, strings.Repeat("a", int(*s.Max)))
		}
		return all
	case s.Document || s.Type != "structure" && s.Type != "list" && s.Type != "map":
		return []any{g.valid(name)}
	case s.Type == "list":
		for _, v := range g.variants(s.Member) {
			all = append(all, []any{v})
		}
		if s.Max != nil && *s.Max < 200 && s.Type == "list" && *s.Max > 1 && g.shapes[s.Member].Type == "string" {
			many := []any{}
			for i := range int(*s.Max) {
				many = append(many, strconv.Itoa(i))
			}
			all = append(all, many)
		}
		return all
	case s.Type == "map":
		if s.Max != nil && *s.Max < 200 {
			many := map[string]any{}
			for i := range int(*s.Max) {
				many["key"+strconv.Itoa(i)] = g.valid(s.Value)
			}
			all = append(all, many)
		}
		for _, v := range g.variants(s.Value) {
			all = append(all, map[string]any{"key": v})
		}
		return all
	}
	whole := g.valid(name)
	if !s.Union {
		all = append(all, whole)
	}
	for _, m := range s.Names {
		for _, v := range g.variants(s.Members[m].Shape) {
			with := map[string]any{m: v}
			if !s.Union {
				with = maps.Clone(whole.(map[string]any))
				with[m] = v
			}
			all = append(all, with)
		}
	}
	return all
}

// limits are the least and the most of a number that is allowed, where they are not beyond what a model takes.
func (g *sampler) limits(s *shapes.Shape, name string) []any {
	all := []any{g.valid(name)}
	if s.Min != nil {
		all = append(all, *s.Min)
	}
	if s.Max != nil {
		all = append(all, *s.Max)
	}
	return all
}

const generatedTool = `{"toolSpec":{"name":"aaa","inputSchema":{"json":{"type":"object"}}}}`

// placed puts a generated block of content where it makes sense: beside text, between the use of a tool and its result, behind a system
// message.
func placed(block map[string]any) []any {
	turn := func(role string, blocks ...any) any { return map[string]any{"role": role, "content": blocks} }
	say := func(text string) any { return map[string]any{"text": text} }
	use := map[string]any{"toolUse": map[string]any{"toolUseId": "use-1", "name": "aaa", "input": map[string]any{}}}
	result := map[string]any{"toolResult": map[string]any{"toolUseId": "use-1", "content": []any{say("r")}}}
	switch kind := slices.Collect(maps.Keys(block))[0]; kind {
	case "toolUse":
		if inner := block[kind].(map[string]any); inner["type"] != nil { // the service's own tools answer in the same message
			return []any{turn("user", say("q")), turn("assistant", block), turn("user", say("q"))}
		}
		return []any{turn("user", say("q")), turn("assistant", block), turn("user", result)}
	case "toolResult":
		if inner := block[kind].(map[string]any); inner["type"] != nil {
			return []any{turn("user", say("q")), turn("assistant", use, block), turn("user", result)}
		}
		return []any{turn("user", say("q")), turn("assistant", use), turn("user", block)}
	case "reasoningContent", "citationsContent":
		return []any{turn("user", say("q")), turn("assistant", block, say("a")), turn("user", say("q"))}
	case "toolAddition", "toolRemoval":
		return []any{turn("user", say("q")), turn("system", block)}
	default:
		return []any{turn("user", say("q"), block)}
	}
}

// generated returns valid requests: each member of each structure that a Converse request can hold, once.
func generated() map[string]any {
	g := &sampler{shapes: shapes.All()}
	request := g.shapes["ConverseRequest"]
	all := map[string]any{}
	keep := func(member string, v any) {
		body := map[string]any{"messages": []any{map[string]any{"role": "user", "content": []any{map[string]any{"text": "q"}}}}}
		body[member] = v
		raw, _ := json.Marshal(body)
		if strings.Contains(string(raw), `"toolUse"`) && body["toolConfig"] == nil {
			body["toolConfig"] = map[string]any{"tools": []any{json.RawMessage(generatedTool)}}
		}
		raw, _ = json.Marshal(body)
		all[string(raw)] = body
	}
	for _, member := range request.Names {
		if member == "messages" {
			for _, block := range g.variants("ContentBlock") {
				keep(member, placed(block.(map[string]any)))
			}
			continue
		}
		for _, v := range g.variants(request.Members[member].Shape) {
			if list, ok := v.([]any); ok && member == "system" {
				keep(member, append([]any{map[string]any{"text": "s"}}, list...))
				continue
			}
			if member == "toolConfig" {
				for _, tools := range toolLists(v.(map[string]any)) {
					keep(member, tools)
				}
				continue
			}
			keep(member, v)
		}
	}
	return all
}

// toolLists puts a tool in front of a cache point that would stand alone.
func toolLists(config map[string]any) []any {
	list := config["tools"].([]any)
	if list[0].(map[string]any)["cachePoint"] != nil {
		config = maps.Clone(config)
		config["tools"] = append([]any{json.RawMessage(generatedTool)}, list...)
	}
	return []any{config}
}

// What no model here takes although the service model has it, with the reason.
var takenByNoModel = map[string]string{
	`"toolResult":\{.*"video":.*"s3Location"`: "Nova was recorded refusing videos from S3 in results of tools, and Claude refuses videos",
}

// Each member of the service model is taken, valid, by a model that has it.
func TestRequestsThatTheServiceModelAllows(t *testing.T) {
	server := New(t, Options{Guardrails: []string{"abc123"}})
	all := generated()
	require.Greater(t, len(all), 200)
	for body := range all {
		var told []string
		served := false
		for _, model := range []string{sonnet45, "us.anthropic.claude-opus-4-8", "us.amazon.nova-2-lite-v1:0", novaPro} {
			got, err := post(t, server, model, "converse", body)
			require.NoError(t, err)
			if served = got.status == 200; served {
				break
			}
			told = append(told, got.body)
		}
		excepted := false
		for pattern, reason := range takenByNoModel {
			excepted = excepted || reason != "" && regexp.MustCompile(pattern).MatchString(body)
		}
		assert.True(t, served || excepted, "%s\n%s", body, strings.Join(told, "\n"))
	}
	t.Logf("%d valid requests, each served", len(all))
}
