// Package iamtest uses an IAM policy evaluator of another project in tests. It is not part of bedrockguard: .ci/install-clients installs it,
// by the versions in simulate/package-lock.json, into the user's cache folder.
package iamtest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Ask passes cases to the other evaluator, as simulate/simulate.mjs describes them, and reads its answers. If it is not installed the test
// is skipped with a message; in CI the test fails.
func Ask(t *testing.T, cases, answers any) {
	t.Helper()
	cache, _ := os.UserCacheDir()
	script := filepath.Join(cache, "bedrockguard", "clients", "iam", "simulate.mjs")
	node, missing := exec.LookPath("node")
	if missing == nil {
		_, missing = os.Stat(script)
	}
	if missing != nil && os.Getenv("CI") == "true" {
		require.NoError(t, missing, "the evaluator of others is not installed: .ci/install-clients does that")
	}
	if missing != nil {
		t.Skip("the evaluator of others is not installed: .ci/install-clients does that")
	}
	in, err := json.Marshal(cases)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), node, script)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	require.NoError(t, json.Unmarshal(out, answers))
}

// Evaluate is a case for the other evaluator: a request of a principal of Account, under documents of each kind.
type Evaluate struct {
	Action   string            `json:"action"`
	Resource string            `json:"resource"`
	Account  string            `json:"account"`
	Context  map[string]any    `json:"context"`
	Identity []json.RawMessage `json:"identity"`
	Boundary []json.RawMessage `json:"boundary,omitempty"`
	SCP      []json.RawMessage `json:"scp,omitempty"`
}

// Validate is a case: a document of a kind, as iam.Kind names it.
type Validate struct {
	Kind   string          `json:"kind"`
	Policy json.RawMessage `json:"policy"`
}

// Case is what is passed to the other evaluator. Exactly one field is set; Action asks for the condition keys of an action.
type Case struct {
	Evaluate *Evaluate `json:"evaluate,omitempty"`
	Validate *Validate `json:"validate,omitempty"`
	Action   string    `json:"action,omitempty"`
}
