package cachepoints

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// tap sends inputs through a real client and keeps what it puts on the wire.
type tap struct {
	client *bedrockruntime.Client
	body   []byte
}

func newTap() *tap {
	w := new(tap)
	w.client = bedrockruntime.New(bedrockruntime.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://127.0.0.1:9"), Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDSIMULATED", SecretAccessKey: "simulated"}, nil
		}),
		HTTPClient: roundTrip(func(r *http.Request) (*http.Response, error) {
			var err error
			w.body, err = io.ReadAll(r.Body)
			return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{}, Body: http.NoBody, Request: r}, err
		}),
	})
	return w
}

// of returns the body of a request.
func (w *tap) of(t require.TestingT, input any) string {
	w.body = nil
	var err error
	switch in := input.(type) {
	case *bedrockruntime.ConverseInput:
		_, err = w.client.Converse(context.Background(), in)
	case *bedrockruntime.ConverseStreamInput:
		_, err = w.client.ConverseStream(context.Background(), in)
	}
	require.NotEmpty(t, w.body, err)
	return string(w.body)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) Do(r *http.Request) (*http.Response, error) { return f(r) }

var (
	pointOnWire  = regexp.MustCompile(`\{"cachePoint":\{[^}]*\}\}`)
	commasOnWire = strings.NewReplacer("[,", "[", ",]", "]")
)

// withoutPointsOnWire takes the cache points out of a body, and with each the comma that goes with it.
func withoutPointsOnWire(body string) string {
	body = pointOnWire.ReplaceAllString(body, "")
	for strings.Contains(body, ",,") {
		body = strings.ReplaceAll(body, ",,", ",")
	}
	return commasOnWire.Replace(commasOnWire.Replace(body))
}

func TestWithoutPointsOnWire(t *testing.T) {
	const point = `{"cachePoint":{"type":"default","ttl":"1h"}}`
	require.Equal(t, `[{"a":1},{"b":[]}]`, withoutPointsOnWire(`[`+point+`,{"a":1},`+point+`,`+point+`,{"b":[`+point+`]},`+point+`]`))
}

// drawn is a request that can be built more than once.
type drawn struct {
	stream                bool
	tools, system         []int
	messages              [][]int
	additional, noPrompts bool
}

// The elements of a drawn list: numbers below points are cache points.
const points = 4

func drawnList(t *rapid.T, name string) []int {
	return rapid.SliceOfN(rapid.IntRange(0, 11), 0, 8).Draw(t, name)
}

func drawConverse(t *rapid.T) drawn {
	d := drawn{stream: rapid.Bool().Draw(t, "stream"), additional: rapid.Bool().Draw(t, "additional"), noPrompts: rapid.Bool().Draw(t, "bare")}
	if !d.noPrompts {
		d.tools, d.system = drawnList(t, "tools"), drawnList(t, "system")
	}
	for range rapid.IntRange(1, 6).Draw(t, "messages") {
		d.messages = append(d.messages, drawnList(t, "content"))
	}
	return d
}

func pointOf(n int) types.CachePointBlock {
	return types.CachePointBlock{Type: types.CachePointTypeDefault, Ttl: []types.CacheTTL{"", types.CacheTTLFiveMinutes, types.CacheTTLOneHour, "30m"}[n]}
}

// build makes a fresh input.
func (d drawn) build() any {
	in := &bedrockruntime.ConverseInput{ModelId: aws.String("anthropic.claude-sonnet-5"), InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(100)}}
	if !d.noPrompts {
		in.ToolConfig, in.System = &types.ToolConfiguration{Tools: []types.Tool{}, ToolChoice: &types.ToolChoiceMemberAuto{}}, []types.SystemContentBlock{}
	}
	if d.additional {
		in.AdditionalModelRequestFields = document.NewLazyDocument(map[string]any{"thinking": map[string]any{"type": "adaptive"}})
	}
	for i, n := range d.tools {
		if n < points {
			in.ToolConfig.Tools = append(in.ToolConfig.Tools, &types.ToolMemberCachePoint{Value: pointOf(n)})
			continue
		}
		in.ToolConfig.Tools = append(in.ToolConfig.Tools, toolSpec(fmt.Sprint("tool", i), strings.Repeat("does what it says ", 90*n)))
	}
	for _, n := range d.system {
		if n < points {
			in.System = append(in.System, &types.SystemContentBlockMemberCachePoint{Value: pointOf(n)})
			continue
		}
		in.System = append(in.System, systemText(strings.Repeat("be kind ", 900*(n-points))))
	}
	for i, list := range d.messages {
		m := types.Message{Role: types.ConversationRoleUser, Content: []types.ContentBlock{}}
		if i%2 == 1 {
			m.Role = types.ConversationRoleAssistant
		}
		for k, n := range list {
			m.Content = append(m.Content, contentOf(n, m.Role == types.ConversationRoleUser, fmt.Sprint(i, "-", k)))
		}
		in.Messages = append(in.Messages, m)
	}
	if !d.stream {
		return in
	}
	return &bedrockruntime.ConverseStreamInput{
		ModelId: in.ModelId, InferenceConfig: in.InferenceConfig, ToolConfig: in.ToolConfig, System: in.System, Messages: in.Messages,
		AdditionalModelRequestFields: in.AdditionalModelRequestFields,
	}
}

