// Package load measures the proxy under load: `make load`. It has benchmarks alone, because a timed assertion depends on the machine.
package load

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

const (
	arrivals  = 100              // a second
	streaming = 10 * time.Second // so that a thousand run at once
	events    = 20               // of text in each
	model     = "/model/us.anthropic.claude-sonnet-4-6/converse"
	question  = `{"inferenceConfig":{"maxTokens":100},"messages":[{"role":"user","content":[{"text":"hello"}]}]}`
)

// stores are the ledgers that a guard is tried with. What starts one returns its address.
var stores = []struct {
	name  string
	start func(b *testing.B) (address string)
}{
	{"memstore", func(*testing.B) string { return "memory" }},
	{"redis", func(b *testing.B) string { return newLedger(b, "redis") }},
	{"sqlite", func(b *testing.B) string { return newLedger(b, "sqlite") }},
}

func newLedger(b *testing.B, store string) string {
	for _, kind := range backend.Selected() {
		if kind.Name == store {
			return kind.Start(b).NewLedger(b)
		}
	}
	b.Fatalf("ROBUSTNESS_STORES leaves %s out", store)
	return ""
}

// seconds is how long streams arrive. LOAD_SECONDS makes it shorter.
func seconds(b *testing.B) int {
	raw := os.Getenv("LOAD_SECONDS")
	if raw == "" {
		return 60
	}
	n, err := strconv.Atoi(raw)
	require.NoError(b, err)
	return n
}

// BenchmarkStreams opens a hundred streams a second for a minute through the guard, a thousand at once, and as many at the same moments through a
// bare reverse proxy, so that both meet the same machine. A tenth as many go directly: what a proxy adds is what is above the median of those. In the
// end the ledger must be the simulator's bill.
func BenchmarkStreams(b *testing.B) {
	for _, store := range stores {
		b.Run(store.name, func(b *testing.B) {
			for b.Loop() {
				direct, bare, guard := newTarget(b, nil), newTarget(b, &job{}), newTarget(b, &job{Store: store.start(b)})
				for n := range arrive(b, guard) {
					both := []*target{bare, guard}
					if n%2 == 1 {
						slices.Reverse(both)
					}
					both[0].open(b)
					both[1].open(b)
					if n%10 == 0 {
						direct.open(b)
					}
				}
				direct.end(b)
				bare.end(b)
				guard.end(b)
				require.Equal(b, held{Settled: guard.service.Bill().NanoUSD}, guard.holds, "the ledger is not the bill")
				for name, t := range map[string]*target{"direct": direct, "bare": bare, "guarded": guard} {
					b.Logf("%s: %d streams, %d at once, first byte p50 %s p99 %s, %s of the processor for each, heap alive %v KB", name, len(t.first), t.atOnce,
						t.at(50), t.at(99), (t.cpu / time.Duration(len(t.first))).Round(time.Microsecond), t.heap)
				}
				b.Logf("ledger and bill %d nano-USD, nothing pending", guard.holds.Settled)
				usual := direct.at(50)
				added := func(t *target, percent int) float64 { return ms(t.at(percent) - usual) }
				b.ReportMetric(added(bare, 99), "ms-p99-added-bare")
				b.ReportMetric(added(guard, 99), "ms-p99-added-guarded")
				b.ReportMetric(added(guard, 99)/added(bare, 99), "x-bare-p99")
				b.ReportMetric(added(guard, 50)/added(bare, 50), "x-bare-p50")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// arrive yields a hundred times a second, by the clock. It notes the heap of the guard every ten seconds.
func arrive(b *testing.B, guard *target) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		begun := time.Now()
		for n := range seconds(b) * arrivals {
			<-time.After(time.Until(begun.Add(time.Duration(n) * time.Second / arrivals)))
			if n%(10*arrivals) == 0 && n > 0 {
				guard.noteHeap(b)
			}
			if !yield(n) {
				return
			}
		}
		guard.noteHeap(b)
	}
}

// target is a way to a simulator of its own.
type target struct {
	service *bedrocktest.Server
	server  *server // nil where nothing stands in between
	base    string
	client  *http.Client
	all     sync.WaitGroup

	mu              sync.Mutex // over what follows
	running, atOnce int
	first           []time.Duration // sorted at the end
	heap            []uint64        // KB, alive
	cpu             time.Duration
	holds           held
}

// newTarget starts a simulator, and a server before it unless j is nil.
func newTarget(b *testing.B, j *job) *target {
	service, err := bedrocktest.Start(bedrocktest.Options{
		FirstByteDelay: -1, EventDelay: streaming / (events + 5),
		Reply: func(bedrocktest.Request) bedrocktest.Reply {
			return bedrocktest.Reply{Text: strings.Repeat("word ", events), OutputTokens: 80}
		},
	})
	require.NoError(b, err)
	t := &target{service: service, base: service.URL(), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2048}}}
	if j != nil {
		j.Upstream = service.URL()
		t.server = startServer(b, *j)
		t.base = t.server.base
	}
	return t
}

// open opens a stream, and reads it to its end in the background.
func (t *target) open(b *testing.B) {
	t.all.Go(func() {
		t.mu.Lock()
		t.running++
		t.atOnce = max(t.atOnce, t.running)
		t.mu.Unlock()
		took, err := readStream(t.client, t.base)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.running--
		if err != nil {
			b.Error(err)
			return
		}
		t.first = append(t.first, took)
	})
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// at is a percentile of the time to the first byte.
func (t *target) at(percent int) time.Duration {
	return t.first[len(t.first)*percent/100].Round(time.Microsecond)
}

func (t *target) noteHeap(b *testing.B) { t.heap = append(t.heap, t.server.heap(b)>>10) }

// end waits for what is under way, and asks the server what it holds.
func (t *target) end(b *testing.B) {
	t.all.Wait()
	t.client.CloseIdleConnections()
	if t.server != nil {
		t.holds, t.cpu = t.server.end(b)
	}
	t.service.Close()
	require.Len(b, t.first, t.service.Bill().Inferences)
	slices.Sort(t.first)
}

func newRequest(at string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, at, strings.NewReader(question))
	if err == nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer of-the-caller") // for the one that has no server in between
	}
	return req, err
}

