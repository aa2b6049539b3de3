package main

import (
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// family limits how many calls a day go to all models of a family together, and the uncached input of an hour for each workflow. Retries count as
// calls.
// Set the second limit to more than twice your largest prompt: a prompt counts as uncached until its answer says what was read from the cache or written
// to it, and a retry, or a second call at the same time, counts once more meanwhile. With less, such a call is refused although all is cached.
var family = budget.Policy{Limits: []budget.Limit{
	{Name: "opus-calls", Max: budget.Calls(3), Window: budget.Daily, Match: budget.Match{Model: "anthropic.claude-opus-*"}},
	{Name: "fresh-input", Max: budget.UncachedInputTokens(2_000_000), Window: budget.Rolling(time.Hour), Per: budget.PerWorkflow},
}}
