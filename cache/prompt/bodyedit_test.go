package prompt

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stripped returns a body without any of its points. A body of another dialect that is taken for a Converse request, now that its own points
// are gone, has none.
func stripped(t testing.TB, provider string, body []byte, own dialect) []byte {
	var p Prompt
	err := ParseBody(&p, provider, body)
	if own == converseBody && errors.Is(err, ErrDialect) { // its points were the only sign of what it is
		return body
	}
	require.NoError(t, err)
	if p.dialect == converseBody && own != converseBody {
		return body
	}
	var edits []Edit
	for i := range p.Points {
		edits = append(edits, Edit{Remove: i, After: -1})
	}
	out, skipped, err := EditBody(body, &p, edits)
	require.NoError(t, err)
	require.Empty(t, skipped)
	return out
}

func TestEditBody(t *testing.T) {
	const (
		five = `,"cache_control":{"type":"ephemeral"}`
		hour = `,"cache_control":{"type":"ephemeral","ttl":"1h"}`
		nova = `,"cachePoint":{"type":"default"}`
	)
	claude := func(blocks string) string { return `{"messages":[{"role":"user","content":[` + blocks + `]}]}` }
	for name, tc := range map[string]struct {
		provider, body, want string
		edits, skipped       []Edit
	}{
		"nothing":          {"anthropic", claude(`{"type":"text","text":"a"}`), claude(`{"type":"text","text":"a"}`), nil, nil},
		"five minutes":     {"anthropic", claude(`{"type":"text","text":"a"}`), claude(`{"type":"text","text":"a"` + five + `}`), []Edit{{-1, 0, FiveMinutes}}, nil},
		"default lifetime": {"anthropic", claude(`{"type":"text","text":"a"}`), claude(`{"type":"text","text":"a"` + five + `}`), []Edit{{-1, 0, 0}}, nil},
		"an hour":          {"anthropic", claude(`{"type":"text","text":"a" }`), claude(`{"type":"text","text":"a" ` + hour + `}`), []Edit{{-1, 0, OneHour}}, nil},
		"other lifetime":   {"anthropic", claude(`{"type":"text","text":"a"}`), claude(`{"type":"text","text":"a"}`), []Edit{{-1, 0, time.Minute}}, []Edit{{-1, 0, time.Minute}}},
		"removal":          {"anthropic", claude(`{"type":"text","cache_control":{},"text":"a"}`), claude(`{"type":"text","text":"a"}`), []Edit{{0, -1, 0}, {0, -1, 0}}, nil},
		"longer lifetime":  {"anthropic", claude(`{"cache_control":{},"type":"text","text":"a"}`), claude(`{"type":"text","text":"a"` + hour + `}`), []Edit{{0, 0, OneHour}}, nil},
		"move": {
			"anthropic", claude(`{"type":"text","text":"a"` + five + `},{"type":"text","text":"b"}`), claude(`{"type":"text","text":"a"},{"type":"text","text":"b"` + five + `}`),
			[]Edit{{0, 1, FiveMinutes}},
			nil,
		},
		"a point is there":     {"anthropic", claude(`{"type":"text","text":"a"` + five + `}`), claude(`{"type":"text","text":"a"` + five + `}`), []Edit{{-1, 0, OneHour}}, []Edit{{-1, 0, OneHour}}},
		"a point is null":      {"anthropic", claude(`{"type":"text","cache_control":null}`), claude(`{"type":"text","cache_control":null}`), []Edit{{-1, 0, 0}}, []Edit{{-1, 0, 0}}},
		"twice":                {"anthropic", claude(`{"type":"text","text":"a"}`), claude(`{"type":"text","text":"a"` + five + `}`), []Edit{{-1, 0, 0}, {-1, 0, OneHour}}, []Edit{{-1, 0, OneHour}}},
		"empty object":         {"anthropic", claude(`{}`), claude(`{}`), []Edit{{-1, 0, 0}}, []Edit{{-1, 0, 0}}},
		"nothing but a point":  {"anthropic", claude(`{"cache_control":{}}`), claude(`{}`), []Edit{{0, 0, 0}}, []Edit{{-1, 0, 0}}},
		"nested point":         {"anthropic", claude(`{"type":"tool_result","content":[{"type":"text","text":"a"` + hour + `}]}`), claude(`{"type":"tool_result","content":[{"type":"text","text":"a"}]` + five + `}`), []Edit{{0, 0, 0}}, nil},
		"beside a nested one":  {"anthropic", claude(`{"type":"tool_result","content":[{"type":"text","text":"a"` + hour + `}]}`), claude(`{"type":"tool_result","content":[{"type":"text","text":"a"` + hour + `}]` + five + `}`), []Edit{{-1, 0, 0}}, nil},
		"plain string":         {"anthropic", `{"system":"a","messages":[{"role":"user","content":"b"}]}`, `{"system":"a","messages":[{"role":"user","content":"b"}]}`, []Edit{{-1, 1, 0}, {-1, 0, OneHour}}, []Edit{{-1, 1, 0}, {-1, 0, OneHour}}},
		"unknown block":        {"anthropic", claude(`{"type":"new","x":[1]}`), claude(`{"type":"new","x":[1]` + five + `}`), []Edit{{-1, 0, 0}}, nil},
		"every section":        {"anthropic", `{"messages":[{"content":[{"type":"text","text":"m"}]}],"system":[{"type":"text","text":"s"}],"tools":[{"name":"t"}]}`, `{"messages":[{"content":[{"type":"text","text":"m"` + five + `}]}],"system":[{"type":"text","text":"s"` + hour + `}],"tools":[{"name":"t"` + hour + `}]}`, []Edit{{-1, 0, OneHour}, {-1, 2, FiveMinutes}, {-1, 1, OneHour}}, nil},
		"nova":                 {"amazon", claude(`{"text":"a"}`), claude(`{"text":"a"` + nova + `}`), []Edit{{-1, 0, FiveMinutes}}, nil},
		"nova, removal":        {"amazon", claude(`{"cachePoint":{"type":"default"},"text":"a"}`), claude(`{"text":"a"}`), []Edit{{0, -1, 0}}, nil},
		"nova has five alone":  {"amazon", claude(`{"text":"a"}`), claude(`{"text":"a"}`), []Edit{{-1, 0, OneHour}}, []Edit{{-1, 0, OneHour}}},
		"converse":             {"anthropic", claude(`{"text":"a"} , {"text":"b"}`), claude(`{"text":"a"},{"cachePoint":{"type":"default"}} , {"text":"b"},{"cachePoint":{"type":"default","ttl":"1h"}}`), []Edit{{-1, 0, 0}, {-1, 1, OneHour}}, nil},
		"converse, removals":   {"anthropic", claude(`{"text":"a"},{"cachePoint":{}},{"text":"b"} , {"cachePoint":{}}`), claude(`{"text":"a"},{"text":"b"} `), []Edit{{0, -1, 0}, {1, -1, 0}}, nil},
		"converse, move":       {"anthropic", claude(`{"text":"a"},{"cachePoint":{}},{"text":"b"}`), claude(`{"text":"a"},{"text":"b"},{"cachePoint":{"type":"default"}}`), []Edit{{0, 1, 0}}, nil},
		"converse, lifetime":   {"anthropic", claude(`{"text":"a"},{"cachePoint":{}},{"text":"b"}`), claude(`{"text":"a"},{"cachePoint":{"type":"default","ttl":"1h"}},{"text":"b"}`), []Edit{{0, 0, OneHour}}, nil},
		"converse, tools":      {"anthropic", `{"toolConfig":{"tools":[{"toolSpec":{"name":"a"}},{"cachePoint":{}}]},"messages":[{"content":[{"text":"b"}]}]}`, `{"toolConfig":{"tools":[{"toolSpec":{"name":"a"}},{"cachePoint":{"type":"default","ttl":"1h"}}]},"messages":[{"content":[{"text":"b"}]}]}`, []Edit{{0, 0, OneHour}}, nil},
		"converse, all points": {"anthropic", claude(`{"cachePoint":{}}, {"cachePoint":{}}, {"text":"a"}`), claude(`{"text":"a"}`), []Edit{{0, -1, 0}, {1, -1, 0}}, nil},
		"converse, nested":     {"anthropic", claude(`{"toolResult":{"toolUseId":"t","content":[{"text":"a"},{"cachePoint":{}}]}}`), claude(`{"toolResult":{"toolUseId":"t","content":[{"text":"a"},{"cachePoint":{}}]}},{"cachePoint":{"type":"default"}}`), []Edit{{0, 0, 0}}, nil},
		"nova, other's marker": {"amazon", claude(`{"text":"a","cache_control":{}}`), claude(`{"text":"a","cache_control":{}` + nova + `}`), []Edit{{-1, 0, 0}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustParse(t, tc.provider, tc.body)
			body := []byte(tc.body)
			got, skipped, err := EditBody(body, p, tc.edits)
			require.NoError(t, err)
			assert.Equal(t, tc.want, string(got))
			assert.Equal(t, tc.skipped, skipped)
			assert.Equal(t, tc.body, string(body))
			assert.NotSame(t, &body[0], &got[0])
			assert.Equal(t, string(stripped(t, tc.provider, body, p.dialect)), string(stripped(t, tc.provider, got, p.dialect)))
		})
	}
}

