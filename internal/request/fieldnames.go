package request

import "strings"

// Marker is the form of a cache point in JSON, by the key that it is written with.
type Marker uint8

// The forms. Each dialect has one of its own.
const (
	NoMarker   Marker = iota
	Control           // cache_control, a property of a block
	Property          // cachePoint, a property of a block
	Element           // cachePoint, in the place of a block
	Misplaced         // cache_control beside an Element: no dialect has that
	Foreign           // cache_point, of gateways
	Breakpoint        // prompt_cache_breakpoint, OpenAI's, whose usual lifetime is half an hour
)

// CanBePlaced reports whether a form that MarkerOf returns is one of the two that this module also writes: cache_control and cachePoint. Points of
// other forms are never edited, and only count for the cost.
func (m Marker) CanBePlaced() bool { return m == Control || m == Property }

// MarkerOf returns the form of cache point that has this key in a JSON body, or NoMarker. Whether a cachePoint is an Element depends on what else its
// object has, so it is a Property here.
func MarkerOf(key string) Marker {
	switch key {
	case "cache_control":
		return Control
	case "cachePoint":
		return Property
	case "cache_point":
		return Foreign
	case "prompt_cache_breakpoint":
		return Breakpoint
	default:
		return NoMarker
	}
}

// Limit is what a field limits of an answer.
type Limit uint8

// The limits.
const (
	NoLimit  Limit = iota
	Output         // its tokens
	Thinking       // the tokens of its reasoning
	Choices        // how many answers there are
)

// LimitOf returns what a field with this key limits, in whatever dialect it is, or NoLimit.
func LimitOf(key string) Limit {
	switch key {
	case "max_tokens", "maxTokens", "max_new_tokens", "maxNewTokens", "max_completion_tokens", "maxCompletionTokens",
		"max_tokens_to_sample", "maxTokenCount", "max_gen_len", "max_output_tokens", "maxOutputTokens":
		return Output
	case "budget_tokens", "budgetTokens":
		return Thinking
	case "n", "num_generations", "numResults", "best_of", "candidateCount", "num_return_sequences":
		return Choices
	default:
		return NoLimit
	}
}

// KindOfType returns the kind of a block of Claude's bodies by its field "type", and false for a type that is not known. Uses and results of tools
// that run at the provider, such as "server_tool_use", have types that end like those of the caller's own tools.
func KindOfType(name string) (Kind, bool) {
	switch name {
	case "text", "search_result":
		return Text, true
	case "image":
		return Image, true
	case "document":
		return Document, true
	case "thinking", "redacted_thinking":
		return Reasoning, true
	}
	switch {
	case strings.HasSuffix(name, "tool_use"):
		return ToolUse, true
	case strings.HasSuffix(name, "tool_result"):
		return ToolResult, true
	default:
		return Other, false
	}
}

// KindOfKey returns the kind of a block by one of its keys, as Converse and Nova's bodies tell it, and false if no kind has that key.
func KindOfKey(key string) (Kind, bool) {
	switch key {
	case "text":
		return Text, true
	case "image":
		return Image, true
	case "document":
		return Document, true
	case "toolUse":
		return ToolUse, true
	case "toolResult":
		return ToolResult, true
	case "reasoningContent":
		return Reasoning, true
	case "guardContent", "citationsContent", "searchResult", "video", "audio":
		return Other, true
	default:
		return Other, false
	}
}
