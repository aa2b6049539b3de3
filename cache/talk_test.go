package cache

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/estimate"
	"github.com/bedrockguard/bedrockguard-go/cache/internal/hash"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// opus is a model as the catalog knows it: Claude Opus 4.6 under a regional profile, minimum 4,096 tokens.
func opus() Model {
	return Model{
		ID: "anthropic.claude-opus-4-6-v1", Provider: "anthropic", Explicit: true, Implicit: true, MinTokens: 4096, MaxPoints: 4,
		TTLs: []time.Duration{prompt.FiveMinutes, prompt.OneHour}, Tools: true, System: true, Messages: true,
		InputPrice: 5_500_000, CacheReadPrice: 550_000, CacheWrite5mPrice: 6_875_000, CacheWrite1hPrice: 11_000_000,
	}
}

// novaPro takes points behind text in system and messages, up to 20,000 tokens.
func novaPro() Model {
	return Model{
		ID: "amazon.nova-pro-v1:0", Provider: "amazon", Explicit: true, Implicit: true, MinTokens: 1000, MaxTokens: 20_000, MaxPoints: 4,
		TTLs: []time.Duration{prompt.FiveMinutes}, System: true, Messages: true, InputPrice: 800_000, CacheReadPrice: 200_000, CacheWrite5mPrice: 800_000,
	}
}

// mistral takes no points.
func mistral() Model {
	return Model{ID: "mistral.mistral-large-3", Provider: "mistral", InputPrice: 500_000}
}

// talk is a request in the making. Its texts keep their addresses, as an agent's history does.
type talk struct {
	tools  []piece
	system []piece
	turns  []turnOf
	set    [][2]string
	flaws  []prompt.Flaw
	final  bool
}

type turnOf struct {
	user  bool
	parts []piece
}

// piece is one element of a list: a block, or a cache point.
type piece struct {
	kind   prompt.Kind
	name   string
	text   string
	point  time.Duration // not zero: a cache point
	nested time.Duration // a point inside of the block
	media  int64
}

func (k *talk) clone() *talk {
	c := *k
	c.tools = append([]piece(nil), k.tools...)
	c.system = append([]piece(nil), k.system...)
	c.turns = make([]turnOf, len(k.turns))
	for i, m := range k.turns {
		c.turns[i] = turnOf{m.user, append([]piece(nil), m.parts...)}
	}
	return &c
}

func (k *talk) prompt() *prompt.Prompt {
	p := new(prompt.Prompt)
	list := func(parts []piece) {
		for i, b := range parts {
			if b.point != 0 {
				p.Point(i, max(b.point, 0))
				continue
			}
			p.Block(b.kind, i)
			if b.name != "" {
				p.Text(b.name)
			}
			if b.kind == prompt.ToolDefinition {
				p.JSON(b.text)
			} else {
				p.Text(b.text)
			}
			if b.media > 0 {
				p.Media(b.kind, b.media)
			}
			if b.nested != 0 {
				p.NestedPoint(b.nested)
			}
		}
	}
	p.Enter(prompt.Tools)
	list(k.tools)
	p.Enter(prompt.System)
	list(k.system)
	for i, m := range k.turns {
		p.Message(i, m.user)
		list(m.parts)
	}
	for _, s := range k.set {
		p.Setting(s[0], s[1])
	}
	p.Flaws, p.Final = k.flaws, k.final
	return p
}

func (k *talk) user(parts ...piece) *talk {
	k.turns = append(k.turns, turnOf{true, parts})
	return k
}

func (k *talk) assistant(parts ...piece) *talk {
	k.turns = append(k.turns, turnOf{false, parts})
	return k
}

func say(s string) piece { return piece{kind: prompt.Text, text: s} }

func here(ttl time.Duration) piece { return piece{point: ttl} }

func tool(name, schema string) piece {
	return piece{kind: prompt.ToolDefinition, name: name, text: schema}
}

// words is about n bytes of text that differs by seed.
func words(seed, n int) string {
	r := rand.New(rand.NewPCG(uint64(seed), 7))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%s ", []string{"parser", "moves", "the", "module", "into", "another", "folder", "and", "tests", "follow"}[r.IntN(10)])
	}
	return b.String()
}

var twoTools = []piece{
	tool("read_file", `{"type":"object","properties":{"path":{"type":"string"},"limit":{"type":"integer"}}}`),
	tool("run_tests", `{"type":"object","properties":{"package":{"type":"string"}}}`),
}

// agent is a healthy conversation of so many turns on a system prompt above the minimum, with points on the system prompt
// and on the last two user turns.
func agent(turns int) *talk {
	k := &talk{tools: append([]piece(nil), twoTools...), system: []piece{say("You are a careful agent. " + systemText), here(prompt.FiveMinutes)}}
	for i := range turns {
		k.user(say(turnText(i)))
		if i < turns-1 {
			k.assistant(say(replyText(i)))
		}
	}
	return k.marked()
}

var systemText = words(1, 40_000)

var texts = map[string]string{}

// turnText returns the same string, at the same address, for the same turn.
func turnText(i int) string  { return remembered(fmt.Sprint("turn", i), 1000+i) }
func replyText(i int) string { return remembered(fmt.Sprint("reply", i), 500_000+i) }

func remembered(key string, seed int) string {
	if _, ok := texts[key]; !ok {
		texts[key] = key + " " + words(seed, 4000)
	}
	return texts[key]
}

// marked returns the talk with points behind its last two user turns and no others in the messages.
func (k *talk) marked() *talk {
	left := 2
	for i := len(k.turns) - 1; i >= 0; i-- {
		m := &k.turns[i]
		var parts []piece
		for _, b := range m.parts {
			if b.point == 0 {
				parts = append(parts, b)
			}
		}
		if m.user && left > 0 {
			parts = append(parts, here(prompt.FiveMinutes))
			left--
		}
		m.parts = parts
	}
	return k
}

// service is the least of a prompt cache that unit tests need: it answers with the usage of a service that honours each
// point, by the sizes of the prompts.
type service struct {
	entries map[uint64]entry
	scale   estimate.Scale
}

type entry struct {
	tokens  int64
	expires time.Time
}

func newService() *service { return &service{entries: make(map[uint64]entry)} }

func (s *service) answer(p *prompt.Prompt, m Model, place string, at time.Time) Usage {
	q := *p
	q.Record(nil)
	total := s.scale.Mid(q.Total())
	var u Usage
	hit, held := int64(0), int64(0)
	key := func(block int) uint64 {
		k := hash.Mix(q.Records()[block].Chain, locationHash(m.ID, place))
		if q.Records()[block].Section == prompt.Messages {
			k = hash.Mix(k, messagesLevel(&q.Settings))
		}
		return k
	}
	for _, pt := range q.Points {
		if pt.Block < 0 || s.scale.Mid(q.UpTo(pt.Block)) < m.MinTokens {
			continue
		}
		for b := pt.Block; b >= 0 && b > pt.Block-20; b-- {
			if e, ok := s.entries[key(b)]; ok && at.Before(e.expires) {
				hit = max(hit, e.tokens)
				break
			}
		}
		held = max(held, s.scale.Mid(q.UpTo(pt.Block)))
	}
	for _, pt := range q.Points {
		if n := s.scale.Mid(q.UpTo(max(pt.Block, 0))); pt.Block >= 0 && n >= m.MinTokens {
			s.entries[key(pt.Block)] = entry{n, at.Add(max(pt.TTL, prompt.FiveMinutes))}
		}
	}
	u.CacheReadTokens, u.CacheWrite5mTokens = hit, max(held-hit, 0)
	u.InputTokens = total - u.CacheReadTokens - u.CacheWrite5mTokens
	return u
}

// play sends requests one after the other, a minute apart, and returns the findings of each, before and after.
type play struct {
	tracker *Tracker
	service *service
	model   Model
	place   string
	at      time.Time
	gap     time.Duration
	usage   func(Usage) Usage
	compact bool
}

func newPlay() *play {
	return &play{tracker: NewTracker(Policy{Mode: Report}), service: newService(), model: opus(), at: time.Date(2026, 4, 6, 8, 0, 0, 0, time.UTC), gap: time.Minute}
}

func (y *play) send(k *talk) (before, after []Finding) {
	p := k.prompt()
	t := y.tracker.Check(Call{Workflow: "w", Model: y.model, Place: y.place, At: y.at, Compacted: y.compact}, p)
	u := y.service.answer(k.prompt(), y.model, y.place, y.at)
	if y.usage != nil {
		u = y.usage(u)
	}
	before = t.Findings
	t.Send()
	t.Begin()
	after = t.End(u, y.at)
	y.at = y.at.Add(y.gap)
	return before, after
}

func rules(found []Finding) []Rule {
	var r []Rule
	for _, f := range found {
		r = append(r, f.Rule)
	}
	return r
}
