package pricing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/cachepoints"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

var errTaken = errors.New("the request was taken and not sent")

// taker is a client that sends nothing, and what it would have sent last.
type taker struct {
	client *bedrockruntime.Client
	body   []byte
}

func newTaker() *taker {
	w := new(taker)
	w.client = bedrockruntime.New(bedrockruntime.Options{
		Region: "us-east-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "s"}, nil
		}),
		Retryer: aws.NopRetryer{}, HTTPClient: w,
	})
	return w
}

func (w *taker) Do(r *http.Request) (*http.Response, error) {
	w.body = nil
	if r.Body != nil {
		w.body, _ = io.ReadAll(r.Body)
	}
	return nil, errTaken
}

// serialised returns what the SDK sends for a request, and false for one that it refuses.
func (w *taker) serialised(in *bedrockruntime.ConverseInput) ([]byte, bool) {
	_, err := w.client.Converse(context.Background(), in)
	return w.body, errors.Is(err, errTaken)
}

// respelled returns the same JSON as another client writes it: with white space, with escapes for all that is not ASCII, and for slashes.
func respelled(t require.TestingT, body []byte) []byte {
	var out bytes.Buffer
	require.NoError(t, json.Indent(&out, body, "", "\t"))
	var b strings.Builder
	for _, r := range out.String() {
		switch {
		case r == '/':
			b.WriteString(`\/`)
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04X`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return []byte(b.String())
}

// shown is what is known of a prompt whatever the door.
type shown struct {
	Blocks  []prompt.Block
	Points  []prompt.Point
	Flaws   []prompt.Flaw
	Final   bool
	Unknown int
	Found   []cache.Finding
	Placed  []prompt.Edit
}

func show(p *prompt.Prompt, m cache.Model) shown {
	s := shown{Found: cache.Lint(p, m), Placed: cache.Place(p, m, cache.PlaceOptions{}), Flaws: p.Flaws, Final: p.Final, Unknown: p.Unknown}
	for _, b := range p.Blocks {
		s.Blocks = append(s.Blocks, prompt.Block{Where: b.Where, Kind: b.Kind, User: b.User, NoPoint: b.NoPoint, Bytes: b.Bytes, MediaTokens: b.MediaTokens})
	}
	for _, pt := range p.Points {
		pt.Span = prompt.Span{}
		s.Points = append(s.Points, pt)
	}
	return s
}

// drawnMedia are pictures and documents whose size the two readings learn in different ways.
func drawnMedia() [][]byte {
	jpeg := append([]byte("\xff\xd8\xff\xe1\xea\x60"), make([]byte, 0xea60-2)...) // a preview of 60,000 bytes first
	jpeg = append(jpeg, "\xff\xc0\x00\x11\x08\x01\x2c\x02\x58\x03"...)
	return [][]byte{
		{},
		[]byte("?"), []byte("plain text of a file"), make([]byte, 9001), pdfOf(3), []byte("\xff\xd8\xff"), append(jpeg, make([]byte, 100)...),
		pngBytes(750, 100), pngBytes(2000, 2000), []byte("GIF89a\x40\x01\xf0\x00"), append([]byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x1f\x03\x00\x57\x02\x00"), 0, 0),
	}
}

func pngBytes(width, height int) []byte {
	return append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), byte(width>>24), byte(width>>16), byte(width>>8), byte(width), byte(height>>24), byte(height>>16), byte(height>>8), byte(height), 8, 2, 0, 0, 0)
}

func drawnModel(d *drawing) cache.Model {
	m := cache.Model{
		ID: "anthropic.claude-sonnet-5", Provider: "anthropic", Explicit: true, Tools: true, TTLs: []time.Duration{prompt.FiveMinutes, prompt.OneHour},
		MinTokens: pick(d, int64(64), 1024), MaxPoints: 4, InputPrice: 3_000_000, CacheReadPrice: 300_000, CacheWrite5mPrice: 3_750_000, CacheWrite1hPrice: 6_000_000,
	}
	if d.chance(25) {
		m.ID, m.Provider, m.Tools, m.TTLs, m.MaxTokens = "amazon.nova-pro-v1:0", "amazon", false, m.TTLs[:1], 20_000
	}
	return m
}

// door is one way into a guard's cache check.
type door struct {
	name    string
	input   func(*bedrockruntime.ConverseInput, []byte) any
	tracker *cache.Tracker
	turn    *cache.Turn
}

func doors(t require.TestingT) []*door {
	return []*door{
		{name: "SDK", input: func(in *bedrockruntime.ConverseInput, _ []byte) any { return in }},
		{name: "HTTP", input: func(_ *bedrockruntime.ConverseInput, body []byte) any {
			return &inputs.HTTP{Form: inputs.FormConverse, Body: body}
		}},
		{name: "HTTP, respelled", input: func(_ *bedrockruntime.ConverseInput, body []byte) any {
			return &inputs.HTTP{Form: inputs.FormConverse, Body: respelled(t, body)}
		}},
	}
}

// read returns the prompt of a request at the door.
func (d *door) read(t require.TestingT, input any) *prompt.Prompt {
	p := new(prompt.Prompt)
	require.True(t, cachepoints.ReadPrompt(p, "anthropic", input), d.name)
	return p
}

// The same request is the same to the cache check as a value of the SDK's and as JSON in any spelling: each block, each point, each finding to
// the last digit, and where points would be placed.
func TestARequestReadsAlikeThroughBothDoors(t *testing.T) {
	w, media, compared := newTaker(), drawnMedia(), 0
	rapid.Check(t, func(rt *rapid.T) {
		d := &drawing{t: rt, media: media}
		for range 30 {
			in, m := d.request(), drawnModel(d)
			body, sent := w.serialised(in)
			if !sent {
				continue
			}
			compared++
			var first shown
			for i, door := range doors(rt) {
				s := show(door.read(rt, door.input(in, body)), m)
				if i == 0 {
					first = s
				}
				require.Equal(rt, first, s, "%s: %s", door.name, clipped(body))
			}
		}
	})
	require.Greater(t, compared, drawn(2000))
}

// The same conversation gets the same findings, and the same points, through either door.
func TestAConversationIsJudgedAlikeThroughBothDoors(t *testing.T) {
	w, media, compared, found := newTaker(), drawnMedia(), 0, map[cache.Rule]int{}
	rapid.Check(t, func(rt *rapid.T) {
		d := &drawing{t: rt, media: media}
		all, m, fix, now := doors(rt), drawnModel(d), d.chance(40), time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
		for _, door := range all {
			door.tracker = cache.NewTracker(cache.Policy{Mode: cache.Report})
		}
		in := d.request()
		for range d.number(4, 16) {
			body, sent := w.serialised(in)
			if !sent {
				break
			}
			compared++
			now = now.Add(pick(d, time.Second, time.Minute, 6*time.Minute, 2*time.Hour))
			usage := cache.Usage{InputTokens: int64(d.number(1, 9000)), CacheReadTokens: int64(d.number(0, 3) * 1500), CacheWrite5mTokens: int64(d.number(0, 3) * 1500)}
			var before, after []cache.Finding
			var points []prompt.Point
			for i, door := range all {
				p := door.check(rt, in, body, cache.Call{Workflow: "w", Model: m, Place: "us-east-1", At: now}, fix)
				found1, found2 := door.turn.Findings, door.answered(usage, now.Add(time.Second))
				if i == 0 {
					before, after, points = found1, found2, show(p, m).Points
				}
				require.Equal(rt, before, found1, "%s: %s", door.name, clipped(body))
				require.Equal(rt, after, found2, "%s: %s", door.name, clipped(body))
				require.Equal(rt, points, show(p, m).Points, "%s: %s", door.name, clipped(body))
			}
			for _, f := range append(before, after...) {
				found[f.Rule]++
			}
			in = d.next(in)
		}
	})
	require.Greater(t, compared, drawn(500))
	require.Greater(t, len(found), drawn(12), "the drawn conversations have too few flaws to compare")
}

// check has a tracker judge a request, with its points placed or as they are, and returns the prompt of what is sent.
func (d *door) check(t require.TestingT, in *bedrockruntime.ConverseInput, body []byte, call cache.Call, fix bool) *prompt.Prompt {
	input := d.input(in, body)
	p := d.read(t, input)
	if !fix {
		d.turn = d.tracker.Check(call, p)
		return p
	}
	sent := p
	d.turn = d.tracker.Fix(call, p, func(edits []prompt.Edit) *prompt.Prompt {
		sent = d.read(t, cachepoints.WithPoints(input, p, edits))
		return sent
	})
	return sent
}

func (d *door) answered(u cache.Usage, at time.Time) []cache.Finding {
	d.turn.Send()
	d.turn.Begin()
	return d.turn.End(u, at)
}

func clipped(body []byte) string { return string(body[:min(len(body), 3000)]) }

// bound is what a reading tells of the cost of a request.
type bound struct {
	media    map[string]int64 // by family: what is not in the length of the body; absent for what has no bound
	text     int64            // bytes of the body that are no media
	demanded Demand           // all else
}

func boundOf(d Demand, body []byte) bound {
	b := bound{media: map[string]int64{}, text: int64(len(body)) - d.embedded}
	for _, family := range []string{"anthropic", "amazon", "meta"} {
		if n, ok := tokens.MediaBound(&d.prompt, tokens.LimitsFor(family)); ok {
			b.media[family] = n
		}
	}
	slices.Sort(d.unpriced)
	slices.Sort(d.Tiers[:]) // the dearest counts, wherever it stands
	if d.MaxOutput > 0 {
		d.MaxOutput = max(d.MaxOutput, d.ExtraOutput) // as it is taken for pricing
	}
	if d.Guardrail != "" {
		d.Guardrail = unnamedGuardrail // a body does not tell its name
	}
	d.prompt, d.embedded, d.Decodable = tokens.Prompt{}, 0, false // the rest of what the SDK's types hold is nobody's over HTTP
	b.demanded = d
	return b
}

// The same request has the same bound as a value of the SDK's and as JSON.
func TestARequestIsBoundedAlikeThroughBothDoors(t *testing.T) {
	w, media, compared := newTaker(), drawnMedia(), 0
	rapid.Check(t, func(rt *rapid.T) {
		d := &drawing{t: rt, media: media}
		for range 30 {
			in := d.request()
			body, sent := w.serialised(in)
			if !sent {
				continue
			}
			compared++
			var typed, read Demand
			require.NoError(rt, typed.readConverse(partsOf(in)))
			require.NoError(rt, read.ReadInvoke(cost.Converse, "anthropic.claude-sonnet-5", body, "", "", ""))
			read.AsConverse()
			require.Equal(rt, boundOf(typed, body), boundOf(read, body), clipped(body))
		}
	})
	require.Greater(t, compared, drawn(2000))
}

// drawn returns how many things a test draws at least: with -short, rapid draws a fifth of its cases, which is a tenth at the worst.
func drawn(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}