// readStream returns how long the first byte of a stream took. It reads all of it.
func readStream(client *http.Client, base string) (time.Duration, error) {
	begun := time.Now()
	req, err := newRequest(base + model + "-stream")
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return 0, fmt.Errorf("status %d: %s", resp.StatusCode, text)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil {
		return 0, err
	}
	took := time.Since(begun)
	_, err = io.Copy(io.Discard, resp.Body)
	return took, err
}

// server is a server in a process of its own.
type server struct {
	base  string
	cmd   *exec.Cmd
	lines *bufio.Reader
}

func startServer(b *testing.B, j job) *server {
	raw, err := json.Marshal(j)
	require.NoError(b, err)
	s := &server{cmd: exec.Command(os.Args[0])}
	s.cmd.Env, s.cmd.Stderr = append(os.Environ(), childEnv+"="+string(raw)), os.Stderr
	out, err := s.cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, s.cmd.Start())
	s.lines = bufio.NewReader(out)
	address, err := s.lines.ReadString('\n')
	require.NoError(b, err)
	s.base = "http://" + strings.TrimSpace(address)
	return s
}

// heap is what the last collection found alive.
func (s *server) heap(b *testing.B) uint64 {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(s.base + heapPath)
	require.NoError(b, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(b, err)
	n, err := strconv.ParseUint(string(text), 10, 64)
	require.NoError(b, err)
	return n
}

// end returns what the ledger holds, and the time of the processor that all of it took.
func (s *server) end(b *testing.B) (h held, cpu time.Duration) {
	require.NoError(b, s.cmd.Process.Signal(syscall.SIGTERM))
	rest, err := io.ReadAll(s.lines)
	require.NoError(b, err)
	require.NoError(b, s.cmd.Wait())
	require.NoError(b, json.Unmarshal(rest, &h))
	return h, s.cmd.ProcessState.UserTime() + s.cmd.ProcessState.SystemTime()
}

// BenchmarkOneCaller compares one caller's calls, by turns in one run: without a server in between, through a bare reverse proxy, and through the guard
// with a ledger in memory.
func BenchmarkOneCaller(b *testing.B) {
	service, err := bedrocktest.Start(bedrocktest.Options{FirstByteDelay: -1})
	require.NoError(b, err)
	defer service.Close()
	bases, names := []string{service.URL()}, []string{"direct", "bare", "memstore"}
	for _, store := range []string{"", "memory"} {
		s := startServer(b, job{Upstream: service.URL(), Store: store})
		defer s.end(b)
		bases = append(bases, s.base)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	took := make([][]time.Duration, len(bases))
	for range 200 { // connections and caches
		call(b, client, bases)
	}
	for b.Loop() {
		for i, t := range call(b, client, bases) {
			took[i] = append(took[i], t)
		}
	}
	for i := range took {
		slices.Sort(took[i])
		b.ReportMetric(float64(took[i][len(took[i])/2]-took[0][len(took[0])/2])/1e6, "ms-p50-"+names[i])
	}
	b.ReportMetric(0, "ns/op")
}

// call makes one call to each.
func call(b *testing.B, client *http.Client, bases []string) (took []time.Duration) {
	for _, base := range bases {
		begun := time.Now()
		req, err := newRequest(base + model)
		require.NoError(b, err)
		resp, err := client.Do(req)
		require.NoError(b, err)
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		require.NoError(b, err)
		require.Equal(b, http.StatusOK, resp.StatusCode)
		took = append(took, time.Since(begun))
	}
	return took
}
