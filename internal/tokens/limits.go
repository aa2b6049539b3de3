package tokens

// Limits are the constants of UpperBound for one family of models. They are data, copied from public documentation on
// the dates told at LimitsFor, and may be overridden field by field. The zero value stands for LimitsFor("").
type Limits struct {
	MessageTokens      int64 // role markers and separators around one message
	BlockTokens        int64 // separators around one block
	ToolTokens         int64 // wrapping of one tool definition, on top of its JSON
	BuiltinToolTokens  int64 // a tool whose definition the provider supplies
	ToolPreambleTokens int64 // system text that the provider adds once when there is a tool at all
	PDFPageTextTokens  int64 // the text of one PDF page; its picture counts as an image of unknown size
	Image              ImageLimits
}

// ImageLimits bound what one image costs. Its tokens are at most the pixels divided by PixelsPerToken, plus one row and one
// column of patches for rounding, kept within MinTokens and MaxTokens. An image of unknown size costs MaxTokens.
type ImageLimits struct {
	PixelsPerToken int64
	PatchPixels    int64 // the edge of one patch
	MinTokens      int64 // families that scale small images up
	MaxTokens      int64 // families scale large images down to this
}

// LimitsFor returns the limits of a provider as it is spelled in model ids ("anthropic"). Any other name, also the empty
// one, gets limits that hold for every family known. The figures, as of 2026-11:
//
//   - framing: no provider publishes it; measured prompts show 3 to 7 tokens a message, so 16 and 8 leave room;
//   - tools: Anthropic's tool use guide tells preambles of 159 to 530 tokens, and up to 735 for a built-in tool;
//   - PDF text: Anthropic's PDF guide tells 1,500 to 3,000 tokens a page; a densely set page stays under twice that;
//   - Claude images: pixels / 750 (vision guide), in patches of 28 pixels, at most 4,784 for 2,576 pixels on the long edge;
//   - other images: Llama 3.2 spends 1,601 tokens on each tile of 560 x 560 pixels, the fewest pixels a token; Qwen's
//     processors stop at 16,384 tokens an image, the largest maximum.
func LimitsFor(provider string) Limits {
	l := Limits{
		MessageTokens:      16,
		BlockTokens:        8,
		ToolTokens:         32,
		BuiltinToolTokens:  1000,
		ToolPreambleTokens: 1000,
		PDFPageTextTokens:  6000,
		Image:              ImageLimits{PixelsPerToken: 190, PatchPixels: 14, MinTokens: 1700, MaxTokens: 16384},
	}
	if provider == "anthropic" {
		l.Image = ImageLimits{PixelsPerToken: 750, PatchPixels: 28, MinTokens: 0, MaxTokens: 5000}
	}
	return l
}
