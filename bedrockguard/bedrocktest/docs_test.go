package bedrocktest_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An example that a page shows is short: fewer than 15 lines beside its frame. That it is run is checked for all pages at the root.
func TestExamplesOfThePageAreShort(t *testing.T) {
	page, err := os.ReadFile("../../docs/testing.md")
	require.NoError(t, err)
	shown := 0
	for _, part := range strings.Split(string(page), "```go\n")[1:] {
		code, _, _ := strings.Cut(part, "```")
		if !strings.HasPrefix(code, "func Example") {
			continue
		}
		shown++
		lines := strings.Split(strings.TrimSpace(code), "\n")
		require.Less(t, len(lines)-2, 15, code)
	}
	require.Equal(t, 4, shown)
}
