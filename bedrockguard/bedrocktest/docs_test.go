package bedrocktest_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the page shows is what is run: each example of it stands here word for word, in fewer than 15 lines beside its frame.
func TestPageShowsTheExamples(t *testing.T) {
	page, err := os.ReadFile("../../docs/testing.md")
	require.NoError(t, err)
	source, err := os.ReadFile("agents_example_test.go")
	require.NoError(t, err)
	shown := 0
	for _, part := range strings.Split(string(page), "```go\n")[1:] {
		code, _, _ := strings.Cut(part, "```")
		if !strings.HasPrefix(code, "func Example") {
			continue
		}
		shown++
		require.Contains(t, string(source), code)
		lines := strings.Split(strings.TrimSpace(code), "\n")
		require.Less(t, len(lines)-2, 15, code)
	}
	require.Equal(t, 4, shown)
}
