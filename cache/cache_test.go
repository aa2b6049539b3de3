package cache

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPolicyRefusesUnknownModes(t *testing.T) {
	for m := Off; m <= Refuse; m++ {
		require.NoError(t, Policy{Mode: m}.Validate())
	}
	require.ErrorContains(t, Policy{Mode: Refuse + 1}.Validate(), "unknown mode")
	require.Equal(t, []string{"off", "refuse", "mode(9)"}, []string{Off.String(), Refuse.String(), Mode(9).String()})
}

func TestRefusedErrorNamesTheFirstFinding(t *testing.T) {
	err := fmt.Errorf("wrapped: %w", &RefusedError{Findings: []Finding{{Rule: "no-point", Where: "system[0]", Detail: "add a cache point"}, {}}})
	require.ErrorIs(t, err, ErrRefused)
	var refused *RefusedError
	require.True(t, errors.As(err, &refused))
	require.Equal(t, "cache: call refused: no-point at system[0]: add a cache point (and 1 more findings)", refused.Error())
	require.Equal(t, "cache: call refused", (&RefusedError{}).Error())
	info, known := Rule("uncached-tail").Info()
	require.True(t, known)
	tail := RefusedError{Findings: []Finding{{Rule: "uncached-tail"}}}
	require.Equal(t, 1, strings.Count(tail.Error(), info.Advice), "what to do is said once")
	require.False(t, refused.RetryableError())
}
