package tokens

// Factors on TextBound, in thousandths, as of 2026-11-28.
const (
	// measuredText is for families with public vocabularies: TextBound was fitted to them and needs no factor.
	measuredText = 1000
	// unmeasuredText is for all others. It leaves room for a tokenizer that makes half as many tokens again as the measured one that makes
	// the most.
	unmeasuredText = 1500
)

// textMeasured has the providers, as they are written in model ids, whose text models all use vocabularies to which TextBound was fitted:
// Mistral's SentencePiece and Tekken, Qwen's, DeepSeek's, those of Llama 3 and 4, OpenAI's cl100k and o200k (OpenAI's own library names
// o200k for gpt-5 and gpt-oss; later models are assumed to use it too). The vocabularies of Gemma 3 and Command R+ were measured as well,
// but some models of their makers use others.
var textMeasured = map[string]bool{"mistral": true, "qwen": true, "deepseek": true, "meta": true, "openai": true}

// measuredLimits are anyLimits, those for every family without its own, with the lower factor for a family of textMeasured.
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
