package bedrockguard

// The features that FlatPrices can price by name, besides those that a tool's type names.
const (
	featureGuardrail  = "guardrail"
	featureSystemTool = "system_tool"
)
