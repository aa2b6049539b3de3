package robustness

import (
	"flag"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// size reads how much of a test to run from the environment.
func size(t *testing.T, variable string, otherwise int) int {
	raw := os.Getenv(variable)
	if raw == "" {
		return otherwise
	}
	n, err := strconv.Atoi(raw)
	require.NoError(t, err, variable)
	return n
}

// setWalks tells rapid how often to check, unless the command line does.
func setWalks(t *testing.T, otherwise int) {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		require.NoError(t, flag.Set("rapid.checks", strconv.Itoa(size(t, "ROBUSTNESS_WALKS", otherwise))))
	}
}
