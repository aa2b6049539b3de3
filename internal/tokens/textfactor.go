package tokens

// Factors on TextBound, in thousandths, as of 2026-11-28.
const (
	// measuredText is for families whose vocabularies are public: TextBound was fitted to them and needs no factor.
	measuredText = 1000
	// unmeasuredText is for all others. It leaves room for a tokenizer that makes half as many tokens again as the one that
	// makes the most among those measured.
	unmeasuredText = 1500
)

// textMeasured holds the providers, as they are spelled in model ids, all of whose text models use vocabularies that
// TextBound was measured with: Mistral's SentencePiece and Tekken, Qwen's, DeepSeek's, those of Llama 3 and 4, OpenAI's
// cl100k and o200k (the latter is what OpenAI's own library names for gpt-5 and gpt-oss; later models are taken to share it).
// The vocabularies of Gemma 3 and Command R+ were measured as well, but not all models of their makers use them.
var textMeasured = map[string]bool{"mistral": true, "qwen": true, "deepseek": true, "meta": true, "openai": true}

// measuredLimits are anyLimits for a family of textMeasured.
var measuredLimits = func() Limits {
	l := anyLimits
	l.TextThousandths = measuredText
	return l
}()

// textThousandths returns the factor on TextBound, 1000 for a zero field.
func (l *Limits) textThousandths() int64 {
	if l.TextThousandths <= 0 {
		return measuredText
	}
	return l.TextThousandths
}
