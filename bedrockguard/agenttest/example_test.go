package agenttest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/agenttest"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// An agent of twenty turns has to read four fifths of its input from the cache and to cost less than 3 USD.
func ExampleCheck() {
	t, done := exampleT() // in a test, t is the test's own
	defer done()
	goal := agenttest.Goal{MinHitShare: 0.8, MaxCost: budget.USD(3)}
	result := agenttest.Check(t, goal, func(ctx context.Context, client *bedrockruntime.Client) error {
		return chat(20, true)(ctx, client)
	})
	fmt.Println(result.Bill.Inferences, "calls,", len(result.Findings), "findings")
	// Output: 20 calls, 0 findings
}

// exampleT stands for the *testing.T of a test, which an example has not got.
func exampleT() (t testing.TB, done func()) {
	e := &exampleTB{}
	return e, func() {
		for i := len(e.cleanups) - 1; i >= 0; i-- {
			e.cleanups[i]()
		}
	}
}

type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (e *exampleTB) Helper()                  {}
func (e *exampleTB) Context() context.Context { return context.Background() }
func (e *exampleTB) Cleanup(f func())         { e.cleanups = append(e.cleanups, f) }
func (e *exampleTB) Error(args ...any)        { fmt.Println(args...) }
func (e *exampleTB) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }
