package bedrockguard_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// Each refusal names the figure that made the call too large, and a step that makes it fit: the test takes that step.
func TestARefusalNamesTheFigureAndAStepThatHelps(t *testing.T) {
	video := &types.ContentBlockMemberVideo{Value: types.VideoBlock{Format: types.VideoFormatMp4, Source: &types.VideoSourceMemberBytes{Value: []byte("of a length that is no measure")}}}
	call := func(model, text string, limit *int32, content ...types.ContentBlock) func(*rig) error {
		return func(r *rig) error {
			in := converseInput(text)
			in.ModelId = aws.String(model)
			in.InferenceConfig = &types.InferenceConfiguration{MaxTokens: limit}
			in.Messages[0].Content = append(in.Messages[0].Content, content...)
			_, err := r.client.Converse(context.Background(), in)
			return err
		}
	}
	send := func(body string) func(*rig) error {
		return func(r *rig) error { return invoke(context.Background(), r.client, sonnet, body) }
	}
	limited := func(max budget.Quantity) settings {
		return settings{limits: []budget.Limit{{Name: "l", Max: max, Window: budget.Lifetime}}}
	}
	flat := limited(budget.USD(0.5))
	flat.guard.FlatPrices = map[string]price.Amount{"feature:guardrail": 1e9}
	guarded := func(r *rig) error {
		in := converseInput("hello")
		in.GuardrailConfig = &types.GuardrailConfiguration{GuardrailIdentifier: aws.String("abc"), GuardrailVersion: aws.String("1")}
		_, err := r.client.Converse(context.Background(), in)
		return err
	}
	for name, tc := range map[string]struct {
		settings settings
		refused  func(*rig) error
		says     []string
		step     func(*rig) error // nil where the step is not the caller's
	}{
		"output, no limit set, money": {
			limited(budget.USD(0.5)), call(sonnet, "hello", nil), []string{"no maxTokens is set, so the model's", "output tokens are set aside: set maxTokens"}, call(sonnet, "hello", aws.Int32(1000)),
		},
		"output, no limit set, tokens": {
			limited(budget.OutputTokens(5000)), call(sonnet, "hello", nil), []string{"no maxTokens is set"}, call(sonnet, "hello", aws.Int32(5000)),
		},
		"output, limit set": {
			limited(budget.USD(0.05)), call(sonnet, "hello", aws.Int32(8000)), []string{"maxTokens sets 8,000 output tokens aside: lower maxTokens"}, call(sonnet, "hello", aws.Int32(2000)),
		},
		"input, money": {
			limited(budget.USD(0.003)), call(sonnet, prose, aws.Int32(10)), []string{"input tokens, which are set aside: shorten the prompt"}, call(sonnet, "hello", aws.Int32(10)),
		},
		"input, tokens": {
			limited(budget.InputTokens(1000)), call(sonnet, prose, aws.Int32(10)), []string{"larger than the whole limit: shorten the prompt or raise the limit", "the prompt's text can make up to"}, call(sonnet, "hello", aws.Int32(10)),
		},
		"input, strict": {
			settings{limits: limited(budget.InputTokens(1000)).limits, guard: bedrockguard.Options{StrictBound: true}},
			call(sonnet, prose, aws.Int32(10)),
			[]string{"the prompt's length allows for up to"},
			call(sonnet, "hello", aws.Int32(10)),
		},
		"input, unknown size": {
			limited(budget.InputTokens(5000)), call(novaPro, "hello", aws.Int32(10), video), []string{"may fill the model's window of", "send content whose size can be told"}, call(novaPro, "hello", aws.Int32(10)),
		},
		"compaction": {
			limited(budget.OutputTokens(5000)), send(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"context_management":{"edits":[{"type":"compact_20260112"}]},"messages":[{"role":"user","content":"hello"}]}`),
			[]string{"may be compacted on the way", "leave the compaction out"},
			send(anthropicBody("hello")),
		},
		"flat price": {
			flat, guarded, []string{"1 USD of flat prices and guardrails are set aside"}, nil,
		},
		"calls": {
			limited(budget.Calls(0)), call(sonnet, "hello", aws.Int32(10)), []string{"which admits nothing: raise the limit"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, tc.settings)
			err := tc.refused(r)
			require.ErrorIs(t, err, bedrockguard.ErrBudgetExceeded)
			for _, says := range tc.says {
				assert.ErrorContains(t, err, says)
			}
			assert.NotContains(t, err.Error(), "hello")
			assert.NotRegexp(t, `(?i)rate.limit|overloaded|unavailable|internal.error|server.error|terminated|connection|retry|exhausted|try again|timed? ?out`, err.Error(), "clients send again what says so")
			if tc.step != nil {
				require.NoError(t, tc.step(r), "the step that the refusal names")
			}
		})
	}
}

// Fifty calls that fit together pass, each by trying again for as long as it is told that it waits for others.
func TestAFanOutThatFitsPassesByRetryingOnWaiting(t *testing.T) {
	r := newRig(t, settings{server: bedrocktest.Options{}, limits: []budget.Limit{{Name: "ever", Max: budget.USD(0.30), Window: budget.Lifetime}}})
	var waited atomic.Int64
	var calls sync.WaitGroup
	for i := range 50 {
		calls.Go(func() {
			in := converseInput(fmt.Sprintf("call %d", i))
			in.InferenceConfig = maxTokens(4000)
			for {
				_, err := r.client.Converse(context.Background(), in)
				var e *budget.ExceededError
				if !errors.As(err, &e) || !e.Waiting {
					assert.NoError(t, err)
					return
				}
				waited.Add(1)
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	calls.Wait()
	require.Len(t, r.events.of(bedrockguard.EventSettled), 50)
	require.Positive(t, waited.Load(), "the test has to meet its limit")
	r.requireExact(t)
}

// An observed limit foretells the very call that it would have refused, by the bound by which it would have refused it.
func TestObserveForetellsWhatEnforcingRefuses(t *testing.T) {
	for _, strict := range []bool{false, true} {
		first := func(observe bool) int {
			limit := budget.Limit{Name: "input", Max: budget.InputTokens(60_000), Window: budget.Daily, Observe: observe}
			r := newRig(t, settings{limits: []budget.Limit{limit}, guard: bedrockguard.Options{StrictBound: strict}})
			for n := 1; n < 60; n++ {
				_, err := r.client.Converse(context.Background(), converseInput(prose))
				if errors.Is(err, budget.ErrExceeded) || len(r.events.of(bedrockguard.EventObserved)) > 0 {
					return n
				}
				require.NoError(t, err)
			}
			return 0
		}
		enforced, foretold := first(false), first(true)
		require.Positive(t, enforced)
		require.Equal(t, enforced, foretold, "strict=%v", strict)
	}
}

// hungStore answers nothing until the context ends.
type hungStore struct {
	budget.Store
	reserve, settle bool
}

func (s *hungStore) Reserve(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
	if s.reserve {
		<-ctx.Done()
		return driver.Decision{}, ctx.Err()
	}
	return s.Store.Reserve(ctx, r)
}

func (s *hungStore) Settle(ctx context.Context, p driver.Settlement) (driver.Posting, error) {
	if s.settle {
		<-ctx.Done()
		return driver.Posting{}, ctx.Err()
	}
	return s.Store.Settle(ctx, p)
}

func (s *hungStore) Void(ctx context.Context, id budget.ID, owner budget.Key) error {
	if s.settle || s.reserve {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Store.Void(ctx, id, owner)
}

// A store that hangs costs a call two seconds at most, or what the options say, however often it is sent.
func TestAStoreThatHangsCostsTwoSeconds(t *testing.T) {
	answer := func(status int) func(*aws.Config) {
		return func(c *aws.Config) {
			c.HTTPClient = roundTripClient(func(req *http.Request) (*http.Response, error) {
				resp := &http.Response{StatusCode: status, Header: http.Header{"X-Amzn-Requestid": {"1"}, "X-Amzn-Errortype": {"ServiceUnavailableException"}}, Body: http.NoBody, Request: req}
				return resp, nil
			})
			c.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
		}
	}
	for name, tc := range map[string]struct {
		store   hungStore
		options bedrockguard.Options
		status  int
		most    time.Duration
	}{
		"reserve":                 {hungStore{reserve: true}, bedrockguard.Options{}, 503, 2 * time.Second},
		"reserve, as asked for":   {hungStore{reserve: true}, bedrockguard.Options{StoreTimeout: 200 * time.Millisecond}, 503, 200 * time.Millisecond},
		"settle":                  {hungStore{settle: true}, bedrockguard.Options{}, 200, 2 * time.Second},
		"settle, as asked for":    {hungStore{settle: true}, bedrockguard.Options{SettleTimeout: 100 * time.Millisecond}, 200, 100 * time.Millisecond},
		"void":                    {hungStore{settle: true}, bedrockguard.Options{}, 503, 2 * time.Second},
		"reserve, tight and wide": {hungStore{reserve: true}, bedrockguard.Options{StrictBound: true}, 503, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := tc.store
				store.Store = memstore.New(memstore.Options{})
				hung, err := budget.Open(t.Context(), &store, budget.Policy{Limits: []budget.Limit{{Name: total, Max: budget.USD(100), Window: budget.Lifetime}}})
				require.NoError(t, err)
				tc.options.DrainTimeout = -1
				g, err := bedrockguard.New(hung, tc.options)
				require.NoError(t, err)
				cfg := aws.Config{Region: "us-east-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET"}, nil
				})}
				answer(tc.status)(&cfg)
				began := time.Now()
				_, _ = g.NewFromConfig(cfg).Converse(t.Context(), converseInput("hello"))
				took := time.Since(began)
				require.LessOrEqual(t, took, tc.most)
				require.GreaterOrEqual(t, took, tc.most/2, "the store was given its time")
			})
		})
	}
}

// roundTripClient is an HTTP client that is none of net/http's.
type roundTripClient func(*http.Request) (*http.Response, error)

func (f roundTripClient) Do(req *http.Request) (*http.Response, error) { return f(req) }

// Callers who come together share one question for who they are, and each waits no longer than it may.
func TestIdentityCostsNobodyMoreThanTheirDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		ledger, err := budget.Open(t.Context(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: total, Max: budget.Calls(0), Window: budget.Lifetime}}})
		require.NoError(t, err)
		fails := true
		g, err := bedrockguard.New(ledger, bedrockguard.Options{Identity: func(ctx context.Context) (string, error) {
			asked.Add(1)
			select {
			case <-ctx.Done():
				return "", ctx.Err()
			case <-time.After(500 * time.Millisecond):
			}
			if fails {
				return "", errors.New("no answer")
			}
			return "ci", nil
		}})
		require.NoError(t, err)
		client := g.NewFromConfig(aws.Config{Region: "us-east-1"})
		ask := func(deadline time.Duration, want error) {
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			began := time.Now()
			_, err := client.Converse(ctx, converseInput("hello"))
			assert.ErrorIs(t, err, want)
			assert.LessOrEqual(t, time.Since(began), min(deadline, 500*time.Millisecond))
		}
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() { ask(600*time.Millisecond, bedrockguard.ErrIdentity) })
			callers.Go(func() { ask(100*time.Millisecond, bedrockguard.ErrIdentity) })
		}
		callers.Wait()
		require.Equal(t, int64(1), asked.Load())
		fails = false
		for range 10 {
			callers.Go(func() { ask(600*time.Millisecond, budget.ErrExceeded) })
		}
		callers.Wait()
		require.Equal(t, int64(2), asked.Load())
		ask(time.Millisecond, budget.ErrExceeded) // known by now
		require.Equal(t, int64(2), asked.Load())
	})
}

// A function for the identity that does not heed its context costs a caller without a deadline ten seconds, and no more goroutines than
// a few.
func TestIdentityThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var asked atomic.Int64
		ledger, err := budget.Open(t.Context(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: total, Max: budget.Calls(0), Window: budget.Lifetime}}})
		require.NoError(t, err)
		g, err := bedrockguard.New(ledger, bedrockguard.Options{Identity: func(context.Context) (string, error) {
			asked.Add(1)
			<-release
			return "ci", nil
		}})
		require.NoError(t, err)
		client := g.NewFromConfig(aws.Config{Region: "us-east-1"})
		for range 20 {
			began := time.Now()
			_, err := client.Converse(context.Background(), converseInput("hello"))
			require.ErrorIs(t, err, bedrockguard.ErrIdentity)
			require.LessOrEqual(t, time.Since(began), 10*time.Second)
		}
		require.Equal(t, int64(16), asked.Load())
		close(release)
		synctest.Wait()
		_, err = client.Converse(context.Background(), converseInput("hello"))
		require.ErrorIs(t, err, budget.ErrExceeded, "what came late is known")
	})
}

// A function for the identity that panics refuses the call, and no process ends.
func TestIdentityThatPanicsIsRefused(t *testing.T) {
	r := newRig(t, settings{guard: bedrockguard.Options{Identity: func(context.Context) (string, error) { panic("who?") }}})
	_, err := r.client.Converse(context.Background(), converseInput("hello"))
	require.ErrorIs(t, err, bedrockguard.ErrIdentity)
	require.Zero(t, r.server.Requests())
}

// A prompt that is only read into the cache writes nothing: next to nothing is set aside for its output, and other models' maximum
// stands where their dialect gives 0 another meaning.
func TestMaxTokensOfZeroReservesNoOutput(t *testing.T) {
	r := newRig(t, settings{limits: []budget.Limit{{Name: "l", Max: budget.OutputTokens(5), Window: budget.Lifetime}}})
	body := `{"anthropic_version":"bedrock-2023-05-31","max_tokens":0,"messages":[{"role":"user","content":"hello"}]}`
	require.NoError(t, invoke(context.Background(), r.client, sonnet, body))
	require.Equal(t, int64(1), r.events.of(bedrockguard.EventReserved)[0].Worst[budget.UnitOutputTokens])
	r.requireExact(t)
	require.ErrorIs(t, invoke(context.Background(), r.client, gptOSS, `{"max_tokens":0,"messages":[{"role":"user","content":"hello"}]}`), bedrockguard.ErrBudgetExceeded)
}

// Spellings that the service takes are no reason to refuse.
func TestBodiesThatTheServiceTakesPass(t *testing.T) {
	for name, body := range map[string]string{
		"a limit with a fraction of nothing": `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100.0,"messages":[{"role":"user","content":"hello"}]}`,
		"a key twice in a tool's input": `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"tools":[{"name":"read","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"hello"},` +
			`{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"read","input":{"path":"x","path":"y"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"ok"}]}]}`,
	} {
		r := newRig(t, settings{config: answers(anthropicAnswer("claude-sonnet-4-5"))})
		require.NoError(t, invoke(context.Background(), r.client, sonnet, body), name)
	}
}
