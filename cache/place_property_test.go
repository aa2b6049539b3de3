package cache

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/estimate"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// drawModel draws a model that takes points, sensible or not.
func drawModel(t *rapid.T) Model {
	flag := rapid.Bool()
	return Model{
		Provider:  rapid.SampledFrom([]string{anthropic, anthropic, nova, "other"}).Draw(t, "provider"),
		Explicit:  rapid.IntRange(0, 9).Draw(t, "explicit") > 0,
		MinTokens: rapid.SampledFrom([]int64{0, 100, 512, 4096}).Draw(t, "least tokens"),
		MaxTokens: rapid.SampledFrom([]int64{0, 0, 3000, 20_000}).Draw(t, "most tokens"),
		MaxPoints: rapid.SampledFrom([]int{0, 1, 2, 3, 4, 4, 4, 4}).Draw(t, "points"),
		TTLs:      rapid.SampledFrom([][]time.Duration{nil, {prompt.FiveMinutes}, {prompt.FiveMinutes, prompt.OneHour}, {prompt.OneHour, prompt.FiveMinutes}, {prompt.OneHour}}).Draw(t, "lifetimes"),
		Tools:     flag.Draw(t, "tools"), System: flag.Draw(t, "system"), Messages: flag.Draw(t, "messages"),
		Lookback:   rapid.SampledFrom([]int{0, 0, -1, 1, 3}).Draw(t, "lookback"),
		InputPrice: 5, CacheReadPrice: 1, CacheWrite5mPrice: 6, CacheWrite1hPrice: 10,
	}
}

func drawOptions(t *rapid.T) PlaceOptions {
	n, few := rapid.Int64Range(0, 9), rapid.IntRange(0, 9)
	return PlaceOptions{
		Factor: rapid.SampledFrom([]int64{0, 0, 700, 2000}).Draw(t, "factor"),
		Gaps:   Gaps{few.Draw(t, "short"), few.Draw(t, "medium"), few.Draw(t, "long"), 1000 * n.Draw(t, "prefix"), 100 * n.Draw(t, "new")},
		Before: rapid.SampledFrom([]int{0, 0, 0, 1, 7}).Draw(t, "before"),
	}
}

// drawItems draws a list of blocks, with points among them if there are to be any.
func drawItems(t *rapid.T, kinds []prompt.Kind, most int, points bool) []item {
	var items []item
	for range rapid.IntRange(0, most).Draw(t, "items") {
		if points && rapid.IntRange(0, 5).Draw(t, "point") == 0 {
			it := point(drawTTL(t))
			it.open = it.ttl == prompt.FiveMinutes && rapid.Bool().Draw(t, "open")
			items = append(items, it)
			continue
		}
		it := of(rapid.SampledFrom(kinds).Draw(t, "kind"), rapid.SampledFrom([]int{1, 30, 200, 2000}).Draw(t, "tokens"))
		it.empty = it.kind == prompt.Text && rapid.IntRange(0, 9).Draw(t, "empty") == 0
		it.noPoint = rapid.IntRange(0, 19).Draw(t, "no point") == 0
		if points && it.kind == prompt.ToolResult && rapid.IntRange(0, 5).Draw(t, "nested") == 0 {
			it.nested = append(it.nested, drawTTL(t))
		}
		items = append(items, it)
	}
	return items
}

func drawTTL(t *rapid.T) time.Duration {
	return rapid.SampledFrom([]time.Duration{prompt.FiveMinutes, prompt.FiveMinutes, prompt.OneHour, 0, 30 * time.Minute}).Draw(t, "lifetime")
}

// drawRequest draws a request of any shape.
func drawRequest(t *rapid.T, points bool) *lists {
	r := &lists{final: rapid.IntRange(0, 9).Draw(t, "final") == 0}
	r.tools = drawItems(t, []prompt.Kind{prompt.ToolDefinition, prompt.ToolDefinition, prompt.Other}, 4, points)
	r.system = drawItems(t, []prompt.Kind{prompt.Text}, 4, points)
	for range rapid.IntRange(0, 6).Draw(t, "turns") {
		r.messages = append(r.messages, drawTurn(t, points)...)
	}
	r.number()
	return r
}

// drawTurn draws a user's message and, mostly, what was answered to it.
func drawTurn(t *rapid.T, points bool) []turn {
	turns := []turn{user(drawItems(t, []prompt.Kind{prompt.Text, prompt.Text, prompt.ToolResult, prompt.ToolResult, prompt.Image, prompt.Document, prompt.Other}, 30, points)...)}
	if rapid.IntRange(0, 9).Draw(t, "answered") > 0 {
		turns = append(turns, assistant(drawItems(t, []prompt.Kind{prompt.Text, prompt.ToolUse, prompt.Reasoning, prompt.Other}, 8, points)...))
	}
	return turns
}

// standing is a point as a test sees it: what it closes, and whether the service would take it.
type standing struct {
	id    int // of the block; 0 for none
	ttl   time.Duration
	open  bool
	legal bool
}

// standings returns a request's points in order, judged from the rules alone.
func (r *lists) standings(m Model) []standing {
	var all []standing
	for k, list := range r.lists() {
		section := min(prompt.Section(k), prompt.Messages)
		reasoned := section == prompt.Messages && !r.messages[k-2].user && m.Provider == anthropic &&
			slices.ContainsFunc(list, func(it item) bool { return it.block && it.kind == prompt.Reasoning })
		open := !m.Tools && !m.System && !m.Messages || []bool{m.Tools, m.System, m.Messages}[section]
		var last *item
		closed := false // there is a point behind last
		for i := range list {
			it := &list[i]
			if it.block {
				last, closed = it, false
				for _, ttl := range it.nested {
					all = append(all, standing{ttl: ttl})
				}
				continue
			}
			s := standing{ttl: it.ttl, open: it.open}
			if last != nil {
				s.id = last.id
				s.legal = m.Explicit && open && !reasoned && !closed && !last.empty && !last.noPoint && last.kind != prompt.Reasoning &&
					(m.Provider != nova || section != prompt.Messages || last.kind == prompt.Text)
			}
			closed = closed || s.legal
			all = append(all, s)
		}
	}
	return all
}

