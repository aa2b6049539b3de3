package main

import (
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// family is a policy of a number of calls a day to all models of a family, and of input that is not read from the cache, an hour and workflow. Calls count with
// their retries. Set the second to more than twice your largest prompt, because a prompt counts as uncached until the answer tells.
var family = budget.Policy{Limits: []budget.Limit{
	{Name: "opus-calls", Max: budget.Calls(3), Window: budget.Daily, Match: budget.Match{Model: "anthropic.claude-opus-*"}},
	{Name: "fresh-input", Max: budget.UncachedInputTokens(2_000_000), Window: budget.Rolling(time.Hour), Per: budget.PerWorkflow},
}}
