package servers

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// verdict is a test whose end is noted instead of taking the process with it.
type verdict struct {
	testing.TB
	skipped, failed bool
}

func (*verdict) Helper() {}

func (v *verdict) Skip(...any) { v.skipped = true }

func (v *verdict) Fatal(...any) { v.failed = true }

// A server that is not installed must not turn a check into one that passes without having looked.
func TestRequire(t *testing.T) {
	missing := fmt.Errorf("%w: redis-server: install it", ErrMissing)
	for _, test := range []struct {
		name, ci        string
		err             error
		skipped, failed bool
	}{
		{name: "started"},
		{name: "started in CI", ci: "true"},
		{name: "not installed", err: missing, skipped: true},
		{name: "not installed in CI", ci: "true", err: missing, failed: true},
		{name: "does not start", err: errors.New("port taken"), failed: true},
		{name: "does not start in CI", ci: "true", err: errors.New("port taken"), failed: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("CI", test.ci)
			v := &verdict{TB: t}
			Require(v, test.err)
			require.Equal(t, test.skipped, v.skipped, "skipped")
			require.Equal(t, test.failed, v.failed, "failed")
		})
	}
}

func TestAProgramThatIsNotThereIsMissing(t *testing.T) {
	_, err := program("no-such-server", "install it")
	require.ErrorIs(t, err, ErrMissing)
	require.ErrorContains(t, err, "install it", "the error must say what to do")
	path, err := program("no-such-server", "install it", "no-such-place/sh", "sh")
	require.NoError(t, err)
	require.NotEmpty(t, path)
}
