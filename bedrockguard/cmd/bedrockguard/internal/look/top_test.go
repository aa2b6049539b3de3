package look

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/seed"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

var topPolicy = budget.Policy{Limits: []budget.Limit{
	{Name: "workflow-day", Max: budget.USD(10), Window: budget.Daily, Per: budget.PerWorkflow},
	{Name: "all", Max: budget.USD(100), Window: budget.Daily},
}}

// deskOver opens a desk over a store in memory in which two workflows have spent.
func deskOver(t *testing.T) (*commandline.Desk, *budget.Ledger) {
	store := memstore.New(memstore.Options{})
	ledger, err := budget.Open(t.Context(), store, topPolicy)
	require.NoError(t, err)
	require.NoError(t, (&seed.Call{Scope: budget.Scope{Workflow: "nightly", Model: "m"}, USD: 2}).Make(t.Context(), ledger))
	require.NoError(t, (&seed.Call{Scope: budget.Scope{Workflow: "reviews", Model: "m"}, USD: 1}).Make(t.Context(), ledger))
	operator, err := budget.Operate(t.Context(), store)
	require.NoError(t, err)
	return &commandline.Desk{Operator: operator, Store: store, Who: "ada"}, ledger
}

// What is spent between two readings is the rate, and what is left at that rate the forecast.
func TestRatesAreWhatWasSpentBetweenTwoReadings(t *testing.T) {
	d, ledger := deskOver(t)
	before, err := readLedger(t.Context(), d, topPolicy)
	require.NoError(t, err)
	require.NoError(t, (&seed.Call{Scope: budget.Scope{Workflow: "nightly", Model: "m"}, USD: 3}).Make(t.Context(), ledger))
	now, err := readLedger(t.Context(), d, topPolicy)
	require.NoError(t, err)
	now.at = before.at.Add(30 * time.Second)

	v := compare(before, now)
	require.Equal(t, int64(6e9), v.Today.NanoUSD)
	require.InDelta(t, 360e9, v.Today.PerHour, 1, "3 USD in 30 seconds")
	require.Equal(t, "nightly", v.Workflows[0].Name)
	require.InDelta(t, 360e9, v.Workflows[0].PerHour, 1)
	require.Zero(t, v.Workflows[1].PerHour)
	require.Equal(t, "workflow-day", v.Limits[0].Limit, "the fullest one stands first")
	require.InDelta(t, 50, v.Limits[0].FullIn, 0.01, "5 USD are left, at 0.1 USD a second")

	shrunk := compare(now, &reading{at: now.at.Add(time.Second), standings: before.standings, workflows: before.workflows, models: before.models, total: before.total})
	require.Zero(t, shrunk.Today.PerHour, "nothing is foretold of a sum that began anew")
	require.Zero(t, shrunk.Limits[0].FullIn)
}

// keyboard has a screen told of keys, and runs what comes of them.
func keyboard(t *testing.T, s *screen, pressed ...tea.KeyPressMsg) {
	for _, k := range pressed {
		_, next := s.Update(k)
		if next != nil {
			s.Update(next())
		}
	}
	_ = t
}

func letter(r rune) tea.KeyPressMsg { return tea.KeyPressMsg{Code: r, Text: string(r)} }

// A kill from the screen asks first, and is one of what was selected.
func TestKillFromTheScreenAsks(t *testing.T) {
	d, _ := deskOver(t)
	s, err := newScreen(t.Context(), d, topPolicy, false)
	require.NoError(t, err)
	s.source.every = 0
	s.Update(tea.WindowSizeMsg{Width: 120, Height: 40})
	s.Update(s.look())
	require.Contains(t, s.View().Content, "nightly")
	require.Contains(t, s.View().Content, "up and down select")

	keyboard(t, s, letter('k'))
	require.Contains(t, s.View().Content, "Kill workflow=nightly in every process?")
	keyboard(t, s, letter('n'))
	kills, err := d.Kills(t.Context())
	require.NoError(t, err)
	require.Empty(t, kills, "any other key does not kill")

	keyboard(t, s, tea.KeyPressMsg{Code: tea.KeyDown}, letter('k'))
	require.Contains(t, s.View().Content, "Kill workflow=reviews")
	keyboard(t, s, letter('y'))
	kills, err = d.Kills(t.Context())
	require.NoError(t, err)
	require.Len(t, kills, 1)
	require.Equal(t, "reviews", kills[0].Scope.Workflow)
	require.Contains(t, s.View().Content, "killed: workflow=reviews")

	_, quit := s.Update(letter('q'))
	require.Equal(t, tea.QuitMsg{}, quit())
}

