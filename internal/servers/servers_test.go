package servers

import (
	"context"
	"errors"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// A server that ends before it answers takes its watchdog with it: that would kill whatever program has the process id when the tests end.
func TestAServerThatEndsAtOnceLeavesNoWatchdog(t *testing.T) {
	p, err := start(t.TempDir(), exec.Command("sh", "-c", "exit 3"))
	require.NoError(t, err)
	require.Error(t, p.await(func(context.Context) error { return errors.New("no answer") }))
	require.NotNil(t, p.watchdog.ProcessState, "the watchdog still runs")
}
