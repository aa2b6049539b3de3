package bedrocktest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/quota"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/rules"
)

// Options configures a Server. The zero value is a service without faults.
type Options struct {
	// Clock is the service's clock, by which cache entries expire. Nil is time.Now.
	Clock func() time.Time
	// Region is the region of Config, whose prices apply. Empty is us-east-1.
	Region string
	// Reply makes the model's answers; it must be safe for concurrent use. Nil answers a short text.
	Reply func(Request) Reply
	// CountTokens replaces the tokenizer; it must be safe for concurrent use. Nil uses a count that is rather too high than too low.
	CountTokens func(text string) int
	// Faults gives requests a fault by their number. Nil gives none.
	Faults Faults
	// FaultFor gives requests a fault by their content, if Faults gives none; When makes such a function. It must be safe for concurrent use.
	FaultFor func(Request) FaultKind
	// Quotas throttle requests that exceed them within a minute. Nil throttles nothing.
	Quotas []Quota
	// Models change what is known of models, or add models: custom and imported ones, and ones that are newer than the table.
	Models []Model
	// Assess returns what guardrails find in the texts of ApplyGuardrail; source is INPUT or OUTPUT. For InvokeGuardrailChecks source is CHECKS, and
	// the Policies are the results of the checks. Nil finds nothing. What guardrails find in a model's answer is set in its Reply.
	Assess func(source, text string) Finding
	// Names maps opaque ids, such as ARNs of application inference profiles, to their model or profile.
	Names map[string]string
	// Record keeps the requests for Server.Received, with their bodies. False keeps none, because tests may send gigabytes.
	Record bool
	// Without switches off rules that the service only has for some models. Nil keeps all.
	Without []Rule
	// EnforcedGuardrails are the ids of guardrails that evaluate each request without being named in it. Their text units are billed at list
	// price, and each answer reports them.
	EnforcedGuardrails []string
	// Guardrails are the ids of other guardrails that exist; a request that names an unknown one is refused. With nil every id exists,
	// because tests about other things create none.
	Guardrails []string
	// Serve decides how a request is answered in another way than it was asked; it must be safe for concurrent use. With nil nothing differs.
	Serve func(Request) Served
	// ReservationHeader is a request header whose value is stored in the bill with each inference.
	ReservationHeader string
	// FirstByteDelay is how long an answer waits after the whole request was read: a client that gets its answer while it still writes loses
	// the connection. Zero is two milliseconds; a negative value is none.
	FirstByteDelay time.Duration
	// EventDelay is the pause between the events of a stream. Zero is none.
	EventDelay time.Duration
	// StallLimit bounds how long a stalled request is held. Zero is a second.
	StallLimit time.Duration
}

// count counts the tokens of a text: with the test's own CountTokens, or else with the simulator's rough count.
func (o *Options) count(text string) int {
	if o.CountTokens != nil {
		return o.CountTokens(text)
	}
	return modeltable.CountTokens(text)
}

// Server is a simulated Bedrock runtime. It is safe for concurrent use.
type Server struct {
	opts      Options
	listener  net.Listener
	http      *http.Server
	transport *http.Transport // of the clients that Config configures
	book      book            // where the bill is added up
	cache     promptcache.Cache
	models    map[string]*knownModel // Options.Models, by their ID
	quotas    *quota.Book            // Options.Quotas, and what was used of them
	stored    stored                 // the responses that later requests of the Responses API can go on from
	jobs      jobs                   // asynchronous invocations
	rules     []rules.Rule           // those that are not switched off
	reader    *dialects.Reader       // parses requests, and counts their tokens
	seq       atomic.Int64           // the number of the last request, refused ones included
	faultSeq  atomic.Int64           // the number of the last request that Options.Faults was asked about
	running   sync.WaitGroup         // the requests that are served, and the loop that accepts them
	done      chan struct{}          // closed by Close, so that waiting requests end
	mu        sync.Mutex             // guards closed, so that no request is added to running once Close waits for it
	closed    bool
	received  []Request // guarded by mu
}

// New starts a server that is closed when the test ends.
func New(tb testing.TB, o Options) *Server {
	tb.Helper()
	s, err := Start(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// Start starts a server on a free port of the loopback interface. The caller closes it. Options that are zero get their defaults here.
func Start(o Options) (*Server, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.FirstByteDelay, o.StallLimit = cmp.Or(o.FirstByteDelay, 2*time.Millisecond), cmp.Or(o.StallLimit, time.Second)
	models, err := o.models()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("bedrocktest: %w", err)
	}
	s := &Server{opts: o, listener: listener, models: models, quotas: newQuotaBook(o.Quotas), done: make(chan struct{})}
	// With a count of the test's own (Own), texts are not scaled and a message adds four tokens, so that the bill can be calculated by hand.
	s.reader = &dialects.Reader{Plain: o.count, Own: o.CountTokens != nil, Region: o.Region, Previous: s.stored.conversation}
	s.rules = slices.DeleteFunc(rules.All(), func(r rules.Rule) bool { return slices.Contains(o.Without, Rule(r.Name)) })
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{Handler: s, Protocols: protocols, ReadHeaderTimeout: time.Minute}
	s.transport = &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute}
	s.running.Go(func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			// Serve has ended by an error: clients are refused from now on, and do not wait for an answer.
			s.listener.Close()
		}
	})
	return s, nil
}

// Close ends the server and waits for all of its requests.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	s.mu.Unlock()
	s.http.Close()
	s.transport.CloseIdleConnections()
	s.running.Wait()
}

// enter counts one more running request and returns true, or returns false if the server is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.running.Add(1)
	}
	return !s.closed
}

// URL returns the endpoint.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Config returns a config for clients of the server, with credentials that are valid nowhere else and a connection pool that ends with the server.
func (s *Server) Config() aws.Config {
	return aws.Config{
		Region:       s.opts.Region,
		BaseEndpoint: aws.String(s.URL()),
		HTTPClient:   &http.Client{Transport: s.transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDSIMULATED", SecretAccessKey: "simulated"}, nil
		}),
	}
}

// Bill returns what has been charged so far.
func (s *Server) Bill() Bill { return s.book.snapshot() }

// Inferences returns each billed request, in the order in which they were charged.
func (s *Server) Inferences() []Inference { return s.book.all() }

// Requests returns how many requests arrived, refused ones included.
func (s *Server) Requests() int { return int(s.seq.Load()) }

// Reset clears the bill. The cache stays.
func (s *Server) Reset() { s.book.reset() }

// wait pauses, and returns false if the client or the server ends first.
func (s *Server) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-s.done:
		return false
	}
}
