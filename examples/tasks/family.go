package main

import (
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// family limits how many calls a day go to all models of a family together, and the uncached input of an hour for each workflow. Retries count as
// calls.
// Set the second limit to more than twice your largest prompt, because a prompt counts as uncached until its answer reports otherwise.
var family = budget.Policy{Limits: []budget.Limit{
	{Name: "opus-calls", Max: budget.Calls(3), Window: budget.Daily, Match: budget.Match{Model: "anthropic.claude-opus-*"}},
	{Name: "fresh-input", Max: budget.UncachedInputTokens(2_000_000), Window: budget.Rolling(time.Hour), Per: budget.PerWorkflow},
}}
