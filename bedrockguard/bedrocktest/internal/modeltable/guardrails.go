package modeltable

// textUnitCharacters is how many characters one text unit of a guardrail covers (Amazon Bedrock's pricing page, 2026-11).
const textUnitCharacters = 1000

// policy is one policy of a guardrail: the field that counts its units, and the list price of one unit in nano-USD.
type policy struct {
	counter string
	price   int64
}

// policies returns the policies of a guardrail that has all, at the list prices read on 2026-11-20: 0.15 USD per 1,000 text units for
// content and for topics, 0.10 for sensitive information and for grounding, 0.17 for automated reasoning; words are free.
func policies() []policy {
	return []policy{
		{"contentPolicyUnits", 150_000},
		{"topicPolicyUnits", 150_000},
		{"wordPolicyUnits", 0},
		{"sensitiveInformationPolicyUnits", 100_000},
		{"sensitiveInformationPolicyFreeUnits", 0},
		{"contextualGroundingPolicyUnits", 100_000},
		{"automatedReasoningPolicyUnits", 170_000},
	}
}

// guardrailImage is the list price of one image in nano-USD: 0.75 USD per 1,000, read on 2026-11-20.
const guardrailImage = 750_000

// Evaluation is how much one guardrail evaluated, of either the input or the output: text units and images. Each of its policies counts all units.
type Evaluation struct{ Units, Images int64 }

// NanoUSD returns the price of all policies together.
func (e Evaluation) NanoUSD() (total int64) {
	for _, p := range policies() {
		total += e.Units * p.price
	}
	return total + e.Images*guardrailImage
}

// Usage returns the evaluation in the form of the service's answers.
func (e Evaluation) Usage() map[string]any {
	out := map[string]any{"contentPolicyImageUnits": e.Images, "automatedReasoningPolicies": 0}
	for _, p := range policies() {
		out[p.counter] = e.Units
	}
	return out
}

// TextUnits returns the units of one text with so many characters. An empty text has none.
func TextUnits(characters int) int64 {
	return int64((characters + textUnitCharacters - 1) / textUnitCharacters)
}
