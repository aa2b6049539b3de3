package bedrocktest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/shapes"
)

// sampler makes requests from the service model: valid ones, and ones that break one constraint.
type sampler struct {
	shapes map[string]*shapes.Shape
	broken map[string]any // by a name
	depth  int
}

// samples are texts that satisfy the patterns and meanings which a made-up text would not.
var samples = map[string]string{
	"S3Uri": "s3://bucket/key", "AccountId": "123456789012", "RequestMetadataKeyString": "key", "RequestMetadataValueString": "value",
	"GuardrailIdentifier": "abc123", "GuardrailVersion": "1", "ToolUseId": "use-1",
}

// valid returns a small value of a type.
func (g *sampler) valid(name string) any {
	s := g.shapes[name]
	switch {
	case s.Document:
		return map[string]any{"type": "object"}
	case s.Type == "structure":
		members := s.Required
		if s.Union {
			members = []string{g.plainest(s)}
		}
		out := map[string]any{}
		for _, m := range members {
			if s.Members[m].Location == "" {
				out[m] = g.valid(s.Members[m].Shape)
			}
		}
		return out
	case s.Type == "list":
		return []any{g.valid(s.Member)}
	case s.Type == "map":
		return map[string]any{fmt.Sprint(g.valid(s.Key)): g.valid(s.Value)}
	case s.Type == "boolean":
		return true
	case s.Type == "blob":
		return "iVBORw0KGgo="
	case s.Type == "string" && samples[name] != "":
		return samples[name]
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type == "string":
		length := 3
		if s.Min != nil {
			length = max(length, int(*s.Min))
		}
		return strings.Repeat("a", length)
	default:
		if s.Min != nil {
			return *s.Min
		}
		return 1
	}
}

// plainest is the member of a union that needs least.
func (g *sampler) plainest(s *shapes.Shape) string {
	for _, m := range []string{"text", "json", "bytes", "auto", "toolSpec"} {
		if slices.Contains(s.Names, m) {
			return m
		}
	}
	return s.Names[0]
}

// breaks calls f with each way in which a value of a type can break one constraint, inside of it included; wrap puts the value into the
// request.
func (g *sampler) breaks(name, where string, wrap func(any) any) {
	s := g.shapes[name]
	if s.Document || g.depth > 9 {
		return
	}
	g.depth++
	defer func() { g.depth-- }()
	bad := func(what string, v any) { g.broken[where+": "+what] = wrap(v) }
	bad("wrong type", map[string]any{"structure": "x", "list": "x", "map": "x", "boolean": "x", "string": 7, "blob": 7, "integer": "x", "float": "x"}[s.Type])
	switch s.Type {
	case "structure":
		g.breakStructure(s, where, wrap, bad)
	case "list":
		if s.Min != nil && *s.Min > 0 {
			bad("too few", []any{})
		}
		if s.Max != nil && *s.Max < 200 {
			bad("too many", slices.Repeat([]any{g.valid(s.Member)}, int(*s.Max)+1))
		}
		g.breaks(s.Member, where+"[]", func(v any) any { return wrap([]any{v}) })
	case "map":
		if s.Max != nil && *s.Max < 200 {
			many := map[string]any{}
			for i := range int(*s.Max) + 1 {
				many[fmt.Sprint("key", i)] = g.valid(s.Value)
			}
			bad("too many", many)
		}
		g.breaks(s.Value, where+"{}", func(v any) any { return wrap(map[string]any{"key": v}) })
	case "string":
		if s.Min != nil && *s.Min > 0 {
			bad("too short", "")
		}
		if s.Max != nil && *s.Max < 100_000 {
			bad("too long", strings.Repeat("a", int(*s.Max)+1))
		}
		if s.Matcher != nil && !s.Matcher.MatchString("|\x00") {
			bad("pattern", "|\x00")
		}
		if s.Enum != nil {
			bad("enum", "no-such-value")
		}
	case "blob":
		bad("not base64", "%%%")
	case "integer", "float":
		if s.Min != nil {
			bad("too small", *s.Min-1)
		}
		if s.Max != nil {
			bad("too large", *s.Max+1)
		}
	}
}

func (g *sampler) breakStructure(s *shapes.Shape, where string, wrap func(any) any, bad func(string, any)) {
	whole, _ := g.valid(nameOf(g.shapes, s)).(map[string]any)
	with := func(change func(map[string]any)) map[string]any {
		out := maps.Clone(whole)
		change(out)
		return out
	}
	bad("unknown member", with(func(m map[string]any) { m["noSuchMember"] = 1 }))
	for _, r := range s.Required {
		if s.Members[r].Location == "" {
			bad("without "+r, with(func(m map[string]any) { delete(m, r) }))
		}
	}
	if s.Union {
		bad("none of a union", map[string]any{})
		if len(s.Names) > 1 {
			bad("two of a union", map[string]any{s.Names[0]: g.valid(s.Members[s.Names[0]].Shape), s.Names[1]: g.valid(s.Members[s.Names[1]].Shape)})
		}
	}
	for _, m := range s.Names {
		g.breaks(s.Members[m].Shape, where+"."+m, func(v any) any {
			if s.Union {
				return wrap(map[string]any{m: v})
			}
			return wrap(with(func(out map[string]any) { out[m] = v }))
		})
	}
}

