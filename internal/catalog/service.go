package catalog

import (
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// GuardrailRates are list prices of Bedrock Guardrails, in nano-USD for one unit. A text unit is up to 1,000 characters. Each policy that
// evaluates a text bills it separately, and so do the evaluations of input and output. The comment on each field names the field of an
// answer's usage that counts its units.
type GuardrailRates struct {
	Content              price.Amount // contentPolicyUnits
	Topic                price.Amount // topicPolicyUnits
	SensitiveInformation price.Amount // sensitiveInformationPolicyUnits; the sensitiveInformationPolicyFreeUnits, by patterns alone, cost nothing
	ContextualGrounding  price.Amount // contextualGroundingPolicyUnits
	AutomatedReasoning   price.Amount // automatedReasoningPolicyUnits
	Word                 price.Amount // wordPolicyUnits; free
	ContentImage         price.Amount // contentPolicyImageUnits: one image, not a text unit
}

// CheckRates are list prices of InvokeGuardrailChecks, which is metered differently, in nano-USD for one text unit of up to 1,000
// characters.
type CheckRates struct {
	ContentFilter        price.Amount
	PromptAttack         price.Amount
	SensitiveInformation price.Amount
}

// TextUnitCharacters is the largest number of characters in one text unit of a guardrail.
const TextUnitCharacters = 1000

// ServiceDate is the day on which the rates of this file were last checked. Sources: the AWS price list and user guide, as public price
// tables quote them, for us-east-1; prices by region are not known. No price is published for nova_code_interpreter.
const ServiceDate = "2026-11-28"

// Guardrails returns the rates of guardrails, for ApplyGuardrail, guardrailConfig and guardrails that an account enforces. Source: 0.15,
// 0.15, 0.10, 0.10, 0.17 and 0 USD per 1,000 text units, 0.75 USD per 1,000 images; 2026-11-20.
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

// DearestGuardrailUnit returns the price, in nano-USD, of one text unit that every text policy evaluates.
func DearestGuardrailUnit() price.Amount {
	r := Guardrails()
	return r.Content + r.Topic + r.SensitiveInformation + r.ContextualGrounding + r.AutomatedReasoning + r.Word
}

// DearestCheckUnit returns the price, in nano-USD, of one text unit for which InvokeGuardrailChecks makes every check.
func DearestCheckUnit() price.Amount {
	r := GuardrailChecks()
	return r.ContentFilter + r.PromptAttack + r.SensitiveInformation
}
