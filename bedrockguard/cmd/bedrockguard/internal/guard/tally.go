package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// tally adds up what a run did, from the guard's events. It is safe for concurrent use.
type tally struct {
	mu       sync.Mutex
	calls    int64
	refused  int64
	stopped  bool         // a call was refused by the budget, a kill or a brake
	spent    price.Amount // sum of the posted amounts
	saved    price.Amount // by reading from the cache, minus the extra cost of writing to it
	lastText string       // of the last refusal
}

// listen adds an event of the guard. A call that could not be settled was charged its worst case.
func (t *tally) listen(_ context.Context, e bedrockguard.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.Kind {
	case bedrockguard.EventSettled, bedrockguard.EventUnsettled:
		t.calls++
		posted := e.Actual
		if e.Kind == bedrockguard.EventUnsettled {
			posted = e.Worst
		}
		t.spent += price.Amount(posted[budget.UnitUSD])
		// What an estimated call has used is not known, so that it saves nothing here.
		if !e.Estimated {
			t.saved += saved(e)
		}
	case bedrockguard.EventDenied, bedrockguard.EventKilled:
		t.refused++
		if e.Err != nil {
			t.lastText = e.Err.Error()
		}
		t.stopped = t.stopped || errors.Is(e.Err, budget.ErrExceeded) || errors.Is(e.Err, budget.ErrKilled) || errors.Is(e.Err, bedrockguard.ErrLooping)
	}
}

// saved returns how much less a call cost at list price than without a cache; it is negative if more was written to the cache than reading from
// it saved.
func saved(e bedrockguard.Event) price.Amount {
	list, _, err := bedrockguard.ModelFacts(e.Model, e.Region)
	if err != nil {
		return 0
	}
	// InputTokens include those that were read from the cache or written to it; here all of them cost what plain input costs.
	plain := price.Usage{InputTokens: e.Usage.InputTokens, OutputTokens: e.Usage.OutputTokens}
	without, err := list.Cost(plain, price.TierStandard)
	if err != nil {
		return 0
	}
	with, err := list.Cost(e.Usage, price.TierStandard)
	if err != nil {
		return 0
	}
	return without - with
}

// print prints what was spent, saved and refused.
func (t *tally) print(w io.Writer, limit budget.Quantity) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(w, "bedrockguard: spent %s of %s in %s", t.spent, limit, budget.Calls(t.calls))
	if t.saved > 0 {
		fmt.Fprintf(w, "; the prompt cache saved %s", t.saved)
	}
	fmt.Fprintf(w, "; %s refused\n", budget.Calls(t.refused))
	if t.refused > 0 {
		fmt.Fprintf(w, "bedrockguard: the last refusal: %s\n", output.Printable(t.lastText))
	}
}

// nothing reports whether no call came through.
func (t *tally) nothing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls+t.refused == 0
}

// wasStopped reports whether the guard has refused a call for its budget, a kill or a brake.
func (t *tally) wasStopped() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stopped
}
