package robustness

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// backWithin is how soon after the end of a gap a step must be answered again.
const backWithin = 2 * time.Second

// TestANetworkThatIsCutUndoesNothing takes the link down between a process, in a network namespace of its own, and the server,
// while the process does steps and repeats each until it is answered. ROBUSTNESS_GAPS says how often, for 0.5 to 8 seconds.
func TestANetworkThatIsCutUndoesNothing(t *testing.T) {
	gaps := size(t, "ROBUSTNESS_GAPS", 2)
	for _, b := range backend.Selected() {
		if b.StartAt == nil {
			continue
		}
		t.Run(b.Name, func(t *testing.T) {
			l := newLink(t)
			s := b.StartAt(t, l.host)
			address := s.NewLedger(t)
			_, port, err := net.SplitHostPort(s.(backend.Networked).HostPort())
			require.NoError(t, err)
			cut := &cutRun{link: l, random: rand.New(rand.NewPCG(uint64(gaps), 79))}
			cut.run(t, cutOffJob{Ledger: address, Via: net.JoinHostPort(l.host, port), Seed: uint64(gaps), Steps: 500}, gaps)
			cut.verify(t, backend.MustOpen(t, address))
			t.Logf("%d steps, %d tries had failed, %d gaps: back within %s", len(cut.acks), cut.failed, gaps, cut.back)
			require.LessOrEqual(t, slices.Max(cut.back), backWithin)
		})
	}
}

// link is a pair of interfaces, one of which is in a namespace of its own.
type link struct{ space, near, host string }

// newLink makes a namespace that reaches this one over one link.
func newLink(t *testing.T) *link {
	if os.Geteuid() != 0 {
		t.Skip("a network namespace can't be made: only root may")
	}
	n := os.Getpid()
	l := &link{space: fmt.Sprintf("bedrockguard-%d", n), near: fmt.Sprintf("bgn%d", n), host: fmt.Sprintf("10.211.%d.1", n%256)}
	far := fmt.Sprintf("bgf%d", n)
	if err := ip("netns", "add", l.space); err != nil {
		t.Skip("a network namespace can't be made:", err)
	}
	t.Cleanup(func() { _ = errors.Join(ip("link", "del", l.near), ip("netns", "del", l.space)) })
	for _, args := range []string{
		"link add " + l.near + " type veth peer name " + far + " netns " + l.space,
		"addr add " + l.host + "/24 dev " + l.near,
		"link set " + l.near + " up",
		"-n " + l.space + " addr add " + strings.TrimSuffix(l.host, "1") + "2/24 dev " + far,
		"-n " + l.space + " link set " + far + " up",
	} {
		require.NoError(t, ip(strings.Fields(args)...))
	}
	return l
}

func (l *link) set(state string) error { return ip("link", "set", l.near, state) }

// ipProgram finds ip where users have no folder of administrators in their PATH, too.
func ipProgram() string {
	if path, err := exec.LookPath("ip"); err == nil {
		return path
	}
	return "/usr/sbin/ip"
}

func ip(args ...string) error {
	out, err := exec.Command(ipProgram(), args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// ack is a step that was acknowledged to the process that was cut off.
type ack struct {
	Worker int
	Kind   string
	ID     budget.ID
	Amount int64
	Tries  int
	At     time.Time
}

// cutRun is a process whose link is taken down, and what was acknowledged to it.
type cutRun struct {
	link   *link
	random *rand.Rand
	acks   []ack
	failed int
	back   []time.Duration // of each gap, from its end to the first acknowledgement
}

// run starts the process, and takes the link down when it has come to steps that are drawn.
func (c *cutRun) run(t *testing.T, job cutOffJob, gaps int) {
	raw, err := json.Marshal(job)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), ipProgram(), "netns", "exec", c.link.space, os.Args[0])
	cmd.Env = append(os.Environ(), cutOffEnv+"="+string(raw))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	acks := make(chan ack, job.Steps)
	go func() { // ends with the process
		defer close(acks)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var a ack
			if json.Unmarshal(lines.Bytes(), &a) == nil {
				acks <- a
			}
		}
	}()
	at := c.random.Perm(job.Steps - 50)[:gaps]
	slices.Sort(at)
	for a := range acks {
		c.acks = append(c.acks, a)
		c.failed += a.Tries - 1
		if len(at) > 0 && len(c.acks) > at[0] {
			at = at[1:]
			c.gap(t, acks, gapLength(gaps-len(at)-1, gaps))
		}
	}
	require.NoError(t, cmd.Wait())
	require.Len(t, c.acks, job.Steps)
	require.Len(t, c.back, gaps)
}

