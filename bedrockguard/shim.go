package bedrockguard

import (
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

func dearestTextUnit() budget.Amount                 { return 670_000 }
func imageUnit() budget.Amount                       { return 750_000 }
func policyPrice(u wire.GuardrailUnit) budget.Amount { return 150_000 }
