package robustness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// The hard cap behind the HTTP door: two proxies on one ledger, clients whose SDK sends again what failed and who go on at the other proxy,
// every fault of the simulator, and proxies killed with -9 at a labelled point and started again on the same ledger and port. The same is
// asked of the bill and of each entry as of processes that spend by themselves. HEADLINE_SEEDS says how many runs a store gets; without it SQLite
// gets one.
func TestHardCapThroughProxies(t *testing.T) {
	wanted := func(b backend.Backend) bool {
		return b.Shared && (b.Name == "sqlite" || os.Getenv("HEADLINE_SEEDS") != "")
	}
	backend.Each(t, wanted, func(t *testing.T, b backend.Backend, s backend.Server) {
		inferences, estimated, killed, refused := 0, 0, 0, 0
		runs := size(t, "HEADLINE_SEEDS", 1)
		for seed := range uint64(runs) {
			t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 43))
				run := newRun(t, b, s, fleet{processes: 2, workers: 16}, seed, bedrocktest.RandomFaults(seed, 0.15), 1+2*random.Float64())
				f := startProxies(run, random)
				f.spend(t)
				f.end(t)
				run.check(t)
				t.Logf("%d inferences, bill %s of %s, %d estimated, %d killed, %d refused", run.inferences, run.bill, budget.USD(run.limit), run.estimated, run.killed, f.refused.Load())
				inferences, estimated, killed, refused = inferences+run.inferences, estimated+run.estimated, killed+run.killed, refused+int(f.refused.Load())
			})
		}
		t.Logf("%d runs: %d inferences, %d estimated, %d proxies killed, %d calls refused, no overshoot", runs, inferences, estimated, killed, refused)
	})
}

// proxyRefusals is how often a client is refused before it gives up: what died with a proxy, or is read on there, may come back.
const proxyRefusals = 8

// maxKills is how many proxies one run may lose. The last two live on, so that the run ends.
const maxKills = 4

// proxies are the two of a run, and who starts them again.
type proxies struct {
	run       *run
	addresses []string
	alive     []*exec.Cmd
	mu        sync.Mutex // over alive and ending
	ending    bool
	kills     int
	watched   sync.WaitGroup
	refused   atomic.Int64
}

func startProxies(r *run, random *rand.Rand) *proxies {
	f := &proxies{run: r, addresses: make([]string, r.fleet.processes), alive: make([]*exec.Cmd, r.fleet.processes)}
	for i := range f.addresses {
		f.addresses[i] = f.start(i, "127.0.0.1:0", rand.New(rand.NewPCG(random.Uint64(), 1)))
	}
	return f
}

// start starts a proxy, and again whenever it was killed.
func (f *proxies) start(i int, listen string, random *rand.Rand) string {
	job := f.run.job(i)
	job.Listen, job.Lively = listen, i%2 == 1
	f.mu.Lock()
	if f.kills < maxKills && !f.ending {
		job.DieAt, job.DieAfter = proxyDeathPoints[(int(f.run.seed)+3*(f.kills+i))%len(proxyDeathPoints)], random.IntN(20)
		f.kills++
	}
	f.mu.Unlock()
	raw, err := json.Marshal(job)
	if err != nil {
		panic(err) // it is made of plain fields
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(raw), "GORACE=atexit_sleep_ms=0")
	stderr := new(bytes.Buffer)
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		f.run.ended(job, err, false, "")
		return listen
	}
	said, _ := bufio.NewReader(out).ReadString('\n') // nothing where it died before
	f.mu.Lock()
	f.alive[i] = cmd
	if f.ending {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	f.mu.Unlock()
	if said = strings.TrimSpace(said); said != "" {
		listen = said
	}
	f.watched.Go(func() {
		err := cmd.Wait()
		killed := cmd.ProcessState.ExitCode() == -1
		f.run.ended(job, err, killed, stderr.String())
		if killed {
			f.start(i, listen, random)
		}
	})
	return listen
}

// end asks both to settle what is under way, and waits.
func (f *proxies) end(t *testing.T) {
	f.mu.Lock()
	f.ending = true
	for _, cmd := range f.alive {
		_ = cmd.Process.Signal(syscall.SIGTERM) // one that was killed is started, and told then
	}
	f.mu.Unlock()
	f.watched.Wait()
	require.Empty(t, f.run.failed)
}

// spend lets clients ask both proxies until they are refused. A client whose proxy is away goes to the other.
func (f *proxies) spend(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var clients sync.WaitGroup
	for n := range f.run.fleet.processes * f.run.fleet.workers {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(f.run.seed, uint64(n)))
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			cfg := childConfig(f.run.job(0), nil)
			cfg.HTTPClient = &http.Client{Transport: workflowTransport{next: transport, workflow: fmt.Sprintf("w%d", n%4)}}
			for refusals := 0; refusals < proxyRefusals && ctx.Err() == nil; n++ {
				cfg.BaseEndpoint = aws.String("http://" + f.addresses[n%len(f.addresses)])
				err := callInTime(ctx, bedrockruntime.NewFromConfig(cfg), random)
				if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && answer.HTTPStatusCode() == http.StatusPaymentRequired {
					refusals++
					f.refused.Add(1)
				}
			}
		})
	}
	clients.Wait()
	require.NoError(t, ctx.Err(), "clients were never refused")
}

// callInTime gives a call up that takes too long, as the timeout of an HTTP client does.
func callInTime(ctx context.Context, client *bedrockruntime.Client, random *rand.Rand) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return call(ctx, client, random, 1+random.IntN(40))
}

// workflowTransport names the workflow of each request.
type workflowTransport struct {
	next     http.RoundTripper
	workflow string
}

func (t workflowTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Bedrockguard-Workflow", t.workflow)
	return t.next.RoundTrip(r)
}
