package servers

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPrometheusStartsAndEnds(t *testing.T) {
	p, err := StartPrometheus(t.TempDir(), "127.0.0.1:1")
	Require(t, err)
	require.NoError(t, p.answers(t.Context()))
	require.NoError(t, p.Stop())
	require.Error(t, p.answers(t.Context()))
}
