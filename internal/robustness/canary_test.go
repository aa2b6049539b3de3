package robustness

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

// No prompt text is in the ledger's files. Scopes are: as values, which tell whose money it was.
func TestNoPromptTextInTheStoreFiles(t *testing.T) {
	const canary = "c4n4ry-5d1e8b"
	server := bedrocktest.New(t, bedrocktest.Options{Faults: bedrocktest.RandomFaults(3, 0.3)})
	path := filepath.Join(t.TempDir(), "spend.db")
	store, err := sqlitestore.Open(t.Context(), path, sqlitestore.Options{Create: true})
	require.NoError(t, err)
	ledger, err := budget.Open(t.Context(), store, policy(1))
	require.NoError(t, err)
	guard, err := newGuard(ledger, childJob{LimitUSD: 1})
	require.NoError(t, err)
	ctx := budget.WithScope(t.Context(), budget.Scope{Principal: "ci", Workflow: "nightly"})
	random := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		client := guard.NewFromConfig(server.Config())
		_, _ = client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(opus), Messages: userSays(canary+prompt(random), true)})
		_, _ = client.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: aws.String(haiku), Body: anthropicBody(canary, 100)})
	}
	require.Positive(t, server.Bill().Inferences)
	files, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		require.False(t, bytes.Contains(raw, []byte(canary)), file)
	}
	require.NoError(t, store.Close())
}
