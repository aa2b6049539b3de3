// Package tokens bounds and estimates how many input tokens a prompt will be billed.
package tokens

// Kind says what a block contains, and so how its tokens are counted.
type Kind uint8

// The kinds of block.
const (
	Text     Kind = iota // plain text: messages, system prompts, reasoning, tool results that are text
	JSON                 // serialised JSON: tool schemas, tool inputs, tool results that are JSON
	Image                // counted by its size in pixels
	Document             // counted by its pages
	Opaque               // content whose tokens can't be counted here: video, audio, anything stored in S3
)

// Block is one piece of a prompt, in the order in which the model reads it. It refers to the request's strings.
type Block struct {
	Kind    Kind
	Escaped bool   // Text is the content of a JSON string literal, with its escapes
	Text    string // the text of Text and JSON blocks
	Format  string // "png", "pdf", ... for Image and Document
	Bytes   int64  // the size of Image data, of the text that a Document unpacks to or, of a PDF, the most tokens that its text can have
	Width   int    // in pixels; 0 if unknown
	Height  int    // in pixels; 0 if unknown
	Pages   int    // 0 if unknown
	Images  int    // images inside of a Document other than a PDF
	Cited   bool   // citations are enabled for the Document, so that the service adds marks to its text
}

// Prompt is everything that a request asks the model to read.
type Prompt struct {
	Blocks       []Block
	Messages     int // conversation turns; each adds a few tokens of framing
	Tools        int // tool definitions; with the first one the provider adds a preamble
	BuiltinTools int // how many of Tools the request only names, such as a text editor, because the provider defines them
	Hidden       Hidden
	OtherBytes   int64 // bytes of names, ids and settings that are too short for a block; at most one token for each byte
}
