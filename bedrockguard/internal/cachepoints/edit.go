// Package cachepoints reads requests for the prompt-cache check, and makes copies of them with other cache points.
package cachepoints

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// WithPoints returns the input of a call with edited cache points; points that the input's type can't hold are left out. The prompt has to
// be the result of ReadPrompt for this input. The caller's values are not changed: lists that change are copied, the rest is shared. Except
// for cache points the result serialises to the same bytes.
func WithPoints(input any, p *prompt.Prompt, edits []prompt.Edit) any {
	if len(edits) == 0 {
		return input
	}
	switch in := input.(type) {
	case *bedrockruntime.InvokeModelInput:
		out := *in
		out.Body = bodyWithPoints(in.Body, p, edits)
		return &out
	case *bedrockruntime.InvokeModelWithResponseStreamInput:
		out := *in
		out.Body = bodyWithPoints(in.Body, p, edits)
		return &out
	case *inputs.HTTP:
		out := *in
		out.Body = bodyWithPoints(in.Body, p, edits)
		return &out
	}
	changes := changesOf(p, edits)
	switch in := input.(type) {
	case *bedrockruntime.ConverseInput:
		out := *in
		out.ToolConfig, out.System, out.Messages = changes.apply(in.ToolConfig, in.System, in.Messages)
		return &out
	case *bedrockruntime.ConverseStreamInput:
		out := *in
		out.ToolConfig, out.System, out.Messages = changes.apply(in.ToolConfig, in.System, in.Messages)
		return &out
	default:
		return input
	}
}

// WithoutPoints returns the input of a call without any cache point, and false if it has none, or any that can't be removed.
func WithoutPoints(provider string, input any) (any, bool) {
	var before, after prompt.Prompt
	if !ReadPrompt(&before, provider, input) || len(before.Points) == 0 {
		return input, false
	}
	edits := make([]prompt.Edit, len(before.Points))
	for i := range edits {
		edits[i] = prompt.Edit{Remove: i, After: -1}
	}
	edited := WithPoints(input, &before, edits)
	return edited, ReadPrompt(&after, provider, edited) && len(after.Points) == 0
}

// bodyWithPoints returns a body with its cache points edited, or the body as it was if that is not possible.
func bodyWithPoints(body []byte, p *prompt.Prompt, edits []prompt.Edit) []byte {
	edited, _, err := prompt.FixBody(body, p, edits)
	if err != nil {
		return body
	}
	return edited
}

// pointChange is one change to one list: an element to leave out, or a point to add after one.
type pointChange struct {
	prompt.Where
	add   bool
	point types.CachePointBlock
}

// pointChanges are changes in the order of the request.
type pointChanges []pointChange

// changesOf returns the changes that edits of a prompt make to the lists of its request: an edit that moves a point is two of them.
func changesOf(p *prompt.Prompt, edits []prompt.Edit) pointChanges {
	changes := make(pointChanges, 0, 2*len(edits))
	for _, e := range edits {
		if e.Remove >= 0 {
			changes = append(changes, pointChange{Where: p.Points[e.Remove].Where})
		}
		if e.After >= 0 {
			spelt := e.Remove >= 0 && p.Points[e.Remove].TTL == e.TTL && !p.Points[e.Remove].Open
			changes = append(changes, pointChange{Where: p.Blocks[e.After].Where, add: true, point: pointBlock(e.TTL, spelt)})
		}
	}
	slices.SortStableFunc(changes, func(a, b pointChange) int {
		return cmp.Or(cmp.Compare(a.Section, b.Section), cmp.Compare(a.list(), b.list()), cmp.Compare(a.Index, b.Index))
	})
	return changes
}

// list numbers the lists of a section.
func (c *pointChange) list() int {
	if c.Section == prompt.Messages {
		return c.Message
	}
	return 0
}

// next splits off the changes to the first list.
func (c pointChanges) next() (first, rest pointChanges) {
	n := 1
	for n < len(c) && c[n].Section == c[0].Section && c[n].list() == c[0].list() {
		n++
	}
	return c[:n], c[n:]
}

// apply returns the tools, the system prompt and the messages with the changes made. It copies what it changes, because the request is the caller's.
func (c pointChanges) apply(tools *types.ToolConfiguration, system []types.SystemContentBlock, messages []types.Message) (*types.ToolConfiguration, []types.SystemContentBlock, []types.Message) {
	copied := false
	for len(c) > 0 {
		var list pointChanges
		list, c = c.next()
		switch at := list[0]; at.Section {
		case prompt.Tools:
			if tools != nil {
				config := *tools
				config.Tools = edited(list, config.Tools, func(b types.CachePointBlock) types.Tool { return &types.ToolMemberCachePoint{Value: b} })
				tools = &config
			}
		case prompt.System:
			system = edited(list, system, func(b types.CachePointBlock) types.SystemContentBlock {
				return &types.SystemContentBlockMemberCachePoint{Value: b}
			})
		case prompt.Messages:
			if at.Message >= len(messages) {
				continue
			}
			if !copied {
				messages, copied = slices.Clone(messages), true
			}
			m := &messages[at.Message]
			m.Content = edited(list, m.Content, func(b types.CachePointBlock) types.ContentBlock {
				return &types.ContentBlockMemberCachePoint{Value: b}
			})
		}
	}
	return tools, system, messages
}

// edited returns a copy of a list with its changes made.
func edited[T any](changes pointChanges, list []T, point func(types.CachePointBlock) T) []T {
	out := make([]T, 0, len(list)+len(changes))
	for i, element := range list {
		out = append(out, element)
		for ; len(changes) > 0 && changes[0].Index <= i; changes = changes[1:] {
			if changes[0].add {
				out = append(out, point(changes[0].point))
			} else {
				out = out[:len(out)-1]
			}
		}
	}
	return out
}

// pointBlock makes a cache point. Five minutes are the default lifetime: it is only written out if the caller did so, because a model
// without other lifetimes may not know the field.
func pointBlock(ttl time.Duration, spelt bool) types.CachePointBlock {
	b := types.CachePointBlock{Type: types.CachePointTypeDefault}
	switch {
	case ttl <= prompt.FiveMinutes && !spelt:
	case ttl%time.Hour == 0:
		b.Ttl = types.CacheTTL(fmt.Sprintf("%dh", ttl/time.Hour))
	default:
		b.Ttl = types.CacheTTL(fmt.Sprintf("%dm", ttl/time.Minute))
	}
	return b
}
