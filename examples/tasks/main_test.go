package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

func answering(t *testing.T, tokens int) *bedrocktest.Server {
	return bedrocktest.New(t, bedrocktest.Options{Reply: func(bedrocktest.Request) bedrocktest.Reply { return bedrocktest.Reply{OutputTokens: tokens} }})
}

func TestTheProgramRuns(t *testing.T) {
	require.NoError(t, run(t.Context(), io.Discard))
}

// An agent without maxTokens uses at least 97 % of a dollar, whatever its answers are, and a quarter is no reason to refuse it.
func TestAnAgentUsesItsDollar(t *testing.T) {
	for _, tokens := range []int{200, 500, 1000} {
		t.Run(fmt.Sprint(tokens), func(t *testing.T) {
			server := answering(t, tokens)
			answers, said, err := agentLoop(t.Context(), server.Config(), 1)
			require.NoError(t, err)
			used := server.Bill().USD()
			t.Logf("%d answers of %d tokens at most, $%.4f of $1: %s", answers, tokens, used, said)
			require.GreaterOrEqual(t, used, 0.97)
			require.LessOrEqual(t, used, 1.0)
			require.Contains(t, said, "of 1 USD and stop here")
		})
	}
	server := answering(t, 500)
	answers, _, err := agentLoop(t.Context(), server.Config(), 0.25)
	require.NoError(t, err)
	t.Logf("$%.4f of $0.25 in %d answers", server.Bill().USD(), answers)
	require.Positive(t, answers)
	require.LessOrEqual(t, server.Bill().USD(), 0.25)
}

// callerIs is an STS that says who asks.
type callerIs string

func (c callerIs) GetCallerIdentity(context.Context, *sts.GetCallerIdentityInput, ...func(*sts.Options)) (*sts.GetCallerIdentityOutput, error) {
	return &sts.GetCallerIdentityOutput{Arn: aws.String(string(c))}, nil
}

func TestARoleHasOneBudgetForAllItsSessions(t *testing.T) {
	server, store := answering(t, 500), memstore.New(memstore.Options{})
	for _, session := range []string{"run-7", "run-8"} {
		client, err := forPrincipal(t.Context(), server.Config(), store, callerIs("arn:aws:sts::111122223333:assumed-role/ci/"+session))
		require.NoError(t, err)
		_, err = client.Converse(t.Context(), questions(1)[0])
		require.NoError(t, err)
	}
	require.Equal(t, server.Bill().NanoUSD, spentBy(t, store, budget.Limit{Name: "principal-month", Max: budget.USD(200), Window: budget.Monthly, Per: budget.PerPrincipal},
		budget.Scope{Principal: "arn:aws:iam::111122223333:role/ci"}))
}

// spentBy is what the account of a limit holds.
func spentBy(t *testing.T, store budget.Store, limit budget.Limit, scope budget.Scope) (nano int64) {
	ledger, err := budget.Open(t.Context(), store, budget.Policy{Limits: []budget.Limit{limit}})
	require.NoError(t, err)
	balances, err := ledger.Balances(t.Context(), scope)
	require.NoError(t, err)
	return balances[0].Settled.N
}

func TestAFamilyHasSoManyCallsADay(t *testing.T) {
	server := answering(t, 500)
	ledger, err := budget.Open(t.Context(), memstore.New(memstore.Options{}), family)
	require.NoError(t, err)
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{})
	require.NoError(t, err)
	client := guard.NewFromConfig(server.Config())
	for n, in := range questions(5) {
		in.ModelId = aws.String(opus)
		if n == 4 {
			in.ModelId = aws.String(sonnet)
		}
		_, err := client.Converse(t.Context(), in)
		if n == 3 {
			require.ErrorIs(t, err, budget.ErrExceeded)
			continue
		}
		require.NoError(t, err)
	}
}

