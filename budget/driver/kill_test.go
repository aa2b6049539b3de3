package driver

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKillHoldsForWhoeverHasAllItsValues(t *testing.T) {
	call := Scope{Principal: "ci", Workflow: "nightly", Model: "m", Tags: map[string]string{"team": "core"}}
	for _, s := range []Scope{{}, {Workflow: "nightly"}, {Principal: "ci", Model: "m"}, {Tags: map[string]string{"team": "core"}}, call} {
		require.True(t, Kill{Scope: s}.Holds(call), "%s", s)
	}
	for _, s := range []Scope{{Workflow: "nightl"}, {Principal: "nightly"}, {Workflow: "nightly", Principal: "x"}, {Tags: map[string]string{"team": "x"}}} {
		require.False(t, Kill{Scope: s}.Holds(call), "%s", s)
	}
}
