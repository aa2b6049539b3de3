package pricing

import (
	"fmt"
	"strconv"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Reason says which part of a call makes the amount large that is reserved in a unit, and how to lower it; empty if there is no advice. bound is how
// many input tokens were reserved. tight says that they were computed from the text, and not from the length of the body.
func (c *Call) Reason(bound int64, tight bool, unit budget.Unit) string {
	switch unit {
	case budget.UnitCalls:
		return ""
	case budget.UnitOutputTokens:
		return c.outputReason()
	case budget.UnitUSD:
		return c.costReason(bound, tight)
	default:
		return c.inputReason(bound, tight)
	}
}

// costReason says what most of the reserved cost is for: flat prices and guardrails, output, or input.
func (c *Call) costReason(bound int64, tight bool) string {
	output, _ := mul(c.Demand.MaxOutput, max(c.Demand.choices, 1))
	extra, err := c.extra(output)
	if err != nil {
		return ""
	}
	if c.FlatOperation { // it has no tokens whose cost could be the larger part
		return fmt.Sprintf("the operation's flat price of %s is set aside: lower it in Options.FlatPrices if it can't cost as much", c.Flat)
	}
	// The worst case of the input without any output, and then of the output without input, show which is the larger part.
	inputCost, err := c.Quote.worst(bound, 0, c.Demand.Writes)
	if err != nil {
		return ""
	}
	outputCost, err := c.Quote.worst(0, output, c.Demand.Writes)
	if err != nil {
		return ""
	}
	switch {
	case extra > inputCost && extra > outputCost:
		return fmt.Sprintf("%s of flat prices and guardrails are set aside: lower them in Options.FlatPrices if the call can't cost as much, or send less text to guardrails", extra)
	case outputCost >= inputCost && output > 0:
		return c.outputReason()
	default:
		return c.inputReason(bound, tight)
	}
}

// outputReason says what sets the number of output tokens: compactions of the history, the model's own limit, several completions, or maxTokens.
func (c *Call) outputReason() string {
	switch {
	case c.Demand.MaxOutput == 0:
		return ""
	case c.Demand.compacts:
		return "the history may be compacted on the way, and each time is an inference of its own, of up to " + grouped(c.modelOutput) + " output tokens: leave the compaction out, or shorten the history below " + grouped(compactionTrigger) + " tokens"
	case c.outputUnset:
		return "no maxTokens is set, so the model's " + grouped(c.Demand.MaxOutput) + " output tokens are set aside: set maxTokens"
	case c.Demand.choices > 1:
		return fmt.Sprintf("%s output tokens for each of %d completions are set aside: lower maxTokens, or ask for fewer", grouped(c.Demand.MaxOutput), c.Demand.choices)
	default:
		return "maxTokens sets " + grouped(c.Demand.MaxOutput) + " output tokens aside: lower maxTokens"
	}
}

// inputReason says what sets the number of input tokens: compactions of the history, the model's context window, which stands for what can't be
// counted, the text, or its length.
func (c *Call) inputReason(bound int64, tight bool) string {
	tokens := grouped(bound) + " input tokens"
	switch {
	case bound == 0:
		return ""
	case c.Demand.compacts:
		return "the history may be compacted on the way, which reads it again, so that " + tokens + " are set aside: leave the compaction out, or shorten the history"
	case bound == c.window && c.Demand.Hidden:
		return "the service adds text that the request does not hold, so the model's window of " + tokens + " is set aside: put the text into the request instead of naming it"
	case bound == c.window:
		return "the prompt may fill the model's window of " + tokens + ", which is set aside: send content whose size can be told, such as plain text and pictures, or less of it"
	case tight:
		return "the prompt's text can make up to " + tokens + ", which are set aside: shorten the prompt"
	default:
		return "the prompt's length allows for up to " + tokens + ", which are set aside: shorten the prompt"
	}
}

// grouped prints a number with commas as thousands separators.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