// gapLength spreads the lengths of gaps from 0.5 to 8 seconds.
func gapLength(i, of int) time.Duration {
	const shortest, longest = 500 * time.Millisecond, 8 * time.Second
	return shortest + (longest-shortest)*time.Duration(i)/time.Duration(max(of-1, 1))
}

func (c *cutRun) gap(t *testing.T, acks <-chan ack, length time.Duration) {
	require.NoError(t, c.link.set("down"))
	<-time.After(length)
	require.NoError(t, c.link.set("up"))
	ended := time.Now()
	for a := range acks {
		c.acks = append(c.acks, a)
		c.failed += a.Tries - 1
		if a.At.After(ended) {
			back := a.At.Sub(ended).Round(time.Millisecond)
			c.back = append(c.back, back)
			return
		}
	}
}

// verify requires that the ledger is as it was acknowledged last.
func (c *cutRun) verify(t *testing.T, s budget.Store) {
	want := make(map[budget.ID]ack)
	overrides, killed := make(map[int]int64), make(map[string]bool)
	for _, a := range c.acks {
		switch a.Kind {
		case "override":
			overrides[a.Worker] = a.Amount
		case "kill", "revive":
			killed[cutOffScope(a.Worker).Workflow] = a.Kind == "kill"
		default:
			want[a.ID] = a
		}
	}
	entries, err := s.Entries(t.Context(), budget.Query{Max: 10_000})
	require.NoError(t, err)
	require.Len(t, entries, len(want))
	states := map[string]driver.State{"reserve": driver.Pending, "settle": driver.Settled, "void": driver.Voided, "correct": driver.Settled}
	for _, e := range entries {
		a := want[e.ID]
		require.Equal(t, states[a.Kind], e.State, a.Kind)
		require.False(t, e.Orphan)
		if e.State == driver.Settled {
			require.Equal(t, a.Amount, e.Actual[budget.UnitUSD], a.Kind)
		}
	}
	for worker, most := range overrides {
		b, err := s.Balances(t.Context(), []driver.Line{cutOffLine(worker, 2)})
		require.NoError(t, err)
		require.Equal(t, most, b[0].Max, "an override was undone")
	}
	kills, err := s.Kills(t.Context())
	require.NoError(t, err)
	for workflow, on := range killed {
		is := slices.ContainsFunc(kills, func(k budget.Kill) bool { return k.Scope.Workflow == workflow })
		require.Equal(t, on, is, "the flag of %s", workflow)
	}
}

// cutOffEnv holds the job of a process that is cut off.
const cutOffEnv = "ROBUSTNESS_CUT_OFF"

type cutOffJob struct {
	Ledger, Via string
	Seed        uint64
	Steps       int
}

// cutOffWorkers share the steps. Each has accounts and a flag of its own.
const cutOffWorkers = 4

func cutOffScope(worker int) budget.Scope {
	return budget.Scope{Workflow: fmt.Sprintf("worker-%d", worker)}
}

func cutOffLine(worker int, n byte) driver.Line {
	return driver.Line{Account: budget.Key{byte(worker + 1), n}, Unit: budget.UnitUSD, Window: budget.Lifetime, Max: 1 << 40}
}

func (j *cutOffJob) run(ctx context.Context, out io.Writer) error {
	store, err := backend.Open(ctx, j.Ledger, func(o *backend.Options) { o.Via = j.Via })
	if err != nil {
		return err
	}
	defer store.Close()
	acks, errs := make(chan ack), make(chan error, cutOffWorkers)
	for worker := range cutOffWorkers {
		w := &cutOffWorker{n: worker, store: store, random: rand.New(rand.NewPCG(j.Seed, uint64(worker)))}
		go func() { // ends after its steps, or with the process
			for range j.Steps / cutOffWorkers {
				a, err := w.step(ctx)
				if err != nil {
					errs <- err
					return
				}
				acks <- a
			}
		}()
	}
	encoder := json.NewEncoder(out)
	for range j.Steps / cutOffWorkers * cutOffWorkers {
		select {
		case a := <-acks:
			if err := encoder.Encode(a); err != nil {
				return err
			}
		case err := <-errs:
			return err
		}
	}
	return nil
}

