package bedrocktest

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
)

// ClassLine is one line of a bill.
type ClassLine struct {
	Tokens  int64
	NanoUSD int64
}

// Bill is what the service would charge, in nano-USD at gross list price. Each class of each inference is rounded up to a nano-USD.
type Bill struct {
	NanoUSD    int64
	Inferences int
	Input      ClassLine // neither read from the cache nor written to it
	CacheRead  ClassLine
	CacheWrite ClassLine // of either TTL
	Output     ClassLine
	Units      int64            // nano-USD for images, seconds and queries
	Guardrails int64            // nano-USD of text units and images that guardrails evaluated
	ByModel    map[string]int64 // nano-USD by foundation-model id
}

// USD returns the bill in dollars, for printing.
func (b Bill) USD() float64 { return float64(b.NanoUSD) / 1e9 }

// CacheHitShare returns the part of all input tokens that was read from the cache, from 0 to 1; 0 without any input.
func (b Bill) CacheHitShare() float64 {
	total := b.Input.Tokens + b.CacheRead.Tokens + b.CacheWrite.Tokens
	if total == 0 {
		return 0
	}
	return float64(b.CacheRead.Tokens) / float64(total)
}

// Inference is one billed request.
type Inference struct {
	Seq          int // number of the request, counted from 1; refused requests are counted too
	Time         time.Time
	Operation    string // such as "converse-stream", "invoke" or "apply-guardrail"; or a route such as "chat/completions"
	ModelID      string // the foundation model that answered; for ApplyGuardrail the guardrail
	AskedModelID string // the foundation model that was asked for
	Profile      string // "us", "global", or empty for a model id without one
	RequestID    string // x-amzn-requestid of the answer
	InvocationID string // the SDK's amz-sdk-invocation-id: one for all attempts of a call
	Reservation  string // the header named by Options.ReservationHeader
	Tier         string // the tier that served; empty if the request named none
	Latency      string // the mode that served; empty if the request named none

	InputTokens        int64 // neither read from the cache nor written to it
	CacheReadTokens    int64
	CacheWrite5mTokens int64
	CacheWrite1hTokens int64
	OutputTokens       int64
	UnitsNanoUSD       int64 // nano-USD for images, seconds and queries
	GuardrailNanoUSD   int64
	NanoUSD            int64
	Fault              FaultKind // the fault of the answer; empty if it was delivered
}

// book is where the bill is added up. It is safe for concurrent use.
type book struct {
	mu         sync.Mutex
	bill       Bill
	inferences []Inference
}

// charge prices an inference at its rates, multiplied by the factor of its service tier in thousandths, and adds it to the bill. It returns the
// inference with its price.
func (b *book) charge(i Inference, r modeltable.Rates, tier uint64) Inference {
	cost := func(tokens int64, class int) int64 { return nano(tokens, r[class], tier) }
	input, read := cost(i.InputTokens, modeltable.ClassInput), cost(i.CacheReadTokens, modeltable.ClassRead)
	write := cost(i.CacheWrite5mTokens, modeltable.ClassWrite5m) + cost(i.CacheWrite1hTokens, modeltable.ClassWrite1h)
	output := cost(i.OutputTokens, modeltable.ClassOutput)
	i.NanoUSD = input + read + write + output + i.UnitsNanoUSD + i.GuardrailNanoUSD

	b.mu.Lock()
	defer b.mu.Unlock()
	b.bill.NanoUSD += i.NanoUSD
	b.bill.Inferences++
	b.bill.Input.add(i.InputTokens, input)
	b.bill.CacheRead.add(i.CacheReadTokens, read)
	b.bill.CacheWrite.add(i.CacheWrite5mTokens+i.CacheWrite1hTokens, write)
	b.bill.Output.add(i.OutputTokens, output)
	b.bill.Units += i.UnitsNanoUSD
	b.bill.Guardrails += i.GuardrailNanoUSD
	if b.bill.ByModel == nil {
		b.bill.ByModel = make(map[string]int64)
	}
	b.bill.ByModel[i.ModelID] += i.NanoUSD
	b.inferences = append(b.inferences, i)
	return i
}

// add adds tokens and their price to a line.
func (l *ClassLine) add(tokens, nano int64) { l.Tokens, l.NanoUSD = l.Tokens+tokens, l.NanoUSD+nano }

// nano prices tokens in nano-USD, rounded up. pico is the rate in pico-USD for a token, a thousandth of a nano-USD, and tier a factor in thousandths.
// The largest possible product, ten million tokens at the highest rate and tier, fits in 64 bits.
func nano(tokens int64, pico, tier uint64) int64 {
	return int64((uint64(tokens)*pico*tier + 999_999) / 1_000_000)
}

// snapshot returns a copy of the bill, which later charges do not change.
func (b *book) snapshot() Bill {
	b.mu.Lock()
	defer b.mu.Unlock()
	bill := b.bill
	bill.ByModel = maps.Clone(bill.ByModel)
	return bill
}

// all returns a copy of the inferences, in the order in which they were charged.
func (b *book) all() []Inference {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.inferences)
}

// reset empties the book.
func (b *book) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bill, b.inferences = Bill{}, nil
}