func offered(m Model, ttl time.Duration) bool {
	return ttl == prompt.FiveMinutes && len(m.TTLs) == 0 || slices.Contains(m.TTLs, ttl)
}

// TestPlace_MakesAnyRequestAcceptable holds Place to its promises on requests of any shape.
func TestPlace_MakesAnyRequestAcceptable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, o := drawModel(t), drawOptions(t)
		before := drawRequest(t, true)
		p := before.prompt()
		after := before.apply(p, Place(p, m, o))
		kept, now := before.standings(m), after.standings(m)

		longest := time.Duration(1<<63 - 1)
		for _, s := range now {
			require.True(t, s.legal, "an illegal point at block %d", s.id)
			require.True(t, offered(m, s.ttl), "a lifetime of %s", s.ttl)
			require.LessOrEqual(t, s.ttl, longest, "a longer lifetime behind a shorter one")
			longest = s.ttl
		}
		if m.MaxPoints > 0 {
			require.LessOrEqual(t, len(now), m.MaxPoints)
		}
		p.Record(nil)
		q := after.prompt()
		require.Empty(t, Place(q, m, o), "of what was placed")
		for _, f := range Lint(q, m) {
			info, _ := f.Rule.Info()
			require.False(t, info.Rejected, f.String())
		}
		requireCallersKept(t, p, m, o, kept, now)
		requireNewOnesFit(t, q, m, o, kept, now)
		for i, list := range before.lists() {
			points := func(it item) bool { return !it.block }
			bare := func(list []item) []item { return slices.DeleteFunc(slices.Clone(list), points) }
			require.Equal(t, len(bare(list)), len(bare(after.lists()[i])), "blocks")
		}
	})
}

// requireCallersKept checks that each point of the caller that is fine is still there, for at least as long, unless it has
// no effect or there are too many.
func requireCallersKept(t *rapid.T, p *prompt.Prompt, m Model, o PlaceOptions, before, after []standing) {
	var legal []standing
	for _, s := range before {
		if s.legal {
			legal = append(legal, s)
		}
	}
	if m.MaxPoints > 0 && len(legal) > m.MaxPoints {
		return
	}
	for _, s := range legal {
		prefix := p.UpTo(s.id - 1)
		sc := estimate.Scale{Factor: o.Factor}
		if sc.High(prefix) < m.MinTokens || m.MaxTokens > 0 && sc.Low(prefix) > m.MaxTokens {
			continue
		}
		i := slices.IndexFunc(after, func(a standing) bool { return a.id == s.id })
		require.GreaterOrEqual(t, i, 0, "the caller's point behind block %d is gone", s.id)
		if offered(m, s.ttl) {
			require.GreaterOrEqual(t, after[i].ttl, s.ttl)
		}
	}
}

// requireNewOnesFit checks that points that were not there stand where the model caches for certain, and where asked for.
func requireNewOnesFit(t *rapid.T, p *prompt.Prompt, m Model, o PlaceOptions, before, after []standing) {
	for _, s := range after {
		if slices.ContainsFunc(before, func(b standing) bool { return b.legal && b.id == s.id }) {
			continue
		}
		sc := estimate.Scale{Factor: o.Factor}
		prefix := p.UpTo(s.id - 1)
		require.GreaterOrEqual(t, sc.Low(prefix), m.MinTokens)
		require.True(t, m.MaxTokens == 0 || sc.High(prefix) <= m.MaxTokens)
		require.True(t, o.Before == 0 || s.id <= o.Before)
		require.NotContains(t, []prompt.Kind{prompt.Document, prompt.Other}, p.Blocks[s.id-1].Kind)
	}
}

// TestPlace_MeetsWhatThePreviousRequestWrote: whatever a turn adds, the last thing that the request before it wrote has a
// point of its own again.
func TestPlace_MeetsWhatThePreviousRequestWrote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		first := drawRequest(t, false)
		first.final = false
		m.Explicit, m.MaxPoints = true, max(m.MaxPoints, 2)
		if m.MaxPoints < 4 {
			// Of a first question no more than the head may have been written, and with few points turns come first.
			first.messages = slices.Concat([]turn{user(text(9)), assistant(text(9))}, first.messages)
		}
		o := PlaceOptions{Factor: rapid.SampledFrom([]int64{0, 700, 2000}).Draw(t, "factor")}
		first.messages = append(first.messages, user(text(9)))
		second := *first
		second.messages = slices.Concat(first.messages, []turn{assistant(append(drawItems(t, []prompt.Kind{prompt.Text, prompt.ToolUse, prompt.Reasoning, prompt.Other}, 40, false), text(1))...)},
			[]turn{user(drawItems(t, []prompt.Kind{prompt.Text, prompt.ToolResult, prompt.Image, prompt.Document, prompt.Other}, 60, false)...)})
		first.number()
		second.number()

		p, q := first.prompt(), second.prompt()
		wrote := first.apply(p, Place(p, m, o)).standings(m)
		finds := second.apply(q, Place(q, m, o)).standings(m)
		if len(wrote) == 0 {
			return
		}
		last := wrote[len(wrote)-1]
		require.True(t, slices.ContainsFunc(finds, func(s standing) bool { return s.id == last.id }),
			"block %d was written and is not looked up: %v", last.id, finds)
	})
}