type cutOffWorker struct {
	n                int
	store            budget.Store
	random           *rand.Rand
	pending, settled []driver.Reservation
}

// step does one step until it is answered.
func (w *cutOffWorker) step(ctx context.Context) (a ack, err error) {
	kind, do := w.draw()
	a = ack{Worker: w.n, Kind: kind}
	if kind != "reserve" && kind != "settle" && kind != "void" { // a change says what it has seen
		var seen int64
		for seen, err = w.store.Revision(ctx); err != nil; seen, err = w.store.Revision(ctx) {
		}
		c := driver.Change{ID: driver.NewID(), Seen: seen, Operator: "ada"}
		return w.repeat(a, func(a *ack) error { return do(ctx, a, c) })
	}
	return w.repeat(a, func(a *ack) error { return do(ctx, a, driver.Change{}) })
}

func (w *cutOffWorker) repeat(a ack, do func(*ack) error) (ack, error) {
	for {
		a.Tries++
		err := do(&a)
		for _, own := range []error{driver.ErrIDConflict, driver.ErrResolved, budget.ErrNotFound, budget.ErrSuperseded, budget.ErrLost, errRefused} {
			if errors.Is(err, own) {
				return a, fmt.Errorf("%s, try %d: %w", a.Kind, a.Tries, err)
			}
		}
		if err == nil {
			a.At = time.Now()
			return a, nil
		}
	}
}

var errRefused = errors.New("a reservation was refused")

// draw picks a step that the worker's reservations allow.
func (w *cutOffWorker) draw() (string, func(context.Context, *ack, driver.Change) error) {
	n := w.random.IntN(10)
	amount := 1 + w.random.Int64N(100)
	switch {
	case n < 2 && len(w.pending) > 0:
		r := w.pending[0]
		w.pending, w.settled = w.pending[1:], append(w.settled, r)
		return "settle", func(ctx context.Context, a *ack, _ driver.Change) error {
			a.ID, a.Amount = r.ID, amount
			s := driver.Settlement{ID: r.ID, Owner: r.Owner, Lines: r.Lines}
			s.Actual[budget.UnitUSD] = amount
			_, err := w.store.Settle(ctx, s)
			return err
		}
	case n == 2 && len(w.pending) > 0:
		r := w.pending[0]
		w.pending = w.pending[1:]
		return "void", func(ctx context.Context, a *ack, _ driver.Change) error {
			a.ID = r.ID
			return w.store.Void(ctx, r.ID, r.Owner)
		}
	case n == 3 && len(w.settled) > 0:
		r := w.settled[w.random.IntN(len(w.settled))]
		return "correct", func(ctx context.Context, a *ack, c driver.Change) error {
			a.ID, a.Amount = r.ID, amount
			var actual budget.Charge
			actual[budget.UnitUSD] = amount
			_, err := w.store.Correct(ctx, driver.Correction{ID: r.ID, Actual: actual, Change: c})
			return err
		}
	case n == 4:
		return "override", func(ctx context.Context, a *ack, c driver.Change) error {
			a.Amount = amount
			return w.store.Override(ctx, cutOffLine(w.n, 2).Account, &budget.Override{Max: amount, Until: time.Now().Add(time.Hour)}, c)
		}
	case n == 5:
		return "kill", func(ctx context.Context, _ *ack, c driver.Change) error {
			return w.store.Kill(ctx, budget.Kill{Scope: cutOffScope(w.n), Reason: "stop"}, c)
		}
	case n == 6:
		return "revive", func(ctx context.Context, _ *ack, c driver.Change) error {
			return w.store.Revive(ctx, budget.Flag{Scope: cutOffScope(w.n)}, c)
		}
	}
	r := driver.Reservation{ID: driver.NewID(), Owner: budget.Key{1}, Lines: []driver.Line{cutOffLine(w.n, 1)}, TTL: time.Hour}
	r.Charge[budget.UnitUSD] = amount
	w.pending = append(w.pending, r)
	return "reserve", func(ctx context.Context, a *ack, _ driver.Change) error {
		a.ID, a.Amount = r.ID, amount
		d, err := w.store.Reserve(ctx, r)
		if err == nil && !d.Admitted {
			err = errRefused
		}
		return err
	}
}
