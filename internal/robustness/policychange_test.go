package robustness

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

const (
	policyTeams     = 200
	policyProcesses = 8
	policyVersions  = 3
)

// teamMaxima are the maxima of each team by one version of the policy, in nano-USD: enough for one to ten calls.
func teamMaxima(version int) []int64 {
	random := rand.New(rand.NewPCG(uint64(version), 200))
	maxima := make([]int64, policyTeams)
	for i := range maxima {
		maxima[i] = 600_000 + 1000*random.Int64N(3000)
	}
	return maxima
}

func teamName(n int) string { return fmt.Sprintf("team-%03d", n) }

// teamFile is the policy file of a version: one limit for each team, with a maximum of its own, and nothing for teams that nobody knows.
func teamFile(version int) []byte {
	var b strings.Builder
	b.WriteString("limits:\n  - name: team\n    max: 0 USD\n    window: lifetime\n    per: \"tag:team\"\n    max_for:\n")
	for n, max := range teamMaxima(version) {
		fmt.Fprintf(&b, "      - {match: {tags: {team: %s}}, max: %s}\n", teamName(n), price.Amount(max))
	}
	return []byte(b.String())
}

// policyJob is what a process that spends is told.
type policyJob struct {
	Process     int
	URL, Ledger string
}

const policyEnv = "BEDROCKGUARD_POLICY"

// watchedStore tells by which maximum each reservation is judged, whenever a team's is another one than before.
type watchedStore struct {
	budget.Store
	mu   sync.Mutex
	last map[string]int64
}

func (s *watchedStore) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range r.Lines {
		team, max := r.Lines[i].Scope.Tags["team"], r.Lines[i].Max
		if before, known := s.last[team]; !known || before != max {
			s.last[team] = max
			fmt.Println("max", team, max)
		}
	}
	return s.Store.Reserve(ctx, r)
}

// run spends on behalf of all teams by the policy that the store holds, until its input ends.
func (job policyJob) run() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	opened, err := backend.Open(ctx, job.Ledger, backend.Patient)
	if err != nil {
		return err
	}
	defer opened.Close()
	ledger, err := budget.Open(ctx, &watchedStore{Store: opened, last: make(map[string]int64)}, budget.Policy{})
	if err != nil {
		return err
	}
	following := make(chan error, 1)
	go func() { following <- ledger.FollowPolicy(ctx) }()
	guard, err := bedrockguard.New(ledger, bedrockguard.Options{StoreTimeout: time.Minute, SettleTimeout: time.Minute})
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	client := guard.NewFromConfig(childConfig(childJob{URL: job.URL, Complete: true}, http.DefaultTransport))
	err = spendForTeams(ctx, client, rand.New(rand.NewPCG(uint64(job.Process), 1)))
	return errors.Join(err, guard.Close(context.Background()), <-following)
}

// spendForTeams makes one call after the other, so that their order is known.
func spendForTeams(ctx context.Context, client *bedrockruntime.Client, random *rand.Rand) error {
	pace := time.NewTicker(2 * time.Millisecond)
	defer pace.Stop()
	for n := 1; ctx.Err() == nil; n++ {
		scope := budget.Scope{Tags: map[string]string{"team": teamName(random.IntN(policyTeams))}}
		// A call that has begun ends, so that it is settled.
		_, err := client.Converse(budget.WithScope(context.WithoutCancel(ctx), scope), &bedrockruntime.ConverseInput{
			ModelId: aws.String(haiku), Messages: userSays("What is a budget for?", false), InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(60)},
		})
		if err != nil && !errors.Is(err, budget.ErrExceeded) {
			return err
		}
		if n%25 == 0 {
			fmt.Println("turn")
		}
		<-pace.C
	}
	return nil
}

// teller is what the test knows of one process: by which maxima it has judged, and how far it is.
type teller struct {
	mu    sync.Mutex
	seen  map[string][]int64
	turns int
}

func (p *teller) listen(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var team string
		var max int64
		p.mu.Lock()
		if n, _ := fmt.Sscanf(lines.Text(), "max %s %d", &team, &max); n == 2 {
			p.seen[team] = append(p.seen[team], max)
		} else {
			p.turns++
		}
		p.mu.Unlock()
	}
}

// follows reports whether the process has judged a call by a version of the policy behind the first.
func (p *teller) follows(version int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, maxima := teamMaxima(version-1), teamMaxima(version)
	for n := range policyTeams {
		if seen := p.seen[teamName(n)]; len(seen) > 0 && seen[len(seen)-1] == maxima[n] && maxima[n] != before[n] {
			return true
		}
	}
	return false
}

func (p *teller) turned() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.turns
}