func TestEditBody_Errors(t *testing.T) {
	const converse = `{"messages":[{"role":"user","content":[{"text":"a"},{"cachePoint":{}}]}]}`
	p := mustParse(t, "anthropic", converse)
	same, skipped, err := EditBody([]byte(converse), p, nil)
	require.NoError(t, err)
	require.Empty(t, skipped)
	require.Equal(t, converse, string(same))

	const body = `{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}`
	p = mustParse(t, "anthropic", body)
	for _, e := range []Edit{{Remove: 0, After: -1}, {Remove: -1, After: 1}} {
		_, _, err = EditBody([]byte(body), p, []Edit{e})
		require.ErrorContains(t, err, "out of range")
	}
	_, _, err = EditBody([]byte(body+" "), p, nil)
	require.ErrorContains(t, err, "this one has 70")
	_, _, err = EditBody(nil, new(Prompt), []Edit{{Remove: 0, After: 0}})
	require.ErrorIs(t, err, ErrDialect)
}

// editSome applies random edits to a body and checks what has to hold for any: nothing but points changes.
func editSome(t testing.TB, provider string, body []byte, random *rand.Rand) {
	var p Prompt
	if ParseBody(&p, provider, body) != nil {
		return
	}
	checkSpans(t, string(body), &p)
	original := bytes.Clone(body)
	var edits []Edit
	for range random.IntN(6) {
		e := Edit{Remove: -1, After: -1, TTL: []time.Duration{0, FiveMinutes, OneHour, time.Second}[random.IntN(4)]}
		if len(p.Points) > 0 && random.IntN(2) == 0 {
			e.Remove = random.IntN(len(p.Points))
		}
		if len(p.Blocks) > 0 && random.IntN(3) > 0 {
			e.After = random.IntN(len(p.Blocks))
		}
		edits = append(edits, e)
	}
	edited, skipped, err := EditBody(body, &p, edits)
	require.NoError(t, err)
	require.Equal(t, original, body)
	require.Equal(t, string(stripped(t, provider, original, p.dialect)), string(stripped(t, provider, edited, p.dialect)), "edits %v", edits)

	var q Prompt
	if err := ParseBody(&q, provider, edited); p.dialect != converseBody || !errors.Is(err, ErrDialect) {
		require.NoError(t, err)
	} else {
		return // its points were the only sign of what it is
	}
	require.Equal(t, p.Unknown, q.Unknown)
	require.Len(t, q.Blocks, len(p.Blocks))
	plain, canonical := hashes(&p)
	plainNow, canonicalNow := hashes(&q)
	require.Equal(t, plain, plainNow)
	require.Equal(t, canonical, canonicalNow)
	if q.dialect == p.dialect {
		require.Equal(t, expectedPoints(&p, edits, skipped), pointsByBlock(&q))
	}
}

