package sqlitestore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
)

// The first start makes the ledger. Every later one finds it, so that a file which is gone does not pass for a budget that
// nobody has spent.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "spend.db")

	_, err = sqlitestore.Open(context.Background(), path, sqlitestore.Options{})
	fmt.Println(errors.Is(err, driver.ErrNoLedger))

	store, err := sqlitestore.Open(context.Background(), path, sqlitestore.Options{Create: true})
	if err != nil {
		panic(err)
	}
	defer store.Close()
	ledger, err := budget.Open(context.Background(), store, budget.Policy{Limits: []budget.Limit{
		{Name: "month", Max: budget.USD(200), Window: driver.Monthly, Per: budget.PerPrincipal},
	}})
	if err != nil {
		panic(err)
	}
	balances, err := ledger.Balances(context.Background(), driver.Scope{Principal: "ci"})
	fmt.Println(balances[0].Settled, "of", balances[0].Max, err)
	// Output:
	// true
	// 0 USD of 200 USD <nil>
}
