package bedrockguard

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/refusal"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

var update = flag.Bool("update", false, "rewrite the golden snapshots of the middleware stacks")

func newTestGuard(t *testing.T) *Guard {
	ledger, err := budget.Open(t.Context(), memstore.New(memstore.Options{}), budget.Policy{Limits: []budget.Limit{{Name: "l", Max: budget.USD(1), Window: budget.Daily}}})
	require.NoError(t, err)
	guard, err := New(ledger, Options{})
	require.NoError(t, err)
	return guard
}

// operations lists the client's operations: exported methods that take a context, an input and option functions.
func operations() map[string]reflect.Type {
	found := make(map[string]reflect.Type)
	client := reflect.TypeFor[*bedrockruntime.Client]()
	for i := range client.NumMethod() {
		m := client.Method(i)
		if m.Type.NumIn() == 4 && m.Type.IsVariadic() && strings.HasSuffix(m.Type.In(2).String(), m.Name+"Input") {
			found[m.Name] = m.Type.In(2).Elem()
		}
	}
	return found
}

// When AWS adds an operation, a person decides whether it is guarded, free or refused; until then it is refused.
func TestEveryOperationOfTheSDKIsDecidedOn(t *testing.T) {
	decided := map[string]inputs.Treatment{
		"Converse": inputs.Guarded, "ConverseStream": inputs.Guarded, "InvokeModel": inputs.Guarded, "InvokeModelWithResponseStream": inputs.Guarded,
		"CountTokens": inputs.Free, "GetAsyncInvoke": inputs.Free, "ListAsyncInvokes": inputs.Free,
		"ApplyGuardrail": inputs.Refused, "InvokeGuardrailChecks": inputs.Refused, "StartAsyncInvoke": inputs.Refused, "InvokeModelWithBidirectionalStream": inputs.Refused,
	}
	for name := range operations() {
		want, known := decided[name]
		require.True(t, known, "the SDK has a new operation %s: decide on it in operations.go and here", name)
		require.Equal(t, want, inputs.TreatmentOf(name), name)
	}
	require.Len(t, operations(), len(decided))
	require.Equal(t, inputs.Refused, inputs.TreatmentOf("SomethingNew"))
}

// Where the guard sits in each stack. A change of these files is a change of what is guaranteed.
func TestMiddlewareStacks(t *testing.T) {
	for name, input := range operations() {
		t.Run(name, func(t *testing.T) {
			var got string
			capture := func(o *bedrockruntime.Options) {
				o.Region = "us-east-1"
				o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
					got = s.String()
					return context.Canceled // the call is not meant to go anywhere
				})
			}
			client := bedrockruntime.New(bedrockruntime.Options{}, newTestGuard(t).Install, capture)
			results := reflect.ValueOf(client).MethodByName(name).Call([]reflect.Value{reflect.ValueOf(t.Context()), reflect.New(input)})
			if name == "InvokeModelWithBidirectionalStream" {
				err, _ := results[1].Interface().(error)
				require.ErrorIs(t, err, refusal.ErrUnsupportedOperation, "refused while its stack is built")
				return
			}
			require.NotEmpty(t, got, "%v", results[1])
			file := filepath.Join("testdata", "stack_"+name+".txt")
			if *update {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err, "run with -update")
			require.Equal(t, string(want), got)
		})
	}
}