// expectedPoints returns the lifetimes of the points that have to stand behind each block, by its number, after the edits.
func expectedPoints(p *Prompt, edits, skipped []Edit) map[int]time.Duration {
	want := make(map[int]time.Duration)
	for i, pt := range p.Points {
		removed := slices.ContainsFunc(edits, func(e Edit) bool { return e.Remove == i })
		if !removed && !pt.Nested {
			want[pt.Block] = pt.TTL
		}
	}
	skipped = slices.Clone(skipped)
	for _, e := range slices.Backward(edits) {
		i := slices.Index(skipped, Edit{Remove: -1, After: e.After, TTL: e.TTL})
		switch {
		case e.After < 0:
		case i >= 0:
			skipped = slices.Delete(skipped, i, i+1)
		default:
			want[e.After] = max(e.TTL, FiveMinutes)
		}
	}
	return want
}

func pointsByBlock(p *Prompt) map[int]time.Duration {
	got := make(map[int]time.Duration)
	for _, pt := range p.Points {
		if !pt.Nested {
			got[pt.Block] = pt.TTL
		}
	}
	return got
}

// A body is put together from pieces at random, in both dialects that can be edited.
func TestEditBody_ChangesNothingButPoints(t *testing.T) {
	for seed := range uint64(3000) {
		random := rand.New(rand.NewPCG(seed, 1))
		provider := []string{"anthropic", "amazon", ""}[random.IntN(3)]
		editSome(t, provider, []byte(randomBody(random, provider)), random)
	}
}

