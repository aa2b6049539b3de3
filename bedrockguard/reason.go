package bedrockguard

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// explain fills in ExceededError.Reason unless it is set: which part of the call made the reserved amount large, and how to lower it.
func (c *call) explain(a *attempt, err error) {
	var e *budget.ExceededError
	if errors.As(err, &e) && e.Reason == "" {
		e.Reason = c.reason(a, e.Requested.Unit)
	}
}

// reason says which part of the call is the larger one in the amount reserved in a unit, its output or its input, and how to lower it.
func (c *call) reason(a *attempt, unit budget.Unit) string {
	switch unit {
	case budget.UnitCalls:
		return ""
	case budget.UnitOutputTokens:
		return c.outputReason()
	case budget.UnitUSD:
		return c.costReason(a)
	default:
		return c.inputReason(a)
	}
}

// costReason says what most of the reserved cost is for: flat prices and guardrails, output, or input.
func (c *call) costReason(a *attempt) string {
	output, _ := mul(c.demand.maxOutput, max(c.demand.choices, 1))
	extra, err := c.extra(output)
	if err != nil {
		return ""
	}
	if c.flatOperation {
		return fmt.Sprintf("the operation's flat price of %s is set aside: lower it in Options.FlatPrices if it can't cost as much", c.flat)
	}
	inputCost, err := c.quote.worst(a.bound, 0, c.demand.writes)
	if err != nil {
		return ""
	}
	outputCost, err := c.quote.worst(0, output, c.demand.writes)
	if err != nil {
		return ""
	}
	switch {
	case extra > inputCost && extra > outputCost:
		return fmt.Sprintf("%s of flat prices and guardrails are set aside: lower them in Options.FlatPrices if the call can't cost as much, or send less text to guardrails", extra)
	case outputCost >= inputCost && output > 0:
		return c.outputReason()
	default:
		return c.inputReason(a)
	}
}

func (c *call) outputReason() string {
	switch {
	case c.demand.maxOutput == 0:
		return ""
	case c.demand.compacts:
		return "the history may be compacted on the way, and each time is an inference of its own, of up to " + grouped(c.modelOutput) + " output tokens: leave the compaction out, or shorten the history below " + grouped(compactionTrigger) + " tokens"
	case c.outputUnset:
		return "no maxTokens is set, so the model's " + grouped(c.demand.maxOutput) + " output tokens are set aside: set maxTokens"
	case c.demand.choices > 1:
		return fmt.Sprintf("%s output tokens for each of %d completions are set aside: lower maxTokens, or ask for fewer", grouped(c.demand.maxOutput), c.demand.choices)
	default:
		return "maxTokens sets " + grouped(c.demand.maxOutput) + " output tokens aside: lower maxTokens"
	}
}

func (c *call) inputReason(a *attempt) string {
	tokens := grouped(a.bound) + " input tokens"
	switch {
	case a.bound == 0:
		return ""
	case c.demand.compacts:
		return "the history may be compacted on the way, which reads it again, so that " + tokens + " are set aside: leave the compaction out, or shorten the history"
	case a.bound == c.window && c.demand.hidden:
		return "the service adds text that the request does not hold, so the model's window of " + tokens + " is set aside: put the text into the request instead of naming it"
	case a.bound == c.window:
		return "the prompt may fill the model's window of " + tokens + ", which is set aside: send content whose size can be told, such as plain text and pictures, or less of it"
	case a.tight:
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
