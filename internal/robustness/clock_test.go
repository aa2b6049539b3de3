package robustness

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// The moments at which clocks are known to do something.
var edges = map[string]time.Time{
	"hour":                      time.Date(2026, 3, 10, 13, 0, 0, 0, time.UTC),
	"day":                       time.Date(2026, 3, 11, 0, 0, 0, 0, time.UTC),
	"month":                     time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC),
	"leap day":                  time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC),
	"31 bits of seconds":        time.Date(2038, 1, 19, 3, 14, 8, 0, time.UTC),
	"clocks go forth in Berlin": time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC),
	"clocks go back in Berlin":  time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC),
}

// TestWindowsHoldWhileTheClockJumps lets callers reserve and settle while the store's clock crosses an edge, back and
// forth: by steps of a second, an hour and a day. What is booked in a window, by the time at which it was reserved, must
// never exceed the limit, however often the window was left and entered again.
func TestWindowsHoldWhileTheClockJumps(t *testing.T) {
	backend.Each(t, nil, func(t *testing.T, _ backend.Backend, s backend.Server) {
		for name, edge := range edges {
			t.Run(name, func(t *testing.T) { crossEdge(t, s, edge) })
		}
	})
}

const (
	edgeWorkers = 6
	edgeSteps   = 15
)

// crossing is one run about an edge.
type crossing struct {
	edge   time.Time
	clock  *storetest.Clock
	stores []budget.Store
	lines  []driver.Line

	mu     sync.Mutex
	booked map[budget.ID][]driver.Line
}

func crossEdge(t *testing.T, server backend.Server, edge time.Time) {
	c := &crossing{edge: edge, clock: storetest.NewClock(edge.Add(-time.Second)), lines: edgeLines(t), booked: make(map[budget.ID][]driver.Line)}
	address := server.NewLedger(t)
	for range 2 {
		c.stores = append(c.stores, backend.MustOpen(t, address, func(o *backend.Options) { o.Clock, o.Relaxed = c.clock.Now, true }))
	}
	errs := make(chan error, edgeWorkers)
	var workers sync.WaitGroup
	for w := range edgeWorkers {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), uint64(edge.Unix())))
			for range edgeSteps {
				if w == 0 {
					c.jump(random)
				}
				if err := c.spend(t.Context(), random); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	workers.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	entries, err := c.stores[0].Entries(t.Context(), budget.Query{Max: 10_000})
	require.NoError(t, err)
	require.NotEmpty(t, entries)
	for _, l := range c.lines {
		c.holds(t, l, entries)
	}
}

// edgeLines are limits so tight that every window fills up.
func edgeLines(t *testing.T) []driver.Line {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	windows := []budget.Window{budget.Hourly, budget.Daily, budget.Daily.In(berlin), budget.Monthly, budget.Rolling(time.Hour), budget.Rolling(90 * time.Second)}
	lines := make([]driver.Line, len(windows))
	for i, w := range windows {
		lines[i] = driver.Line{Account: budget.Key{byte(i + 1)}, Unit: budget.UnitUSD, Window: w, Max: int64(20 + 4*i)}
	}
	return lines
}

// jump moves the clock about the edge, and now and then far away from it.
func (c *crossing) jump(random *rand.Rand) {
	steps := []time.Duration{-24 * time.Hour, -time.Hour, -2 * time.Second, -time.Second, -1, 0, 1, time.Second, time.Minute, time.Hour, 24 * time.Hour}
	c.clock.Set(c.edge.Add(steps[random.IntN(len(steps))]))
}

// spend reserves in some of the lines, and settles for as much, voids or leaves it.
func (c *crossing) spend(ctx context.Context, random *rand.Rand) error {
	s := c.stores[random.IntN(len(c.stores))]
	r := driver.Reservation{ID: driver.NewID(), Owner: budget.Key{1}, TTL: 1000 * time.Hour}
	r.Charge[budget.UnitUSD] = 1 + random.Int64N(6)
	for _, l := range c.lines {
		if random.IntN(2) == 0 {
			r.Lines = append(r.Lines, l)
		}
	}
	d, err := s.Reserve(ctx, r)
	if err != nil || !d.Admitted {
		return err
	}
	c.mu.Lock()
	c.booked[r.ID] = r.Lines
	c.mu.Unlock()
	switch random.IntN(4) {
	case 0:
		return s.Void(ctx, r.ID, r.Owner)
	case 1:
		return nil
	default:
		_, err = s.Settle(ctx, driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: r.Charge, Lines: r.Lines})
		return err
	}
}

// holds adds up what is booked in each window of a line, from the entries.
func (c *crossing) holds(t *testing.T, l driver.Line, entries []budget.Entry) {
	var buckets []driver.Bucket
	for _, e := range entries {
		if !slices.ContainsFunc(c.booked[e.ID], func(b driver.Line) bool { return b.Account == l.Account }) {
			continue
		}
		used := e.Actual[l.Unit]
		if e.State == driver.Pending {
			used = e.Reserved[l.Unit]
		}
		buckets = append(buckets, driver.Bucket{Start: e.ReservedAt.UnixNano(), Used: used})
	}
	for _, last := range buckets {
		sum, span := int64(0), l.Window.At(time.Unix(0, last.Start))
		for _, b := range buckets {
			if start := l.Window.At(time.Unix(0, b.Start)).Start; start >= span.Since && start <= span.Start {
				sum += b.Used
			}
		}
		require.LessOrEqual(t, sum, l.Max, "%s, the window of %s", l.Window, time.Unix(0, last.Start).UTC())
	}
}
