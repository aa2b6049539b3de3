package catalog

import (
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// GuardrailRates are list prices of Bedrock Guardrails, in nano-USD for one unit. A text unit is up to 1,000 characters, and
// each policy that evaluates a text bills it apart; input and output are evaluated apart, too. The field of an answer's
// usage that counts each is named behind it.
type GuardrailRates struct {
	Content              price.Amount // contentPolicyUnits
	Topic                price.Amount // topicPolicyUnits
	SensitiveInformation price.Amount // sensitiveInformationPolicyUnits; the sensitiveInformationPolicyFreeUnits, by patterns alone, cost nothing
	ContextualGrounding  price.Amount // contextualGroundingPolicyUnits
	AutomatedReasoning   price.Amount // automatedReasoningPolicyUnits
	Word                 price.Amount // wordPolicyUnits; free
	ContentImage         price.Amount // contentPolicyImageUnits: one image, not a text unit
}

// CheckRates are list prices of InvokeGuardrailChecks, which has meters of its own, in nano-USD for one text unit of up to
// 1,000 characters.
type CheckRates struct {
	ContentFilter        price.Amount
	PromptAttack         price.Amount
	SensitiveInformation price.Amount
}

// TextUnitCharacters is how many characters one text unit of a guardrail holds at most.
const TextUnitCharacters = 1000

// ServiceDate is the day up to which the rates of this file hold. Sources: the AWS price list and user guide as public
// price tables repeat them, for us-east-1; prices by region are not known. No price is published for
// nova_code_interpreter.
const ServiceDate = "2026-11-28"

// Guardrails returns the rates of guardrails, whether ApplyGuardrail, guardrailConfig or an account enforces them. Source:
// 0.15, 0.15, 0.10, 0.10, 0.17 and 0 USD per 1,000 text units, 0.75 USD per 1,000 images; 2026-11-20.
func Guardrails() GuardrailRates {
	return GuardrailRates{
		Content: 150_000, Topic: 150_000, SensitiveInformation: 100_000, ContextualGrounding: 100_000, AutomatedReasoning: 170_000,
		ContentImage: 750_000,
	}
}

// GuardrailChecks returns the rates of InvokeGuardrailChecks. Source: 0.07, 0.08 and 0.10 USD per 1,000 text units;
// 2026-08-09.
func GuardrailChecks() CheckRates {
	return CheckRates{ContentFilter: 70_000, PromptAttack: 80_000, SensitiveInformation: 100_000}
}

// DearestGuardrailUnit returns what one text unit costs, in nano-USD, when every text policy evaluates it.
func DearestGuardrailUnit() price.Amount {
	r := Guardrails()
	return r.Content + r.Topic + r.SensitiveInformation + r.ContextualGrounding + r.AutomatedReasoning + r.Word
}

// DearestCheckUnit returns what one text unit costs, in nano-USD, when InvokeGuardrailChecks makes every check on it.
func DearestCheckUnit() price.Amount {
	r := GuardrailChecks()
	return r.ContentFilter + r.PromptAttack + r.SensitiveInformation
}
