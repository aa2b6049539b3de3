module github.com/bedrockguard/bedrockguard-go/internal/robustness

go 1.25.0

require (
	github.com/bedrockguard/bedrockguard-go v0.0.0
	github.com/bedrockguard/bedrockguard-go/budget/sqlitestore v0.0.0
)

replace (
	github.com/bedrockguard/bedrockguard-go => ../..
	github.com/bedrockguard/bedrockguard-go/budget/sqlitestore => ../../budget/sqlitestore
)
