package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOneCallPasses(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out))
	require.Equal(t, "200 OK \n402 Payment Required team\n", out.String())
}
