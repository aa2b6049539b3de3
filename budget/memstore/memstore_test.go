package memstore_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{Open: func(_ *testing.T, clock *storetest.Clock) driver.Store {
		return memstore.New(memstore.Options{
			Clock:     clock.Now,
			Retention: storetest.Retention,
			UsageRows: storetest.UsageRows,
		})
	}})
}