// A policy file of 200 teams, each with a maximum of its own, is exchanged twice while eight processes spend: no call is judged by anything but
// one of these policies, none by an older one than the call before it, and no team gets more than the policy says that is in force.
func TestAPolicyOfTwoHundredTeamsChangesUnderEightProcesses(t *testing.T) {
	backend.Each(t, backend.Named("sqlite"), func(t *testing.T, _ backend.Backend, s backend.Server) {
		server := bedrocktest.New(t, bedrocktest.Options{Reply: func(bedrocktest.Request) bedrocktest.Reply { return bedrocktest.Reply{OutputTokens: 50} }})
		address := s.NewLedger(t)
		operator, err := budget.Operate(t.Context(), backend.MustOpen(t, address))
		require.NoError(t, err)
		publish := func(version int) {
			before, err := operator.PolicyDocument(t.Context())
			require.NoError(t, err)
			require.NoError(t, operator.SetPolicyDocument(t.Context(), teamFile(version), before.Version, "next"))
		}
		publish(0)
		var processes [policyProcesses]teller
		var stops []func()
		for p := range processes {
			stops = append(stops, startForTeams(t, &processes[p], policyJob{p, server.URL(), address}))
		}
		all := func(what string, done func(p int) bool) {
			require.Eventually(t, func() bool {
				for p := range processes {
					if !done(p) {
						return false
					}
				}
				return true
			}, 2*time.Minute, 10*time.Millisecond, what)
		}
		more := func(turns int) {
			var before [policyProcesses]int
			for p := range processes {
				before[p] = processes[p].turned()
			}
			all("the processes go on", func(p int) bool { return processes[p].turned() >= before[p]+turns })
		}
		more(4)
		for version := 1; version < policyVersions; version++ {
			publish(version)
			all("the policy is followed", func(p int) bool { return processes[p].follows(version) })
		}
		ledger, err := budget.Open(t.Context(), backend.MustOpen(t, address), budget.Policy{})
		require.NoError(t, err)
		at := teamsHold(t, ledger)
		more(4)
		for _, stop := range stops {
			stop()
		}
		server.Close()
		checkTeams(t, &processes, at, teamsHold(t, ledger), server.Bill().NanoUSD)
	})
}

// startForTeams starts a process, and returns what lets it end.
func startForTeams(t *testing.T, p *teller, job policyJob) (stop func()) {
	p.seen = make(map[string][]int64)
	raw, err := json.Marshal(job)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), policyEnv+"="+string(raw))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	heard := make(chan struct{})
	go func() { p.listen(out); close(heard) }()
	return func() {
		require.NoError(t, in.Close())
		<-heard
		require.NoError(t, cmd.Wait())
	}
}

// teamsHold is what the ledger holds of each team, settled and pending.
func teamsHold(t *testing.T, ledger *budget.Ledger) []int64 {
	held := make([]int64, policyTeams)
	for n := range held {
		balances, err := ledger.Balances(t.Context(), budget.Scope{Tags: map[string]string{"team": teamName(n)}})
		require.NoError(t, err)
		held[n] = balances[0].Settled.N + balances[0].Pending.N
	}
	return held
}

// checkTeams holds what the processes went by, and what teams have got, against the policies.
func checkTeams(t *testing.T, processes *[policyProcesses]teller, at, end []int64, bill int64) {
	versions := make([][]int64, policyVersions)
	for v := range versions {
		versions[v] = teamMaxima(v)
	}
	judged, grown, sum := 0, 0, int64(0)
	for n := range policyTeams {
		for p := range processes {
			version := 0
			for _, max := range processes[p].seen[teamName(n)] {
				for version < policyVersions && versions[version][n] != max {
					version++
				}
				require.Less(t, version, policyVersions, "process %d, %s: %s is in no policy, or in one that was replaced", p, teamName(n), price.Amount(max))
				judged++
			}
		}
		last := versions[policyVersions-1][n]
		require.LessOrEqual(t, end[n], max(last, at[n]), "%s, when all went by the last policy", teamName(n))
		require.LessOrEqual(t, end[n], max(versions[0][n], versions[1][n], last), teamName(n))
		if end[n] > versions[0][n] {
			grown++
		}
		sum += end[n]
	}
	require.LessOrEqual(t, bill, sum, "the bill is in the ledger")
	require.Positive(t, grown, "teams that were given more use it")
	t.Logf("%d teams, %d processes, %d policies: %d maxima told, %d teams beyond their first maximum, bill %s, ledger %s", policyTeams, policyProcesses, policyVersions,
		judged, grown, price.Amount(bill), price.Amount(sum))
}
