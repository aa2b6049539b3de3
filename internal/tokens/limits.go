package tokens

// Limits are the constants of UpperBound for one family of models. They are data, explained at LimitsFor.
type Limits struct {
	MessageTokens     int64 // role markers and separators around one message
	BlockTokens       int64 // separators around one block
	ToolTokens        int64 // wrapping of one tool definition, on top of its JSON
	Hidden            HiddenLimits
	PDFPageTextTokens int64 // the text of one PDF page; its picture counts as an image of unknown size
	DocumentPictures  bool  // the family reads the pictures inside of office files
	TextThousandths   int64 // a factor on TextBound, see textThousandths in textfactor.go; zero stands for 1000
	Image             ImageLimits
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
// one, gets limits that are meant to hold for every family known. The figures are allowances chosen in 2026-11, above what was
// published or recorded until then; they were not checked against a live service, so a violated bound is reported and learned:
//
//   - framing: no provider publishes it; a few tokens a message are usual, 16 and 8 leave room;
//   - a family's own text: gpt-oss begins each prompt with its channels and the date, Llama with two dates, Cohere with a preamble;
//     Nova 2 was recorded with some 500 tokens beyond its tools; 512 for all, 1,024 for Cohere;
//   - tools: a preamble of 264 to 530 tokens is published for Claude, others are longer; 1,500. A tool that the provider
//     defines: computer use, its system text and two companions are documented with 2,146 tokens in all; 2,500 each;
//   - citations: recorded requests held 790 and 1,480 tokens that are not theirs; 2,500, and the text of each document once more,
//     because it is cut into numbered sentences;
//   - a schema of structured output or of a strict tool: 300 tokens beyond a schema of a few were recorded; 1,000, and the schema
//     once more;
//   - PDF text: 6,000 tokens a page of print, or the text of its content where that is more, besides the page's picture;
//   - pictures inside of office files: Nova reads them, Claude is given the text alone; all but Claude count them;
//   - Claude images: pixels / 750 in patches of 28 pixels, 5,000 at most;
//   - other images: the fewest pixels a token and the largest maximum of the families that tile their images. Nova scales small
//     images up: 540x360 was recorded at 1,819 tokens (2025), its guide goes up to 2,600;
//   - text, in the tight bound alone: half as much again for families whose vocabulary is not public.
//
// The limits are shared and must not be changed.
func LimitsFor(provider string) *Limits {
	switch provider {
	case "anthropic":
		return &anthropicLimits
	case "cohere":
		return &cohereLimits
	}
	if textMeasured[provider] {
		return &measuredLimits
	}
	return &anyLimits
}

var (
	anthropicLimits = limits(ImageLimits{PixelsPerToken: 750, PatchPixels: 28, MinTokens: 0, MaxTokens: 5000}, 64, false)
	anyLimits       = limits(anyImage, 512, true)
	cohereLimits    = limits(anyImage, 1024, true)
	anyImage        = ImageLimits{PixelsPerToken: 190, PatchPixels: 14, MinTokens: 2600, MaxTokens: 16384}
)

func limits(image ImageLimits, family int64, pictures bool) Limits {
	return Limits{
		MessageTokens:     16,
		BlockTokens:       8,
		ToolTokens:        32,
		Hidden:            HiddenLimits{Family: family, Tools: 1500, BuiltinTool: 2500, Citations: 2500, CitedDocument: 64, Schema: 1000},
		PDFPageTextTokens: 6000,
		DocumentPictures:  pictures,
		TextThousandths:   unmeasuredText,
		Image:             image,
	}
}
