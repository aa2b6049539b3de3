// Package cachepoints reads requests for the prompt-cache check, and makes copies of them with other cache points.
//
// A cache point marks the end of a prefix that the service is to cache. A prompt.Prompt describes a request by its blocks (texts, tools, images and
// so on) and its points; the place of each is a prompt.Where: a section (tools, system prompt or messages), the message's index, and the index in
// the list there. A prompt.Edit removes the point with the index Remove, adds a point after the block with the index After, or does both, which
// moves one; -1 stands for neither.
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

// WithPoints returns a copy of a call's input with edited cache points: bodies are edited as JSON, and Converse's inputs in their lists. Points that
// the input can't hold are left out. The prompt has to be the result of ReadPrompt for this input. The caller's values are not changed: lists that
// change are copied, the rest is shared. Except for cache points the result serialises to the same bytes.
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
	// Inputs of Converse have lists with one element for each block or point.
	case *bedrockruntime.ConverseInput:
		out := *in
		out.ToolConfig, out.System, out.Messages = changesOf(p, edits).apply(in.ToolConfig, in.System, in.Messages)
		return &out
	case *bedrockruntime.ConverseStreamInput:
		out := *in
		out.ToolConfig, out.System, out.Messages = changesOf(p, edits).apply(in.ToolConfig, in.System, in.Messages)
		return &out
	default:
		return input
	}
}

// WithoutPoints returns a copy of a call's input without any cache point. It reports false if the input has none, or one that can't be removed.
// provider is the company that made the model, which decides how an InvokeModel body is read.
func WithoutPoints(provider string, input any) (any, bool) {
	var before, after prompt.Prompt
	if !ReadPrompt(&before, provider, input) || len(before.Points) == 0 {
		return input, false
	}
	edits := make([]prompt.Edit, len(before.Points))
	for i := range edits {
		edits[i] = prompt.Edit{Remove: i, After: -1}
	}
	// A point that can't be removed is still found when the result is read again.
	edited := WithPoints(input, &before, edits)
	return edited, ReadPrompt(&after, provider, edited) && len(after.Points) == 0
}

// bodyWithPoints returns a body with its cache points edited, or the body as it was if that is not possible.
func bodyWithPoints(body []byte, p *prompt.Prompt, edits []prompt.Edit) []byte {
	// The points that the body can't hold are left out, and returned as skipped.
	edited, _, err := prompt.FixBody(body, p, edits)
	if err != nil {
		return body
	}
	return edited
}

// pointChange is one change to one list of a Converse request, at the element at Where. If add is set, a cache point is added after that element.
// Otherwise the element is a cache point itself, and is left out.
type pointChange struct {
	prompt.Where
	add   bool
	point types.CachePointBlock // the added one
}

// pointChanges are changes in the order of the request: by section, by message, by index.
type pointChanges []pointChange

// changesOf returns the changes that edits of a prompt make to the lists of its request: an edit that moves a point is two of them. A moved point
// keeps its lifetime written out if it was, and if the edit does not change it.
func changesOf(p *prompt.Prompt, edits []prompt.Edit) pointChanges {
	changes := make(pointChanges, 0, 2*len(edits))
	for _, e := range edits {
		if e.Remove >= 0 {
			changes = append(changes, pointChange{Where: p.Points[e.Remove].Where})
		}
		if e.After >= 0 {
			writtenOut := e.Remove >= 0 && p.Points[e.Remove].TTL == e.TTL && !p.Points[e.Remove].Open // Open: it names no lifetime
			changes = append(changes, pointChange{Where: p.Blocks[e.After].Where, add: true, point: pointBlock(e.TTL, writtenOut)})
		}
	}
	slices.SortStableFunc(changes, func(a, b pointChange) int {
		return cmp.Or(cmp.Compare(a.Section, b.Section), cmp.Compare(a.list(), b.list()), cmp.Compare(a.Index, b.Index))
	})
	return changes
}

// list returns which list of its section a change is made to: the content of each message is one; the tools and the system prompt have one each.
func (c *pointChange) list() int {
	if c.Section == prompt.Messages {
		return c.Message
	}
	return 0
}

// next splits off the changes to the list that the first of them is made to.
func (c pointChanges) next() (first, rest pointChanges) {
	n := 1
	for n < len(c) && c[n].Section == c[0].Section && c[n].list() == c[0].list() {
		n++
	}
	return c[:n], c[n:]
}

// apply returns the tools, the system prompt and the messages with the changes made. It copies what it changes, because the request is the caller's.
func (c pointChanges) apply(tools *types.ToolConfiguration, system []types.SystemContentBlock, messages []types.Message) (*types.ToolConfiguration, []types.SystemContentBlock, []types.Message) {
	copied := false // messages is a copy already
	for len(c) > 0 {
		var ofList pointChanges
		ofList, c = c.next()
		// A change to something that the request does not have is dropped.
		switch at := ofList[0]; at.Section {
		case prompt.Tools:
			if tools != nil {
				config := *tools
				config.Tools = edited(ofList, config.Tools, pointAmongTools)
				tools = &config
			}
		case prompt.System:
			system = edited(ofList, system, pointInSystem)
		case prompt.Messages:
			if at.Message >= len(messages) {
				continue
			}
			if !copied {
				messages, copied = slices.Clone(messages), true
			}
			m := &messages[at.Message]
			m.Content = edited(ofList, m.Content, pointInContent)
		}
	}
	return tools, system, messages
}

// pointAmongTools, pointInSystem and pointInContent make a cache point an element of the list of tools, of the system prompt, or of the content of a
// message.
func pointAmongTools(b types.CachePointBlock) types.Tool {
	return &types.ToolMemberCachePoint{Value: b}
}

func pointInSystem(b types.CachePointBlock) types.SystemContentBlock {
	return &types.SystemContentBlockMemberCachePoint{Value: b}
}

func pointInContent(b types.CachePointBlock) types.ContentBlock {
	return &types.ContentBlockMemberCachePoint{Value: b}
}

// edited returns a copy of a list with its changes made, which are in the order of its elements. point makes an element of the list's type of a
// cache point.
func edited[T any](changes pointChanges, list []T, point func(types.CachePointBlock) T) []T {
	out := make([]T, 0, len(list)+len(changes))
	for i, element := range list {
		out = append(out, element)
		// All changes at this element are made; those at earlier ones are done.
		for ; len(changes) > 0 && changes[0].Index <= i; changes = changes[1:] {
			if changes[0].add {
				out = append(out, point(changes[0].point))
			} else {
				out = out[:len(out)-1] // the point at this index, which was just appended
			}
		}
	}
	return out
}

// pointBlock makes a cache point with a lifetime. Five minutes are the default: they are only written out if writtenOut says that the caller did so,
// because a model without other lifetimes may not know the field.
func pointBlock(ttl time.Duration, writtenOut bool) types.CachePointBlock {
	b := types.CachePointBlock{Type: types.CachePointTypeDefault}
	switch {
	case ttl <= prompt.FiveMinutes && !writtenOut: // the field stays empty
	case ttl%time.Hour == 0:
		b.Ttl = types.CacheTTL(fmt.Sprintf("%dh", ttl/time.Hour))
	default:
		b.Ttl = types.CacheTTL(fmt.Sprintf("%dm", ttl/time.Minute))
	}
	return b
}