func nameOf(shapes map[string]*shapes.Shape, s *shapes.Shape) string {
	for name, other := range shapes {
		if other == s {
			return name
		}
	}
	return ""
}

// byServiceModel are the words of refusals that come before any rule of a model.
const byServiceModel = `not a JSON object|validation errors? detected|extraneous key|must set exactly one|can not be converted|Unexpected field type|Expected (list|map)|Invalid base64`

// Each constraint of each type that a request can hold, broken once, is refused with the service's error type.
func TestRequestsThatTheServiceModelRulesOut(t *testing.T) {
	server := New(t, Options{})
	for operation, request := range map[string]string{
		"converse": "ConverseRequest", "converse-stream": "ConverseStreamRequest", "count-tokens": "CountTokensRequest",
		"guardrail/g1/version/1/apply": "ApplyGuardrailRequest", "guardrail-checks/invoke": "InvokeGuardrailChecksRequest", "async-invoke": "StartAsyncInvokeRequest",
	} {
		g := &sampler{shapes: shapes.All(), broken: map[string]any{}}
		base := map[string]any{"messages": []any{map[string]any{"role": "user", "content": []any{map[string]any{"text": "q"}}}}}
		path := "/model/" + opus46 + "/" + operation
		if !strings.HasPrefix(operation, "converse") {
			base = map[string]any{}
		}
		if strings.ContainsAny(operation, "/") || operation == "async-invoke" {
			path = "/" + operation
		}
		g.breaks(request, operation, func(v any) any {
			m, ok := v.(map[string]any)
			if !ok {
				return v
			}
			return mergedOver(base, m)
		})
		least := 25
		if strings.HasPrefix(path, "/model/") {
			least = 300
		}
		require.Greater(t, len(g.broken), least, operation)
		for name, body := range g.broken {
			raw, err := json.Marshal(body)
			require.NoError(t, err)
			got, err := postTo(t, server, path, "Bearer token", string(raw))
			require.NoError(t, err)
			require.Equal(t, 400, got.status, "%s: %s was accepted", name, raw)
			require.Contains(t, []string{"ValidationException", "SerializationException"}, got.errType, name)
			require.Regexp(t, byServiceModel, got.body, name)
		}
		t.Logf("%s: %d requests that break one constraint, all refused", operation, len(g.broken))
	}
	require.Zero(t, server.Bill())
}

// mergedOver fills in what a request leaves out, unless leaving it out is the point.
func mergedOver(base, m map[string]any) map[string]any {
	if _, has := m["messages"]; !has && len(m) == 0 {
		return m
	}
	out := maps.Clone(base)
	maps.Copy(out, m)
	return out
}

// The sentences are the service's own, which clients tell apart by their text.
func TestViolationsAreToldInTheServicesWords(t *testing.T) {
	server := New(t, Options{})
	for body, want := range map[string]string{
		`{"messages":[{"role":"user","content":[{"text":"q"}]}],"inferenceConfig":{"temperature":1.5,"maxTokens":0}}`: "2 validation errors detected: " +
			"Value '1.5' at 'inferenceConfig.temperature' failed to satisfy constraint: Member must have value less than or equal to 1; " +
			"Value '0' at 'inferenceConfig.maxTokens' failed to satisfy constraint: Member must have value greater than or equal to 1",
		`{"messages":[{"role":"oracle","content":[{"text":"q"}]}]}`: "1 validation error detected: Value 'oracle' at 'messages.1.member.role' failed to satisfy constraint: " +
			"Member must satisfy enum value set: [user, assistant, system]",
		`{"messages":[{"role":"user","content":[{"text":"q"}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"","inputSchema":{"json":{}}}}]}}`: "1 validation error detected: " +
			"Value '' at 'toolConfig.tools.1.member.toolSpec.description' failed to satisfy constraint: Member must have length greater than or equal to 1",
		`{"messages":[{"role":"user","content":[{"text":1}]}]}`: "NUMBER_VALUE can not be converted to a String",
	} {
		got, err := post(t, server, opus46, "converse", body)
		require.NoError(t, err)
		require.Equal(t, 400, got.status)
		var told struct{ Message string }
		require.NoError(t, json.Unmarshal([]byte(got.body), &told))
		require.Equal(t, want, told.Message)
	}
}
