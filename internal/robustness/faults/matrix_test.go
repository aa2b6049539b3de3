package faults

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// TestFaultMatrix holds every store against every fault. Calls are under way when it begins. While it lasts, each call is
// either admitted, and then found in the ledger afterwards, or refused: because the limit is full, or because the store
// could not be asked. No limit is exceeded by what may have happened unheard. Once the fault is over, calls are admitted
// again; if it took the ledger's memory, they never are. The test prints one line for each.
func TestFaultMatrix(t *testing.T) {
	backend.Each(t, nil, func(t *testing.T, b backend.Backend, server backend.Server) {
		m := newMatrix()
		for _, trouble := range troubles(t, server) {
			c := &cell{trouble: trouble, address: server.NewLedger(t)}
			t.Run(c.name, func(t *testing.T) { c.run(t) })
			m.add(b.Name, c)
		}
		t.Log(m)
	})
}

// matrix is a table of what stores did under faults.
type matrix struct {
	text strings.Builder
	w    *tabwriter.Writer
}

func newMatrix() *matrix {
	m := &matrix{}
	m.w = tabwriter.NewWriter(&m.text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(m.w, "\nstore\tfault\tasked\tadmitted\tfull\tcould not ask\tresumed after\taround it: settled, open, refused")
	return m
}

func (m *matrix) add(store string, c *cell) {
	a := &c.around
	fmt.Fprintf(m.w, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%d, %d, %d\n", store, c.name, c.during.asked, len(c.during.admitted), c.during.full, c.during.unasked,
		c.resumed, len(a.settled), len(a.admitted)-len(a.settled), a.unasked)
}

func (m *matrix) String() string {
	m.w.Flush()
	return m.text.String()
}