func TestAPolicyFileIsFollowed(t *testing.T) {
	store, file := memstore.New(memstore.Options{}), filepath.Join(t.TempDir(), "policy.yaml")
	write := func(text string) error {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return publish(t.Context(), store, file, "raised")
	}
	require.NoError(t, write("limits: [{name: team, max: 3 USD, window: daily, per: 'tag:team'}]"))
	ctx, cancel := context.WithCancel(t.Context())
	ledger, ended, err := follow(ctx, store)
	require.NoError(t, err)
	require.ErrorContains(t, write("limits: [{name: team, max: 3 EUR, window: daily, per: 'tag:team'}]"), "line 1, column 28")
	require.Equal(t, budget.USD(3), ledger.Policy().Limits[0].Max)
	require.NoError(t, write("limits: [{name: team, max: 4 USD, window: daily, per: 'tag:team'}]"))
	require.Eventually(t, func() bool { return ledger.Policy().Limits[0].Max == budget.USD(4) }, 30*time.Second, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
}

func TestAProfileIsPricedAndLimited(t *testing.T) {
	const arn = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc123"
	server := bedrocktest.New(t, bedrocktest.Options{Names: map[string]string{arn: sonnet}})
	store := memstore.New(memstore.Options{})
	client, err := forProfiles(t.Context(), server.Config(), store, map[string]string{arn: sonnet})
	require.NoError(t, err)
	in := questions(1)[0]
	in.ModelId = aws.String(arn)
	_, err = client.Converse(t.Context(), in)
	require.NoError(t, err)
	require.InEpsilon(t, float64(server.Bill().NanoUSD)*0.925, spentBy(t, store, budget.Limit{Name: "profile-day", Max: budget.USD(5), Window: budget.Daily, Per: budget.PerProfile}, budget.Scope{Profile: arn}), 1e-6)
}

// What a rehearsal foretells is what enforcing does, call by call.
func TestARehearsalForetellsEachRefusal(t *testing.T) {
	server := answering(t, 500)
	traffic := questions(60)
	for n, in := range traffic { // some fit when others don't any more
		in.InferenceConfig.MaxTokens = aws.Int32(int32(300 + 97*n%700))
	}
	ledger, err := limited(t.Context(), 0.30)
	require.NoError(t, err)
	foretold, err := rehearse(t.Context(), server.Config(), ledger, traffic)
	require.NoError(t, err)

	ledger, err = limited(t.Context(), 0.30)
	require.NoError(t, err)
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{})
	require.NoError(t, err)
	client := guard.NewFromConfig(server.Config())
	var refused []int
	for n, in := range traffic {
		if _, err := client.Converse(t.Context(), in); err != nil {
			require.ErrorIs(t, err, budget.ErrExceeded)
			refused = append(refused, n)
		}
	}
	require.Equal(t, refused, foretold)
	require.NotEmpty(t, refused)
	require.Less(t, refused[0]+len(refused), len(traffic), "some fit behind the first refusal")
}

func TestMoneyThatGetsShortIsSpentOnACheaperModel(t *testing.T) {
	server := answering(t, 500)
	ledger, err := limited(t.Context(), 0.30)
	require.NoError(t, err)
	answered, err := degrade(t.Context(), server.Config(), ledger, questions(1000))
	require.ErrorIs(t, err, budget.ErrExceeded)
	bill := server.Bill()
	require.Equal(t, bill.Inferences, answered)
	require.Len(t, bill.ByModel, 2)
	require.LessOrEqual(t, bill.USD(), 0.30)
	require.GreaterOrEqual(t, bill.USD(), 0.97*0.30)
}

// countedStore counts the reservations that are tried.
type countedStore struct {
	budget.Store
	asked atomic.Int64
}

func (s *countedStore) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	s.asked.Add(1)
	return s.Store.Reserve(ctx, r)
}

// Fifty calls whose worst cases come to a dollar and a half are all served within fifty cents, because what they cost does fit, with few
// questions to the store.
func TestAFanOutOfFiftyIsServedWhole(t *testing.T) {
	for round := range 5 {
		server := answering(t, 500)
		store := &countedStore{Store: memstore.New(memstore.Options{})}
		ledger, err := budget.Open(t.Context(), store, budget.Policy{Limits: []budget.Limit{{Name: "run", Max: budget.USD(1), Window: budget.Lifetime}}})
		require.NoError(t, err)
		guard, err := patient(ledger)
		require.NoError(t, err)
		require.NoError(t, research(t.Context(), ledger, guard.NewFromConfig(server.Config()), questions(50)))
		require.NoError(t, guard.Close(t.Context()))
		require.Equal(t, 50, server.Bill().Inferences)
		require.LessOrEqual(t, store.asked.Load(), int64(3*50), "round %d", round)
		t.Logf("50 of 50 for $%.4f, %d reservations tried", server.Bill().USD(), store.asked.Load())
	}
}

func TestALedgerForgetsSingleCalls(t *testing.T) {
	now := time.Now()
	store, err := smallFile(t.Context(), filepath.Join(t.TempDir(), "spend.db"), func() time.Time { return now })
	require.NoError(t, err)
	defer store.Close()
	ledger, err := budget.Open(t.Context(), store, budget.Policy{Limits: []budget.Limit{{Name: "day", Max: budget.Calls(1000), Window: budget.Daily}}})
	require.NoError(t, err)
	calls := 0
	for day := range 2 * 9 {
		now = now.Add(12 * time.Hour)
		for range 5 {
			receipt, err := ledger.Reserve(t.Context(), budget.Request{Worst: budget.Charge{budget.UnitCalls: 1}})
			require.NoError(t, err)
			_, err = ledger.Settle(t.Context(), receipt, budget.Charge{budget.UnitCalls: 1}, false)
			require.NoError(t, err)
			calls++
		}
		_, err := store.Expire(t.Context(), 100) // as the Ledger has it done once a minute
		require.NoError(t, err, "half day %d", day)
	}
	remembered := 0
	for _, err := range ledger.Entries(t.Context(), budget.Query{}) {
		require.NoError(t, err)
		remembered++
	}
	require.InDelta(t, 2*7*5, remembered, 2*5, "of %d calls", calls)
}
