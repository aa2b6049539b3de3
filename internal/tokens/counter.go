package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/pkoukk/tiktoken-go"
	loader "github.com/pkoukk/tiktoken-go-loader"
)

// ErrVocabulary is returned when the tokenizer's vocabulary can't be loaded. UpperBound still holds.
var ErrVocabulary = errors.New("tokens: vocabulary unavailable; use a bound")

// DefaultCounterEntries is how many chunks of up to 8 KB a Counter remembers by default: about 64 MB of text in less than
// 2 MB of memory.
const DefaultCounterEntries = 8192

// The vocabularies that are embedded, by OpenAI's names.
const (
	CL100K = tiktoken.MODEL_CL100K_BASE
	O200K  = tiktoken.MODEL_O200K_BASE
)

// patterns split text into words the way each vocabulary was trained on (OpenAI's published definitions).
var patterns = map[string]string{
	CL100K: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	O200K: `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?` +
		`|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?` +
		`|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
}

// Counter counts prompts with a public vocabulary, which is embedded, so that nothing is downloaded. The count is exact for models that use
// that vocabulary, and an estimate for others; use TightBound for a bound. It remembers counts by a seeded 128-bit hash of the text, never
// the text, so that in a growing conversation only new text is counted. A Counter is safe for concurrent use. Make one with NewCounter.
type Counter struct {
	seeds    [2]maphash.Seed                    // for the two halves of a chunk's hash
	counts   *lru                               // by chunk
	encoding func() (*tiktoken.Tiktoken, error) // loads the vocabulary when it is called first, and returns the same one or the same error from then on
}

// NewCounter returns a counter with the vocabulary CL100K or O200K that remembers up to entries chunks; zero or less means
// DefaultCounterEntries. The vocabulary is loaded on first use, which takes some 70 ms and 11 MB for CL100K and twice that for O200K; for an
// unknown name Count returns ErrVocabulary.
func NewCounter(vocabulary string, entries int) *Counter {
	return newCounter(entries, func() (*tiktoken.Tiktoken, error) { return loadVocabulary(vocabulary) })
}

// newCounter is NewCounter with a function that loads the vocabulary.
func newCounter(entries int, load func() (*tiktoken.Tiktoken, error)) *Counter {
	if entries <= 0 {
		entries = DefaultCounterEntries
	}
	return &Counter{
		seeds:    [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		counts:   newLRU(entries),
		encoding: sync.OnceValues(load),
	}
}

// loadVocabulary builds the encoding itself, because the package's own function uses a loader that is global to the process.
func loadVocabulary(name string) (*tiktoken.Tiktoken, error) {
	pattern, ok := patterns[name]
	if !ok {
		return nil, fmt.Errorf("%w: no vocabulary is called %q", ErrVocabulary, name)
	}
	ranks, err := loader.NewOfflineLoader().LoadTiktokenBpe(name + ".tiktoken")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVocabulary, err)
	}
	bpe, err := tiktoken.NewCoreBPE(ranks, map[string]int{}, pattern)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVocabulary, err)
	}
	return tiktoken.NewTiktoken(bpe, &tiktoken.Encoding{Name: name}, map[string]any{}), nil
}

// Count returns the tokens of a prompt by the counter's vocabulary, with framing, images and documents as in UpperBound, and whether the
// prompt can be counted. It never exceeds UpperBound. It checks ctx before each chunk of 8 KB, and returns its error, or ErrVocabulary.
func (c *Counter) Count(ctx context.Context, p *Prompt, l *Limits) (int64, bool, error) {
	n := framing(p, l)
	for i := range p.Blocks {
		b := &p.Blocks[i]
		tokens, ok := blockBound(b, l)
		if !ok {
			return 0, false, nil
		}
		if b.Kind == Text || b.Kind == JSON {
			counted, err := c.text(ctx, b.Text, b.Escaped)
			if err != nil {
				return 0, false, err
			}
			// Count never exceeds UpperBound, in which the text has the bound that tokens is so far.
			tokens = min(tokens, counted)
		}
		n = addSat(n, tokens)
	}
	return n, true, nil
}

// text counts the tokens of a text, chunk by chunk. With escaped, s is the content of a JSON string literal with its escapes.
func (c *Counter) text(ctx context.Context, s string, escaped bool) (int64, error) {
	var n int64
	for len(s) > 0 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		cut := nextChunk(s, escaped)
		t, err := c.chunk(s[:cut], escaped)
		if err != nil {
			return 0, err
		}
		n, s = n+t, s[cut:]
	}
	return n, nil
}

// chunk returns the tokens of a chunk, the remembered number if there is one.
func (c *Counter) chunk(s string, escaped bool) (int64, error) {
	k := chunkKey{maphash.String(c.seeds[0], s), maphash.String(c.seeds[1], s)}
	if escaped {
		k[0] = ^k[0] // the same bytes with and without escapes are different texts
	}
	if n, ok := c.counts.get(k); ok {
		return n, nil
	}
	enc, err := c.encoding()
	if err != nil {
		return 0, err
	}
	if escaped {
		s = unescape(s)
	}
	var n int64
	for len(s) > 0 { // in parts without a long run of one kind of character, for which the tokenizer is slow
		cut := nextRun(s)
		n, s = n+int64(len(enc.EncodeOrdinary(s[:cut]))), s[cut:]
	}
	c.counts.put(k, n)
	return n, nil
}

// unescape decodes JSON escapes. If a chunk ends inside of an escape it stays as it is, which gives a higher count.
func unescape(s string) string {
	var out string
	if json.Unmarshal([]byte(`"`+s+`"`), &out) != nil {
		return s
	}
	return out
}
