package bedrockguard_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

// dialect writes what an agent sends in a turn: the use of a tool and its result.
type dialect struct {
	route string
	turn  func(n int, command, result string, failed bool) string
}

// dialects write the same turn: a history of n turns before it, ids and reasoning that are new each time.
func dialects() map[string]dialect {
	const anthropic = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
	return map[string]dialect{
		"Converse": {route: "/model/" + anthropic + "/converse", turn: func(n int, command, result string, failed bool) string {
			status := "success"
			if failed {
				status = "error"
			}
			return fmt.Sprintf(`{"inferenceConfig":{"maxTokens":50},"toolConfig":{"tools":[{"toolSpec":{"name":"sh","inputSchema":{"json":{"type":"object"}}}}]},"messages":[
				{"role":"user","content":[{"text":"task %[1]d"}]},
				{"role":"assistant","content":[{"text":"let me try %[1]d"},{"toolUse":{"toolUseId":"t%[1]d","name":"sh","input":{"command":%[2]q}}}]},
				{"role":"user","content":[{"toolResult":{"toolUseId":"t%[1]d","status":%[4]q,"content":[{"text":%[3]q}]}}]}]}`, n, command, result, status)
		}},
		"Anthropic": {route: "/model/" + anthropic + "/invoke", turn: func(n int, command, result string, failed bool) string {
			return fmt.Sprintf(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":50,"tools":[{"name":"sh","input_schema":{"type":"object"}}],"messages":[
				{"role":"user","content":"task %[1]d"},
				{"role":"assistant","content":[{"type":"text","text":"let me try %[1]d"},{"type":"tool_use","id":"t%[1]d","name":"sh","input":{"command":%[2]q}}]},
				{"role":"user","content":[{"type":"tool_result","tool_use_id":"t%[1]d","is_error":%[4]t,"content":%[3]q}]}]}`, n, command, result, failed)
		}},
		"Chat": {route: "/openai/v1/chat/completions", turn: func(n int, command, result string, _ bool) string {
			return fmt.Sprintf(`{"model":"openai.gpt-oss-120b-1:0","max_completion_tokens":50,"messages":[
				{"role":"user","content":"task %[1]d"},
				{"role":"assistant","content":"let me try %[1]d","tool_calls":[{"id":"t%[1]d","type":"function","function":{"name":"sh","arguments":%[2]q}}]},
				{"role":"tool","tool_call_id":"t%[1]d","content":%[3]q}]}`, n, command, result)
		}},
	}
}

// asks sends turns as one workflow, and returns the status of each.
func (w *web) asks(t *testing.T, workflow, route string, bodies ...string) (statuses []int) {
	t.Helper()
	for _, body := range bodies {
		req := w.request(t, http.MethodPost, route, body)
		req = req.WithContext(budget.WithScope(req.Context(), budget.Scope{Workflow: workflow, Tags: map[string]string{"team": "a"}}))
		resp, err := w.client.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		statuses = append(statuses, resp.StatusCode)
	}
	return statuses
}

const (
	ok   = http.StatusOK
	stop = http.StatusPaymentRequired
)

// An agent that does the same again and again is stopped, whatever ids and reasons it gives, and goes on once it does something else.
func TestTurnsWithoutProgressAreBraked(t *testing.T) {
	for name, d := range dialects() {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t, settings{guard: bedrockguard.Options{Brakes: bedrockguard.Brakes{Stalled: 2}}})
			test := func(n int) string { return d.turn(n, "make test", "2 of 7 fail", false) }
			lint := func(n int) string { return d.turn(n, "make lint", "clean", false) }
			fixed := d.turn(9, "make test", "1 of 7 fails", false)
			require.Equal(t, []int{ok, ok, ok, stop, stop}, w.asks(t, "a", d.route, test(1), test(2), test(3), test(4), test(5)))
			require.Equal(t, []int{ok}, w.asks(t, "b", d.route, test(6)), "another workflow is another agent")
			require.Equal(t, []int{ok, ok, ok, stop}, w.asks(t, "a", d.route, fixed, test(7), test(8), test(9)), "what is new releases the brake")
			require.Equal(t, []int{ok, ok, ok, ok, stop}, w.asks(t, "c", d.route, test(1), lint(2), test(3), lint(4), test(5)), "a circle of two is one, too")
			w.requireExact(t)
		})
	}
}

// A tool that fails in the same way again and again ends the run; one that fails in another way does not.
func TestTheSameErrorOfAToolIsBraked(t *testing.T) {
	for _, name := range []string{"Converse", "Anthropic"} {
		t.Run(name, func(t *testing.T) {
			d := dialects()[name]
			w := newWeb(t, settings{guard: bedrockguard.Options{Brakes: bedrockguard.Brakes{ToolErrors: 2}}})
			fails := func(n int, with string) string {
				return d.turn(n, fmt.Sprint("rm -r /srv/", n), with, true)
			}
			require.Equal(t, []int{ok, ok, stop}, w.asks(t, "a", d.route, fails(1, "no such folder"), fails(2, "no such folder"), fails(3, "no such folder")))
			require.Equal(t, []int{ok, ok}, w.asks(t, "a", d.route, fails(4, "not permitted"), d.turn(5, "ls", "no such folder", false)))
			require.Equal(t, []int{ok, ok, stop}, w.asks(t, "a", d.route, fails(6, "no such folder"), fails(7, "no such folder"), fails(8, "no such folder")))
		})
	}
}

// The same bytes again are counted once a call, however often the SDK sends it.
func TestIdenticalRequestsAreBraked(t *testing.T) {
	r := newRig(t, settings{
		server: bedrocktest.Options{Faults: bedrocktest.Script("", bedrocktest.Throttle)},
		guard:  bedrockguard.Options{Brakes: bedrockguard.Brakes{Identical: 3}},
	})
	ctx := budget.WithScope(t.Context(), budget.Scope{Workflow: "nightly"})
	for range 3 {
		_, err := r.client.Converse(ctx, converseInput("hello"))
		require.NoError(t, err)
	}
	_, err := r.client.Converse(ctx, converseInput("hello"))
	var loop *bedrockguard.LoopError
	require.ErrorAs(t, err, &loop)
	require.ErrorIs(t, err, bedrockguard.ErrLooping)
	require.Equal(t, bedrockguard.LoopError{Scope: budget.Scope{Workflow: "nightly"}, What: "identical requests", Count: 4, Most: 3}, *loop)
	require.ErrorContains(t, err, "looping for workflow=nightly: 4 identical requests in a row, at most 3: change what is asked")
	require.NotContains(t, err.Error(), "hello")
	require.Len(t, r.events.of(bedrockguard.EventDenied), 1)
	_, err = r.client.Converse(ctx, converseInput("hello you"))
	require.NoError(t, err)
	r.requireExact(t)
}

// Who only wants to know is told of what goes through.
func TestBrakesThatReport(t *testing.T) {
	r := newRig(t, settings{guard: bedrockguard.Options{Brakes: bedrockguard.Brakes{Identical: 1, Report: true}}})
	for range 3 {
		_, err := r.client.Converse(t.Context(), converseInput("hello"))
		require.NoError(t, err)
	}
	told := r.events.of(bedrockguard.EventLooping)
	require.Len(t, told, 2)
	require.ErrorIs(t, told[1].Err, bedrockguard.ErrLooping)
}

// In shadow, brakes tell and refuse nothing, as everything else.
func TestBrakesInShadow(t *testing.T) {
	r := newRig(t, settings{guard: bedrockguard.Options{Shadow: true, Brakes: bedrockguard.Brakes{Identical: 1}}})
	for range 2 {
		_, err := r.client.Converse(t.Context(), converseInput("hello"))
		require.NoError(t, err)
	}
	denied := r.events.of(bedrockguard.EventDenied)
	require.Len(t, denied, 1)
	require.ErrorIs(t, denied[0].Err, bedrockguard.ErrLooping)
	require.Equal(t, []bedrockguard.ShadowLine{{Cause: "loop", Calls: 1}}, r.guard.ShadowReport())
}

// Agents that get on are never braked, however tight the brakes are.
func TestAgentsThatGetOnAreNotBraked(t *testing.T) {
	for name, d := range dialects() {
		w := newWeb(t, settings{guard: bedrockguard.Options{Brakes: bedrockguard.Brakes{Identical: 1, ToolErrors: 1, Stalled: 1}}})
		var bodies []string
		for n := range 200 { // the same command, with another result each time; now and then it fails, in its own way
			bodies = append(bodies, d.turn(n, "make test", fmt.Sprintf("%d of 500 fail", n), n%5 == 0))
		}
		require.NotContains(t, w.asks(t, "a", d.route, bodies...), stop, name)
	}
}

// What brakes can't read is counted as what it is: bytes.
func TestBrakesReadAnything(t *testing.T) {
	r := newRig(t, settings{guard: bedrockguard.Options{Brakes: bedrockguard.Brakes{Identical: 1, ToolErrors: 1, Stalled: 1}}})
	for _, body := range []string{`{"inputText":"hello"}`, `{"inputText":"hello you"}`, `{"inputText":"[]"}`} {
		require.NoError(t, invoke(t.Context(), r.client, "amazon.titan-embed-text-v2:0", body))
	}
	require.ErrorIs(t, invoke(t.Context(), r.client, "amazon.titan-embed-text-v2:0", `{"inputText":"[]"}`), bedrockguard.ErrLooping)
}

func TestBrakesThatMakeNoSense(t *testing.T) {
	ledger, err := budget.Open(t.Context(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: "l", Max: budget.USD(1), Window: budget.Daily}}})
	require.NoError(t, err)
	for _, b := range []bedrockguard.Brakes{{Identical: -1}, {ToolErrors: -1}, {Stalled: -1}, {Report: true}} {
		_, err := bedrockguard.New(ledger, bedrockguard.Options{Brakes: b})
		require.ErrorIs(t, err, bedrockguard.ErrInvalidOptions, "%+v", b)
	}
}
