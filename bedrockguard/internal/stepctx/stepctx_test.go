package stepctx

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func detach(parent context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	d := &Detached{Parent: parent, Timeout: timeout}
	return d, d.Cancel
}

func TestDetachedSurvivesItsParentAndEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		parent, cancelParent := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		ctx, cancel := detach(parent, time.Second)
		defer cancel()
		cancelParent()
		require.NoError(t, ctx.Err())
		require.Equal(t, "value", ctx.Value(key{}))
		child, cancelChild := context.WithCancel(ctx)
		defer cancelChild()
		began := time.Now()
		<-child.Done()
		require.Equal(t, time.Second, time.Since(began))
		require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
		require.ErrorIs(t, child.Err(), context.DeadlineExceeded)
	})
}

func TestDetachedIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := detach(t.Context(), time.Hour)
		waiting := ctx.Done()
		cancel()
		cancel()
		<-waiting
		require.ErrorIs(t, ctx.Err(), context.Canceled)
		late, cancelLate := detach(t.Context(), time.Hour)
		cancelLate()
		<-late.Done()
		deadline, ok := late.Deadline()
		require.True(t, ok)
		require.Equal(t, time.Hour, time.Until(deadline))
	})
}
