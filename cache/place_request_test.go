package cache

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// item is a block or a point in a list of a request.
type item struct {
	block   bool
	id      int // tells blocks apart, whatever moves around them
	kind    prompt.Kind
	tokens  int  // of its text, at the middle estimate
	empty   bool // white space
	noPoint bool

	ttl    time.Duration // of a point
	open   bool          // it names none
	nested []time.Duration
}

// turn is one message.
type turn struct {
	user  bool
	items []item
}

// lists is what a Prompt is built from and edits are applied to, the way that front doors do it.
type lists struct {
	tools, system []item
	messages      []turn
	final         bool
}

func text(tokens int) item              { return item{block: true, kind: prompt.Text, tokens: tokens} }
func of(k prompt.Kind, tokens int) item { return item{block: true, kind: k, tokens: tokens} }
func point(ttl time.Duration) item {
	return item{ttl: ttl}
}
func user(items ...item) turn      { return turn{true, items} }
func assistant(items ...item) turn { return turn{false, items} }

// number gives each block an id.
func (r *lists) number() {
	n := 0
	for _, list := range r.lists() {
		for i := range list {
			if list[i].block {
				n++
				list[i].id = n
			}
		}
	}
}

// lists returns the request's lists in order.
func (r *lists) lists() [][]item {
	lists := [][]item{r.tools, r.system}
	for _, m := range r.messages {
		lists = append(lists, m.items)
	}
	return lists
}

var (
	filler = strings.Repeat("the quick brown fox jumps over the lazy dog; ", 1<<14)
	blanks = strings.Repeat(" ", len(filler))
)

// prompt builds the request's prompt.
func (r *lists) prompt() *prompt.Prompt {
	p := new(prompt.Prompt)
	p.Final = r.final
	p.Enter(prompt.Tools)
	fill(p, r.tools)
	p.Enter(prompt.System)
	fill(p, r.system)
	for i, m := range r.messages {
		p.Message(i, m.user)
		fill(p, m.items)
	}
	return p
}

func fill(p *prompt.Prompt, items []item) {
	for i, it := range items {
		if !it.block {
			if it.open {
				p.OpenPoint(i)
			} else {
				p.Point(i, it.ttl)
			}
			continue
		}
		p.Block(it.kind, i)
		from := filler
		if it.empty {
			from = blanks
		}
		p.Text(from[:it.tokens*7/2])
		p.Blocks[len(p.Blocks)-1].NoPoint = it.noPoint
		for _, ttl := range it.nested {
			p.NestedPoint(ttl)
		}
	}
}

// apply returns the request with the edits applied.
func (r *lists) apply(p *prompt.Prompt, edits []prompt.Edit) *lists {
	out := &lists{tools: slices.Clone(r.tools), system: slices.Clone(r.system), final: r.final}
	for _, m := range r.messages {
		out.messages = append(out.messages, turn{m.user, slices.Clone(m.items)})
	}
	list := func(w prompt.Where) *[]item {
		switch w.Section {
		case prompt.Tools:
			return &out.tools
		case prompt.System:
			return &out.system
		default:
			return &out.messages[w.Message].items
		}
	}
	type change struct {
		prompt.Where
		remove bool
		nested int
		ttl    time.Duration
		open   bool
	}
	var changes []change
	nested := map[prompt.Where]int{}
	for i := range p.Points {
		pt := &p.Points[i]
		k := 0
		if pt.Nested {
			k = nested[pt.Where]
			nested[pt.Where]++
		}
		for _, e := range edits {
			if e.Remove == i {
				changes = append(changes, change{Where: pt.Where, remove: true, nested: k})
			}
		}
	}
	for _, e := range edits {
		if e.After >= 0 {
			same := e.Remove >= 0 && p.Points[e.Remove].TTL == e.TTL && !p.Points[e.Remove].Open
			changes = append(changes, change{Where: p.Blocks[e.After].Where, ttl: e.TTL, open: e.TTL == prompt.FiveMinutes && !same})
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int { // from the back, so that places stay what they are
		if c := b.Where.Compare(a.Where); c != 0 {
			return c
		}
		return b.nested - a.nested
	})
	for _, c := range changes {
		l := list(c.Where)
		switch it := &(*l)[c.Index]; {
		case !c.remove:
			*l = slices.Insert(*l, c.Index+1, item{ttl: c.ttl, open: c.open})
		case it.block:
			it.nested = slices.Delete(slices.Clone(it.nested), c.nested, c.nested+1)
		default:
			*l = slices.Delete(*l, c.Index, c.Index+1)
		}
	}
	return out
}

// stands describes where the points stand: the section or message, the number of the block in it, and the lifetime.
func (r *lists) stands() string {
	var out []string
	describe := func(name string, items []item) {
		n := 0
		for _, it := range items {
			if it.block {
				n++
				continue
			}
			out = append(out, fmt.Sprintf("%s/%d %s", name, n, ttlName(it.ttl)))
		}
	}
	describe("tools", r.tools)
	describe("system", r.system)
	for i, m := range r.messages {
		describe(fmt.Sprint(i), m.items)
	}
	return strings.Join(out, ", ")
}

func placed(r *lists, m Model, o PlaceOptions) string {
	p := r.prompt()
	return r.apply(p, Place(p, m, o)).stands()
}
