package linearizability

import (
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// undecidedAfter bounds the search for an order. A history that takes longer counts as a failure, not as a pass.
const undecidedAfter = 2 * time.Minute

// check looks for an order of the operations in which the model gives every answer of the history.
func check(p *plan, history []porcupine.Operation) porcupine.CheckResult {
	m := &model{plan: p, seed: maphash.MakeSeed()}
	return porcupine.CheckOperationsTimeout(m.porcupine(), history, undecidedAfter)
}

// explain returns a history as text, for a test's failure, and writes a page into dir that shows how far an order was found. In the text, r and a
// number is a reservation with its two amounts.
func explain(p *plan, history []porcupine.Operation, dir string) (text string) {
	m := (&model{plan: p, seed: maphash.MakeSeed()}).porcupine()
	_, info := porcupine.CheckOperationsVerbose(m, history, undecidedAfter)
	page := filepath.Join(dir, fmt.Sprintf("history-%d.html", p.seed))
	if err := porcupine.VisualizePath(m, info, page); err != nil {
		page = err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, limits %v, drawn in %s\n", p.seed, p.max, page)
	for i, h := range p.holds {
		fmt.Fprintf(&b, "r%d: %d, or %d, in accounts %v, under flag%d\n", i, h.amount, h.otherAmount, h.accounts, h.flag)
	}
	ordered := slices.Clone(history)
	slices.SortStableFunc(ordered, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) }) // by when they began
	for _, o := range ordered {
		fmt.Fprintf(&b, "%10d %20d client %3d: %s\n", o.Call, o.Return, o.ClientId, m.DescribeOperation(o.Input, o.Output))
	}
	return b.String()
}

// size reads a number from the environment, for long runs. It returns otherwise, the default, if the variable holds no positive number.
func size(variable string, otherwise int) int {
	var n int
	if _, err := fmt.Sscan(os.Getenv(variable), &n); err != nil || n < 1 {
		return otherwise
	}
	return n
}
