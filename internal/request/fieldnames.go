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

// CanBePlaced reports whether a form is that of a dialect in which cache points are placed and removed. Others are counted alone.
func (m Marker) CanBePlaced() bool { return m == Control || m == Property }

// MarkerOf returns the form of the cache point that a key in a JSON body begins, if it does.
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

// LimitOf returns what a field limits, in whatever dialect.
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

// KindOfType returns the kind of a block of Claude's bodies. Types that run at the provider have names that end like those of the caller's own.
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

// KindOfKey returns the kind of a block that holds a field, in Converse and in Nova's bodies.
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
