package dynamostore

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Two processes that find a day full at the same moment both add to the row of others, of which one makes the item.
func TestTheRowOfOthersIsFoundByWhoIsLate(t *testing.T) {
	few := func(o *Options) { o.UsageRows = 1 }
	w, client := newWire(t)
	table := newTable(t, newClient(t, endpoint(t)))
	late, early := open(t, client, table, few), open(t, newClient(t, endpoint(t)), table, few)
	const day = 20_000
	other := func(s *Store, key byte) bool {
		t.Helper()
		is, err := s.inOther(t.Context(), day, driver.Key{key}, []byte("scope"))
		require.NoError(t, err)
		return is
	}
	require.False(t, other(early, 1), "the day's only row of its own")
	var once sync.Once
	w.follow(func(c *call) (*http.Response, error) {
		if c.op == "TransactWriteItems" {
			once.Do(func() { require.True(t, other(early, 2)) })
		}
		return c.pass()
	})
	require.True(t, other(late, 3))
	require.True(t, other(late, 3), "as it is remembered")
}
