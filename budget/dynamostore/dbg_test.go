package dynamostore

import (
	"testing"
	"time"
	"fmt"
	"context"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

func TestDbg(t *testing.T) {
	clock := storetest.NewClock(time.Date(2026, 3, 10, 12, 30, 15, 0, time.UTC))
	s := newStore(t, func(o *Options) { o.Clock, o.Timeout = clock.Now, time.Second })
	l := line(1, budget.Monthly, 100)
	r := hold(50, l)
	_, err := s.Reserve(t.Context(), r)
	require.NoError(t, err)
	_, err = s.Settle(t.Context(), settlement(r, 50))
	require.NoError(t, err)
	clock.Advance(31 * 24 * time.Hour)
	_, err = s.Reserve(t.Context(), hold(1, l))
	require.NoError(t, err)
	debug = func(err error) { fmt.Println(err) }
	_, err = s.Correct(context.Background(), r.ID, usd(20))
	require.NoError(t, err)
}
