package otelguard

import (
	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// classes are the classes by which tokens are billed, in the order of classesOf.
var classes = [...]string{"uncached_input", "cache_read", "cache_write_5m", "cache_write_1h", "output"}

// The classes of money that is not billed by a class of tokens.
const (
	classEstimated = "estimated" // a worst case, posted because the actual cost is not known
	classOther     = "other"     // fees, and models without a list price by token
)

// classesOf returns how many tokens of each class were used.
func classesOf(u *price.Usage) [len(classes)]int64 {
	return [...]int64{u.UncachedInputTokens(), u.CacheReadInputTokens, u.CacheWrite5mInputTokens, u.CacheWrite1hInputTokens, u.OutputTokens}
}

// split divides the nano-USD of an event among the classes of its tokens, in proportion to what each class costs at list prices. The parts add up
// to the charge exactly, even if it had discounts and tiers: what rounding leaves over is added to the largest part.
func split(e *bedrockguard.Event) map[string]int64 {
	money := e.Actual[budget.UnitUSD]
	if e.Estimated {
		return map[string]int64{classEstimated: money}
	}
	rates, known := ratesOf(e)
	if !known {
		return map[string]int64{classOther: money}
	}
	var weights [len(classes)]float64
	whole, largest := 0.0, 0
	for i, tokens := range classesOf(&e.Usage) {
		weights[i] = float64(tokens) * float64(rates[i])
		whole += weights[i]
		if weights[i] > weights[largest] {
			largest = i
		}
	}
	if whole <= 0 { // no tokens, only fees; or all rates are zero
		return map[string]int64{classOther: money}
	}
	parts, left := make(map[string]int64, len(classes)), money
	for i, class := range classes {
		// Rounding can make a share larger than what is left.
		parts[class] = min(int64(float64(money)*(weights[i]/whole)), left)
		left -= parts[class]
	}
	parts[classes[largest]] += left
	return parts
}

// ratesOf returns the list prices of an event's model by class, and false if there are none. A request whose input is longer than a threshold has
// other prices for all of its tokens.
func ratesOf(e *bedrockguard.Event) ([len(classes)]price.PicoUSD, bool) {
	list, _, err := bedrockguard.ModelFacts(e.Model, e.Region)
	if err != nil {
		return [len(classes)]price.PicoUSD{}, false
	}
	r := &list.Rates
	if list.LongContext.Threshold > 0 && e.Usage.InputTokens > list.LongContext.Threshold {
		r = &list.LongContext.Rates
	}
	return [...]price.PicoUSD{r.Input, r.CacheRead, r.CacheWrite5m, r.CacheWrite1h, r.Output}, true
}
