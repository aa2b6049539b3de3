package tokens

// Limits are the constants of UpperBound for one family of models. They are data, explained at LimitsFor.
type Limits struct {
	MessageTokens      int64 // role markers and separators around one message
	BlockTokens        int64 // separators around one block
	ToolTokens         int64 // wrapping of one tool definition, on top of its JSON
	BuiltinToolTokens  int64 // a tool whose definition the provider supplies
	ToolPreambleTokens int64 // system text that the provider adds once when there is a tool at all
	PDFPageTextTokens  int64 // the text of one PDF page; its picture counts as an image of unknown size
	Image              ImageLimits
	TextThousandths    int64 // a factor on TextBound, see textThousandths in textfactor.go; zero stands for 1000
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
// one, gets limits that are meant to hold for every family known. The figures are allowances chosen in 2026-11 from what is
// generally known of these models; they were not checked against a live service, so a violated bound is reported and learned:
//
//   - framing: no provider publishes it; a few tokens a message are usual, 16 and 8 leave room;
//   - tools: a provider's preamble is a few hundred tokens, a built-in tool's definition the same; 1,000 each;
//   - PDF text: 6,000 tokens a page, about twice a densely set one, besides the page's picture;
//   - Claude images: pixels / 750 in patches of 28 pixels, 5,000 at most;
//   - other images: the fewest pixels a token and the largest maximum of the families that tile their images.
//
// The limits are shared and must not be changed.
func LimitsFor(provider string) *Limits {
	if provider == "anthropic" {
		return &anthropicLimits
	}
	if textMeasured[provider] {
		return &measuredLimits
	}
	return &anyLimits
}

var (
	anthropicLimits = limits(ImageLimits{PixelsPerToken: 750, PatchPixels: 28, MinTokens: 0, MaxTokens: 5000})
	anyLimits       = limits(ImageLimits{PixelsPerToken: 190, PatchPixels: 14, MinTokens: 1700, MaxTokens: 16384})
)

func limits(image ImageLimits) Limits {
	return Limits{
		MessageTokens:      16,
		BlockTokens:        8,
		ToolTokens:         32,
		BuiltinToolTokens:  1000,
		ToolPreambleTokens: 1000,
		PDFPageTextTokens:  6000,
		TextThousandths:    unmeasuredText,
		Image:              image,
	}
}
