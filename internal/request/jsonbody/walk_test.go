package jsonbody

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// outline is a sink that writes down what it is told of a prompt, in a word each.
type outline struct {
	body      string
	told      []string
	misshapen bool
}

func (o *outline) tell(format string, args ...any) {
	o.told = append(o.told, fmt.Sprintf(format, args...))
}

func (o *outline) Field(string, string, string) {}
func (o *outline) MessageField(string)          {}
func (o *outline) Enter(s request.Section)      { o.tell("section %d", s) }
func (o *outline) Leave()                       { o.tell("end of section") }
func (o *outline) Message(index int)            { o.tell("message %d", index) }
func (o *outline) EndMessage(role string)       { o.tell("of %s", role) }
func (o *outline) Block(index int)              { o.tell("block %d", index) }
func (o *outline) String(key string, t jsonscan.Text) {
	o.tell("%s=%s", key, t)
}
func (o *outline) Word(t jsonscan.Text)        { o.tell("word %s", t) }
func (o *outline) Type(t jsonscan.Text)        { o.tell("type %s", t) }
func (o *outline) Literal(member, raw string)  { o.tell("literal %s", raw) }
func (o *outline) JSON(raw string, length int) { o.tell("json of %d", length) }
func (o *outline) Cited()                      { o.tell("cited") }
func (o *outline) Misshapen(int, string)       { o.misshapen = true }
func (o *outline) Point(p Point)               { o.tell("point for %s", p.TTL) }

func (o *outline) End(b Object) {
	o.tell("end of %s at depth %d with %d fields", b.Key, b.Depth, b.Fields)
	if b.Raw != "" && b.Raw != o.body[b.Span.Start:b.Span.End] {
		o.tell("a span that is wrong")
	}
}

func (o *outline) Tool(t Tool) {
	o.tell("tool %d %s with %d fields", t.Index, t.Name+t.Spec.Name.Raw, t.Fields)
}

// everything is a meter that only counts.
type everything struct {
	outline
	limits []string
	blocks int
}

func (m *everything) Limit(l request.Limit, v Value, sure, within bool) {
	m.limits = append(m.limits, fmt.Sprintf("%s=%s sure %v within %v", v.Key, v.Raw, sure, within))
}
func (m *everything) Form(string)            { m.blocks++ }
func (m *everything) Lasting(string, string) { m.blocks++ }
func (m *everything) Kept(string, string)    { m.blocks++ }
func (m *everything) Unseen(string)          { m.blocks++ }
func (m *everything) Detail()                {}
func (m *everything) Input()                 {}
func (m *everything) Prompt()                {}
func (m *everything) Document(int)           {}
func (m *everything) Other(int)              {}
func (m *everything) Blocks() int            { return m.blocks }

func TestWalkPromptTellsOfEveryPartInItsOrder(t *testing.T) {
	body := `{"temperature":1,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","data":"a"},"citations":{"enabled":true}},
		{"cachePoint":{"ttl":"1h"}}]},{"content":"b","role":"assistant"}],"toolConfig":{"tools":[{"toolSpec":{"name":"read","inputSchema":{"json":{}}}}]},
		"system":[{"text":"c","cache_control":{}, "list":[1,{"input":{"cachePoint":{}}}]}]}`
	s := &outline{body: body}
	require.NoError(t, WalkPrompt(body, s))
	require.Equal(t, strings.Join([]string{
		"section 2", "message 0", "block 0", "type document", "word text", "end of source at depth 1 with 0 fields", "cited", "literal true",
		"end of citations at depth 1 with 1 fields", "end of content at depth 0 with 3 fields", "block 1", "point for 1h0m0s",
		"end of content at depth 0 with 0 fields", "of user", "message 1", "block -1", "content=b", "end of content at depth 0 with 0 fields", "of assistant",
		"end of section", "section 0", "tool 0 read with 1 fields", "end of section", "section 1", "block 0", "text=c", "point for 5m0s", "literal 1",
		"json of 17", "end of list at depth 1 with 1 fields", "end of system at depth 0 with 2 fields", "end of section",
	}, "\n"), strings.Join(s.told, "\n"))
	require.False(t, s.misshapen)
}

func TestWalkTellsOfLimitsWhereverTheyStand(t *testing.T) {
	body := `{"max_tokens":1,"inferenceConfig":{"maxTokens":2},"what":{"n":3},"additionalModelRequestFields":{"thinking":{"budget_tokens":4}},
		"messages":[{"max_tokens":5,"content":[{"n":6}]}]}`
	m := &everything{outline: outline{body: body}}
	require.NoError(t, Walk(body, m))
	require.Equal(t, []string{
		"max_tokens=1 sure true within false", "maxTokens=2 sure true within false", "n=3 sure false within false", "budget_tokens=4 sure true within true",
	}, m.limits)
}

// What stands where every dialect has something else is told of, and told to be wrong.
func TestMisshapenValuesAreToldOf(t *testing.T) {
	for _, body := range []string{
		`{"messages":{}}`, `{"messages":[1]}`, `{"system":{}}`, `{"system":["a"]}`, `{"messages":[{"content":1}]}`, `{"tools":{}}`, `{"tools":["a"]}`,
		`{"system":[{"cachePoint":1}]}`, `{"tools":[{"cache_control":"x"}]}`,
	} {
		s, m := &outline{body: body}, &everything{outline: outline{body: body}}
		require.NoError(t, WalkPrompt(body, s), body)
		require.NoError(t, Walk(body, m), body)
		require.True(t, s.misshapen && m.misshapen, body)
	}
}

func TestPastComma(t *testing.T) {
	for body, want := range map[string]int{"": 0, "x": 0, " ,": 2, ", \n x": 4, "  }": 0} {
		require.Equal(t, want, PastComma(body, 0), body)
		require.Equal(t, want, PastComma([]byte(body), 0), body)
	}
}

// What a reading of the prompt alone accepts, the reading of all accepts, and both accept nothing but JSON.
func FuzzWalk(f *testing.F) {
	for _, body := range []string{
		`{"messages":[{"role":"user","content":[{"text":"a","cachePoint":{"type":"default"}},{"cachePoint":{}},{"image":{"source":{"bytes":"AA"}}}]}]}`,
		`{"tools":[{"name":"a","input_schema":{"a":1,"a":2},"cache_control":{"ttl":"1h"}},{"toolSpec":{"cachePoint":{}}}],"system":"s"}`,
		`{"input":[{"id":"a"},{"type":"reasoning"}],"n":1,"text":{"format":{}},"images":["a"],"documents":["b"]}`,
		`{"system":[{"source":{"data":"a","bytes":"b","url":"c"},"citations":{"enabled":true}}],"additionalModelRequestFields":{"tools":[{}]}}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		s, m := &outline{body: body}, &everything{outline: outline{body: body}}
		prompt, all := WalkPrompt(body, s), Walk(body, m)
		for _, err := range []error{prompt, all} {
			var malformed *jsonscan.Error
			require.True(t, err == nil || errors.As(err, &malformed))
		}
		if prompt == nil {
			require.NoError(t, all)
			require.True(t, json.Valid([]byte(body)))
		}
		require.True(t, all != nil || json.Valid([]byte(body)))
		require.NotContains(t, append(s.told, m.told...), "a span that is wrong")
	})
}