// A store that does not answer is told, and asked again.
func TestTheScreenOutlivesAnOutage(t *testing.T) {
	d, _ := deskOver(t)
	s, err := newScreen(t.Context(), d, topPolicy, false)
	require.NoError(t, err)
	s.source.every = 0
	require.NoError(t, d.Store.Close())
	failed := s.look()
	require.IsType(t, failedMsg{}, failed)
	_, again := s.Update(failed)
	require.NotNil(t, again, "it is asked again")
	require.Contains(t, s.View().Content, "no answer")
}

// Names that a terminal would obey do not reach it from the screen.
func TestTheScreenShowsNamesAsWhatTheyAre(t *testing.T) {
	d, ledger := deskOver(t)
	require.NoError(t, (&seed.Call{Scope: budget.Scope{Workflow: "\x1b[31mred\nline"}, USD: 1}).Make(t.Context(), ledger))
	_, err := d.Kill(t.Context(), budget.Scope{Workflow: "x\x1b[2J"}, "why\x1b]0;t\a")
	require.NoError(t, err)
	s, err := newScreen(t.Context(), d, topPolicy, false)
	require.NoError(t, err)
	s.source.every = 0
	s.Update(s.look())
	require.NotContains(t, s.View().Content, "\x1b")
	require.NotContains(t, s.View().Content, "\a")
}

// counted counts the steps that a store is asked for.
type counted struct {
	budget.Store
	mu    sync.Mutex
	steps []string
}

func (s *counted) step(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, name)
}

func (s *counted) Revision(ctx context.Context) (int64, error) {
	s.step("revision")
	return s.Store.Revision(ctx)
}

func (s *counted) Accounts(ctx context.Context, after budget.Key, most int) ([]budget.Account, error) {
	s.step("accounts")
	return s.Store.Accounts(ctx, after, most)
}

func (s *counted) Balances(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
	s.step("balances")
	return s.Store.Balances(ctx, lines)
}

func (s *counted) Kills(ctx context.Context) ([]budget.Kill, error) {
	s.step("kills")
	return s.Store.Kills(ctx)
}

func (s *counted) Usage(ctx context.Context, from driver.UsageMark, most int) ([]budget.UsageRow, error) {
	s.step("usage")
	return s.Store.Usage(ctx, from, most)
}

// A viewer asks the store for a step at a time, an interval apart, and for nothing that it knows.
func TestAViewerAsksForAStepAtATime(t *testing.T) {
	d, _ := deskOver(t)
	counting := &counted{Store: d.Store}
	source := &paced{Store: counting, every: 20 * time.Millisecond}
	watch, err := budget.Operate(t.Context(), source)
	require.NoError(t, err)
	counting.steps = nil
	viewer := &commandline.Desk{Operator: watch, Store: source}
	begun := time.Now()
	for range 5 {
		_, err := readLedger(t.Context(), viewer, topPolicy)
		require.NoError(t, err)
	}
	took := time.Since(begun)
	require.Equal(t, "accounts kills balances usage"+strings.Repeat(" balances usage", 4), strings.Join(counting.steps, " "))
	require.GreaterOrEqual(t, took, time.Duration(len(counting.steps)-1)*source.every, "one step in an interval")
}

// flagsLater is a store whose flags can't be read at first.
type flagsLater struct {
	budget.Store
	failures int
}

func (s *flagsLater) Kills(ctx context.Context) ([]budget.Kill, error) {
	if s.failures--; s.failures >= 0 {
		return nil, budget.ErrStore
	}
	return s.Store.Kills(ctx)
}

// Flags that could not be read are asked for again, and not taken for none.
func TestAViewerAsksAgainForFlags(t *testing.T) {
	d, _ := deskOver(t)
	require.NoError(t, d.Store.Kill(t.Context(), budget.Kill{Reason: "stop"}, storetest.NewChange()))
	source := &paced{Store: &flagsLater{Store: d.Store, failures: 1}, every: time.Millisecond}
	_, err := source.Accounts(t.Context(), budget.Key{}, 1)
	require.Error(t, err)
	_, err = source.Accounts(t.Context(), budget.Key{}, 1)
	require.NoError(t, err)
	kills, err := source.Kills(t.Context())
	require.NoError(t, err)
	require.Len(t, kills, 1)
}
