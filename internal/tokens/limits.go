package tokens

// Limits are the constants of UpperBound for one family of models. The figures are explained at LimitsFor.
type Limits struct {
	MessageTokens     int64 // role markers and separators around one message
	BlockTokens       int64 // separators around one block
	ToolTokens        int64 // wrapping of one tool definition, on top of its JSON
	Hidden            HiddenLimits
	PDFPageTextTokens int64 // the text of one PDF page; the picture of the page counts as an image of unknown size
	DocumentPictures  bool  // the family reads the images inside of office files
	TextThousandths   int64 // a factor on TextBound, see textfactor.go; zero means 1000
	Image             ImageLimits
}

// ImageLimits bound what one image costs. Its tokens are at most the pixels divided by PixelsPerToken, plus one row and one
// column of patches for rounding, kept within MinTokens and MaxTokens. An image of unknown size costs MaxTokens.
type ImageLimits struct {
	PixelsPerToken int64
	PatchPixels    int64 // the edge of one patch
	MinTokens      int64 // for families that scale small images up
	MaxTokens      int64 // families scale larger images down to this
}

// LimitsFor returns the limits of a provider as it is written in model ids ("anthropic"). Any other name, and the empty one, gets limits
// that should hold for every known family. The figures were chosen in 2026-11, above what had been published or recorded; they were not
// compared with the live service, so a bound that turns out too low is reported and raised:
//
//   - framing: no provider publishes it; a few tokens for each message are usual, so 16 for a message, 8 for a block and 32 for a tool leave room;
//   - a family's own text: gpt-oss begins each prompt with its channels and the date, Llama with two dates, Cohere with a preamble; Nova 2
//     was recorded with some 500 tokens besides its tools; 512 for all but Claude, with 64, and Cohere, with 1,024;
//   - tools: a preamble of 264 to 530 tokens is published for Claude, others are longer; 1,500. A tool that the provider defines: computer
//     use, its system text and two further tools are documented with 2,146 tokens together; 2,500 each;
//   - citations: recorded requests had 790 and 1,480 more tokens than their own text; 2,500, and the text of each document once more,
//     because it is split into numbered sentences;
//   - a schema of structured output or of a strict tool: 300 tokens were recorded in addition to a schema of a few; 1,000, and the schema
//     once more;
//   - PDF text: 6,000 tokens for a printed page, or the text of its content if that is more, in addition to the page's image;
//   - images inside of office files: Nova reads them, Claude only gets the text; they count for all but Claude;
//   - Claude images: pixels / 750 in patches of 28 pixels, 5,000 at most;
//   - other images: the fewest pixels per token and the largest maximum of the families that split images into tiles. Nova scales small
//     images up: 540x360 was recorded with 1,819 tokens (2025), its guide goes up to 2,600;
//   - text, only in the tight bound: half as much again for families whose vocabulary is not public.
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

// The limits of the families: after those of images, the tokens of the family's own text, and whether it reads images inside of office files.
var (
	anthropicLimits = limits(ImageLimits{PixelsPerToken: 750, PatchPixels: 28, MinTokens: 0, MaxTokens: 5000}, 64, false)
	anyLimits       = limits(anyImage, 512, true)
	cohereLimits    = limits(anyImage, 1024, true)
	anyImage        = ImageLimits{PixelsPerToken: 190, PatchPixels: 14, MinTokens: 2600, MaxTokens: 16384}
)

// limits returns the limits of a family; the figures that all have in common are explained at LimitsFor. family is how many tokens of its own text
// the family puts into each prompt, and pictures says that it reads the images inside of office files.
func limits(image ImageLimits, family int64, pictures bool) Limits {
	return Limits{
		MessageTokens:     16,
		BlockTokens:       8,
		ToolTokens:        32,
		Hidden:            HiddenLimits{Family: family, Tools: 1500, BuiltinTool: 2500, Citations: 2500, CitedDocument: 64, Schema: 1000},
		PDFPageTextTokens: 6000,
		DocumentPictures:  pictures,
		TextThousandths:   unmeasuredText, // 1500; measuredLimits, for families with a public vocabulary, has 1000 instead
		Image:             image,
	}
}
