package tokens

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/pkoukk/tiktoken-go"
	loader "github.com/pkoukk/tiktoken-go-loader"
)

// ErrVocabulary is returned when the tokenizer's vocabulary can't be loaded. UpperBound still holds.
var ErrVocabulary = errors.New("tokens: vocabulary unavailable; use the upper bound")

// DefaultCounterEntries is how many chunks of up to 8 KB a Counter remembers by default: about 64 MB of text in less than
// 2 MB of memory.
const DefaultCounterEntries = 8192

// cl100kPattern splits text into words the way the vocabulary was trained on (OpenAI's published definition).
const cl100kPattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

// Counter estimates prompts with the cl100k_base vocabulary, which is embedded: nothing is fetched. It remembers the count
// of what it has seen by a seeded 128-bit hash, never the text, so a conversation that grows costs only what is new.
// A Counter is safe for concurrent use. Make one with NewCounter.
type Counter struct {
	seeds    [2]maphash.Seed
	counts   *lru
	encoding func() (*tiktoken.Tiktoken, error)
}

// NewCounter returns a counter that remembers up to entries chunks; zero or less stands for DefaultCounterEntries. The
// vocabulary is loaded on first use, which takes some 70 ms and 11 MB.
func NewCounter(entries int) *Counter { return newCounter(entries, loadCL100K) }

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

// loadCL100K builds the encoding by hand, because the package's own way goes through a loader that is global to the process.
func loadCL100K() (*tiktoken.Tiktoken, error) {
	ranks, err := loader.NewOfflineLoader().LoadTiktokenBpe("cl100k_base.tiktoken")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVocabulary, err)
	}
	special := map[string]int{tiktoken.ENDOFTEXT: 100257}
	bpe, err := tiktoken.NewCoreBPE(ranks, special, cl100kPattern)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVocabulary, err)
	}
	return tiktoken.NewTiktoken(bpe, &tiktoken.Encoding{Name: tiktoken.MODEL_CL100K_BASE}, map[string]any{tiktoken.ENDOFTEXT: true}), nil
}

// Count returns the tokens of a prompt by cl100k_base, with framing, images and documents as in UpperBound, and whether the
// prompt can be counted at all. It never exceeds UpperBound. Models have vocabularies of their own: multiply by Ratio's
// factor. It returns ErrVocabulary.
func (c *Counter) Count(p *Prompt, l *Limits) (int64, bool, error) {
	n := framing(p, l)
	for i := range p.Blocks {
		b := &p.Blocks[i]
		t, ok := blockBound(b, l)
		if !ok {
			return 0, false, nil
		}
		if b.Kind == Text || b.Kind == JSON {
			counted, err := c.text(b.Text, b.Escaped)
			if err != nil {
				return 0, false, err
			}
			t = min(t, counted)
		}
		n = addSat(n, t)
	}
	return n, true, nil
}

func (c *Counter) text(s string, escaped bool) (int64, error) {
	var n int64
	for len(s) > 0 {
		cut := nextChunk(s, escaped)
		t, err := c.chunk(s[:cut], escaped)
		if err != nil {
			return 0, err
		}
		n, s = n+t, s[cut:]
	}
	return n, nil
}

func (c *Counter) chunk(s string, escaped bool) (int64, error) {
	k := chunkKey{maphash.String(c.seeds[0], s), maphash.String(c.seeds[1], s)}
	if escaped {
		k[0] = ^k[0]
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
	for len(s) > 0 {
		cut := nextRun(s)
		n, s = n+int64(len(enc.EncodeOrdinary(s[:cut]))), s[cut:]
	}
	c.counts.put(k, n)
	return n, nil
}

// unescape resolves JSON escapes. A chunk that is cut inside of an escape stays as it is, which counts more.
func unescape(s string) string {
	var out string
	if json.Unmarshal([]byte(`"`+s+`"`), &out) != nil {
		return s
	}
	return out
}
