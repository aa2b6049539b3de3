package cache_test

import (
	"fmt"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// opus is what the catalog knows of one model, so far as caching goes.
var opus = cache.Model{
	Provider: "anthropic", Explicit: true, MinTokens: 1024, MaxPoints: 4,
	InputPrice: 5_000_000, CacheReadPrice: 500_000, CacheWrite5mPrice: 6_250_000,
}

func claudeBody(system string) []byte {
	return fmt.Appendf(nil, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"system":[{"type":"text","text":%q}],`+
		`"messages":[{"role":"user","content":"Fix the build."}]}`, system)
}

// Why a request will not be cached, from its body alone.
func ExampleLint() {
	var request prompt.Prompt
	if err := prompt.ParseBody(&request, "anthropic", claudeBody(strings.Repeat("Answer with care. ", 2000))); err != nil {
		panic(err)
	}
	for _, finding := range cache.Lint(&request, opus) {
		info, _ := finding.Rule.Info()
		fmt.Println(finding.Rule, "of cause", info.Cause)
	}
	// Output: no-cache-point of cause G1
}

// Put the cache points where the next request of the conversation can read them.
func ExamplePlace() {
	body := claudeBody(strings.Repeat("Answer with care. ", 2000))
	var request prompt.Prompt
	if err := prompt.ParseBody(&request, "anthropic", body); err != nil {
		panic(err)
	}
	edits := cache.Place(&request, opus, cache.PlaceOptions{})
	fixed, _, err := prompt.FixBody(body, &request, edits)
	fmt.Println("cache points:", strings.Count(string(fixed), "cache_control"), err)
	// Output: cache points: 1 <nil>
}

// Report everything, refuse one kind of mistake, and leave one workflow alone.
func ExamplePolicy() {
	policy := cache.Policy{
		Mode:      cache.Report,
		Rules:     map[cache.Rule]cache.Mode{"volatile-text": cache.Refuse},
		Workflows: map[string]cache.Mode{"experiment-*": cache.Off},
	}
	fmt.Println(policy.Validate())
	fmt.Println(policy.ModeOf("nightly"), policy.ModeOf("experiment-7"))
	fmt.Println(policy.Action(cache.Finding{Rule: "volatile-text"}, "nightly"))
	// Output:
	// <nil>
	// report off
	// refuse
}
