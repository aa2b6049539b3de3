package robustness

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The labelled points at which a process may be killed.
const (
	beforeReserve = "before-reserve"
	duringReserve = "during-reserve" // the step is on its way, or being done, or its answer is on its way back
	afterReserve  = "after-reserve"  // the store has acknowledged, nothing is sent
	afterSend     = "after-send"     // the answer has begun, nothing of its body is read
	midStream     = "mid-stream"
	beforeSettle  = "before-settle"
	duringSettle  = "during-settle"
	afterSettle   = "after-settle" // the store has acknowledged, the caller does not know
)

var deathPoints = []string{beforeReserve, duringReserve, afterReserve, afterSend, midStream, beforeSettle, duringSettle, afterSettle}

// death ends the process with SIGKILL, which nothing can catch, when it has passed its point often enough.
type death struct {
	mu    sync.Mutex
	label string
	after int
}

func (d *death) at(label string) {
	if d.due(label) {
		kill()
	}
}

// during ends the process at some moment while a step is under way, which takes a millisecond or two.
func (d *death) during(label string) {
	if d.due(label) {
		time.AfterFunc(rand.N(2*time.Millisecond), kill)
	}
}

func (d *death) due(label string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.label != label {
		return false
	}
	d.after--
	return d.after < 0
}

func kill() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

// mortalStore dies around the store's steps.
type mortalStore struct {
	budget.Store
	death *death
}

func (s *mortalStore) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	s.death.at(beforeReserve)
	s.death.during(duringReserve)
	d, err := s.Store.Reserve(ctx, r)
	s.death.at(afterReserve)
	return d, err
}

func (s *mortalStore) Settle(ctx context.Context, settlement driver.Settlement) (driver.Posting, error) {
	s.death.at(beforeSettle)
	s.death.during(duringSettle)
	p, err := s.Store.Settle(ctx, settlement)
	s.death.at(afterSettle)
	return p, err
}

// mortalTransport dies around the answer.
type mortalTransport struct {
	next  http.RoundTripper
	death *death
}

func (t *mortalTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	t.death.at(afterSend)
	if strings.Contains(r.URL.Path, "stream") {
		resp.Body = &mortalBody{ReadCloser: resp.Body, death: t.death}
	}
	return resp, nil
}

type mortalBody struct {
	io.ReadCloser
	death *death
}

func (b *mortalBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.death.at(midStream)
	return n, err
}