func randomBody(random *rand.Rand, provider string) string {
	marks := []string{`"cache_control":{"type":"ephemeral"}`, `"cache_control" : {"type":"ephemeral","ttl":"1h"}`, `"cache_control":null`}
	blocks := []string{
		`"type":"text","text":"a"`, `"type":"tool_use","id":"1","name":"f","input":{"cache_control":{}}`, `"type":"new","x":[{"cache_control":{},"y":1}]`,
		`"type":"tool_result","content":[{"type":"text","text":"r","cache_control":{}}]`, `"cachePoint":{},"type":"text","text":"b"`, ``,
	}
	if provider == "amazon" {
		marks = []string{`"cachePoint":{"type":"default"}`, `"cachePoint" :{ }`, `"cachePoint":null`}
		blocks = []string{
			`"text":"a"`, `"toolUse":{"toolUseId":"1","name":"f","input":{"cachePoint":{}}}`, `"toolResult":{"content":[{"text":"r","cachePoint":{}}]}`,
			`"text":"b","cache_control":{}`, `"new":{"x":1}`, ``,
		}
	}
	space := func() string { return []string{"", "", " ", "\n\t"}[random.IntN(4)] }
	object := func() string {
		fields := strings.Split(blocks[random.IntN(len(blocks))], `,"`)
		for i := range fields[1:] {
			fields[i+1] = `"` + fields[i+1]
		}
		if fields[0] == "" {
			fields = nil
		}
		text := strings.Join(fields, space()+","+space())
		switch mark := marks[random.IntN(len(marks))]; {
		case random.IntN(3) > 0:
		case text == "":
			text = mark
		case random.IntN(2) == 0:
			text = mark + space() + "," + space() + text
		default:
			text += space() + "," + space() + mark
		}
		return "{" + space() + text + space() + "}"
	}
	list := func() string {
		var items []string
		for range random.IntN(4) {
			items = append(items, object())
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	sections := []string{
		fmt.Sprintf(`"system":%s`, list()), fmt.Sprintf(`"tools":%s`, list()),
		fmt.Sprintf(`"messages":[{"role":"user","content":%s},{"content":"plain"},{"content":%s,"role":"user"}]`, list(), list()),
	}
	random.Shuffle(len(sections), func(i, j int) { sections[i], sections[j] = sections[j], sections[i] })
	return "{" + strings.Join(sections, space()+",") + space() + "}"
}

// A plain string that gets a point becomes a list of one block that reads the same; without one it stays as it is.
func TestFixBodyMakesAListOfAPlainString(t *testing.T) {
	body := `{"anthropic_version":"x","system":"be \"kind\"","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":" "}]}`
	p := mustParse(t, "anthropic", body)
	fixed, skipped, err := FixBody([]byte(body), p, []Edit{{-1, 0, OneHour}, {-1, 1, FiveMinutes}, {-1, 1, 0}, {-1, 3, 0}})
	require.NoError(t, err)
	require.Equal(t, `{"anthropic_version":"x","system":[{"type":"text","text":"be \"kind\"","cache_control":{"type":"ephemeral","ttl":"1h"}}],`+
		`"messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]},{"role":"assistant","content":"b"},{"role":"user","content":" "}]}`, string(fixed))
	require.Equal(t, []Edit{{-1, 1, 0}, {-1, 3, 0}}, skipped)
	q := mustParse(t, "anthropic", string(fixed))
	p.Record(nil)
	q.Record(nil)
	for i := range p.records {
		require.Equal(t, p.records[i].Chain, q.records[i].Chain, "block %d reads the same", i)
	}
	require.Len(t, q.Points, 2)

	nova := `{"schemaVersion":"messages-v1","messages":[{"role":"user","content":"a"}]}`
	_, skipped, err = FixBody([]byte(nova), mustParse(t, "amazon", nova), []Edit{{-1, 0, 0}})
	require.NoError(t, err)
	require.Len(t, skipped, 1, "no other dialect allows a list there")
}