func contentOf(n int, user bool, id string) types.ContentBlock {
	switch {
	case n < points:
		return &types.ContentBlockMemberCachePoint{Value: pointOf(n)}
	case n == 4:
		return textBlock(" ")
	case n == 5 && user:
		return &types.ContentBlockMemberDocument{Value: types.DocumentBlock{Name: &id, Format: types.DocumentFormatMd, Source: &types.DocumentSourceMemberText{Value: "notes"}}}
	case n == 5:
		return reasoning("it follows")
	case n == 6 && user:
		return toolResult(id, resultText(strings.Repeat("line of output ", 60)))
	case n == 6:
		return toolUse(id, "tool0", map[string]any{"b": id, "a": []int{1, 2}})
	default:
		return textBlock(strings.Repeat("a sentence about nothing, ", 40*n))
	}
}

func drawCacheModel(t *rapid.T) cache.Model {
	return cache.Model{
		Provider: rapid.SampledFrom([]string{"anthropic", "amazon"}).Draw(t, "provider"), Explicit: rapid.IntRange(0, 5).Draw(t, "explicit") > 0,
		MinTokens: rapid.SampledFrom([]int64{0, 512, 1024}).Draw(t, "least tokens"), MaxPoints: 4, TTLs: []time.Duration{prompt.FiveMinutes, prompt.OneHour},
		InputPrice: 100, CacheReadPrice: 10, CacheWrite5mPrice: 125, CacheWrite1hPrice: 200,
	}
}

// TestWithPoints_ChangesNothingElse holds the editing of requests of any shape to its law: but for cache points the bytes on
// the wire are the same, the caller's values are what they were, and the result needs no more edits.
func TestWithPoints_ChangesNothingElse(t *testing.T) {
	edited := 0
	client := newTap()
	rapid.Check(t, func(rt *rapid.T) {
		d, m := drawConverse(rt), drawCacheModel(rt)
		in := d.build()
		parts := partsOf(in)
		p := new(prompt.Prompt)
		fillPrompt(p, parts)
		o := cache.PlaceOptions{Gaps: cache.Gaps{Medium: rapid.IntRange(0, 9).Draw(rt, "medium pauses"), PrefixTokens: 1000}}
		edits := cache.Place(p, m, o)
		out := WithPoints(in, p, edits)

		require.Equal(rt, d.build(), in, "the caller's value")
		if len(edits) == 0 {
			require.Same(rt, in, out)
			return
		}
		edited++
		require.Equal(rt, withoutPointsOnWire(client.of(rt, in)), withoutPointsOnWire(client.of(rt, out)))
		parts = partsOf(out)
		q := new(prompt.Prompt)
		fillPrompt(q, parts)
		require.Len(rt, q.Blocks, len(p.Blocks))
		require.Len(rt, q.Points, len(p.Points)+added(edits))
		require.Empty(rt, cache.Place(q, m, o))
	})
	require.NotZero(t, edited)
}

// added is how many points more there are after the edits.
func added(edits []prompt.Edit) (n int) {
	for _, e := range edits {
		if e.After >= 0 {
			n++
		}
		if e.Remove >= 0 {
			n--
		}
	}
	return n
}

// TestWithPoints_SharesNothingThatIsWritten edits one input from several goroutines while others read it: the race detector
// sees any write to what the caller can reach, spare capacity of its slices included.
func TestWithPoints_SharesNothingThatIsWritten(t *testing.T) {
	long := strings.Repeat("of the conversation ", 2000)
	build := func() *bedrockruntime.ConverseInput {
		in := &bedrockruntime.ConverseInput{
			ToolConfig: &types.ToolConfiguration{Tools: append(make([]types.Tool, 0, 9), toolSpec("read", long))},
			System:     append(make([]types.SystemContentBlock, 0, 9), systemText(long)),
			Messages:   make([]types.Message, 0, 9),
		}
		for i := range 5 {
			content := append(make([]types.ContentBlock, 0, 9), textBlock(fmt.Sprint("turn ", i)), contentPoint("30m"))
			in.Messages = append(in.Messages, []types.Message{userTurn(content...), assistantTurn(content...)}[i%2])
		}
		return in
	}
	in, same := build(), build()
	m := cache.Model{Provider: "anthropic", Explicit: true, MinTokens: 1024, MaxPoints: 4}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				p := new(prompt.Prompt)
				parts := partsOf(in)
				fillPrompt(p, parts)
				out := WithPoints(in, p, cache.Place(p, m, cache.PlaceOptions{})).(*bedrockruntime.ConverseInput)
				if out == in || len(out.Messages) != len(in.Messages) {
					t.Error("nothing was edited")
				}
				out.Messages[4].Content[0] = textBlock("the copy is the library's own")
			}
		})
		wg.Go(func() {
			for range 50 {
				if !reflect.DeepEqual(in, same) {
					t.Error("the caller's value changed")
				}
				for _, message := range in.Messages {
					for _, b := range message.Content[:cap(message.Content)] {
						_ = b
					}
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, same, in)
}

func TestWithPoints_LeavesOtherInputsAlone(t *testing.T) {
	in := &bedrockruntime.CountTokensInput{}
	require.Same(t, in, WithPoints(in, new(prompt.Prompt), []prompt.Edit{{Remove: -1, After: -1}}))
}

func TestPointBlock(t *testing.T) {
	for ttl, want := range map[time.Duration]types.CacheTTL{0: "", prompt.FiveMinutes: "", prompt.OneHour: types.CacheTTLOneHour, 30 * time.Minute: "30m"} {
		require.Equal(t, types.CachePointBlock{Type: types.CachePointTypeDefault, Ttl: want}, pointBlock(ttl, false))
	}
	require.Equal(t, types.CacheTTLFiveMinutes, pointBlock(prompt.FiveMinutes, true).Ttl)
}
