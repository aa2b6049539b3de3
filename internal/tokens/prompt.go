// Package tokens bounds and estimates how many input tokens a prompt will be billed.
package tokens

// Kind says what a block holds, and so how its tokens are counted.
type Kind uint8

// The kinds of block.
const (
	Text     Kind = iota // plain text: messages, system prompts, reasoning, tool results that are text
	JSON                 // serialised JSON: tool schemas, tool inputs, tool results that are JSON
	Image                // counted by its size in pixels
	Document             // counted by its pages
	Opaque               // content whose size in tokens can't be known from here: video, audio, anything held in S3
)

// Block is one piece of a prompt, in the order in which the model reads it. It borrows its strings from the request.
type Block struct {
	Kind    Kind
	Escaped bool   // Text is the inside of a JSON string literal, its escapes not yet resolved
	Text    string // the text of Text and JSON blocks
	Format  string // "png", "pdf", ... for Image and Document
	Bytes   int64  // the size of Image data, and of the text that a Document other than a PDF unpacks to
	Width   int    // pixels; 0 when unknown
	Height  int    // pixels; 0 when unknown
	Pages   int    // 0 when unknown
	Images  int    // pictures inside a Document other than a PDF
	Cited   bool   // citations of the Document are asked for, so that its text is marked up
}

// Prompt is everything that a request asks the model to read.
type Prompt struct {
	Blocks       []Block
	Messages     int // conversation turns; each adds a few tokens of framing
	Tools        int // tool definitions; the first adds a preamble of the provider's own
	BuiltinTools int // those of Tools that the request only names and the provider defines, such as a text editor
	Hidden       Hidden
	OtherBytes   int64 // bytes of names, ids and settings too short for a block of their own; a token each at most
}
