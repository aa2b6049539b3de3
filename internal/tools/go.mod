module github.com/bedrockguard/bedrockguard-go/internal/tools

go 1.26.0

tool mvdan.cc/gofumpt

require (
	github.com/stretchr/testify v1.12.1
	golang.org/x/mod v0.43.0
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sync v0.25.0 // indirect
	golang.org/x/tools v0.52.0 // indirect
	mvdan.cc/gofumpt v0.12.0 // indirect
)
