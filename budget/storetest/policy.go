package storetest

import (
	"bytes"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// policy returns the policy document that the store holds.
func (s *subject) policy() driver.PolicyDocument {
	s.t.Helper()
	d, err := s.store.Policy(s.ctx)
	require.NoError(s.t, err)
	return d
}

// The rules of the policy document. Its version is the revision of the ledger, the number of all changes so far, after it was set. s.newChange
// returns a change whose caller has seen all of them.
var policyRules = []rule{
	{"APolicyIsKept", "the document that was set last is told with its version, its time and who set it, byte by byte, by all handles", func(s *subject) {
		require.Equal(s.t, driver.PolicyDocument{}, s.policy())
		s.kill(callScope, "so that the first version is not 1")
		// Nearly as long as is allowed: the beginning, which has bytes that are no valid text, is shorter than 32 bytes.
		text := append([]byte("limits:\n\x00\xff'\"{}"), bytes.Repeat([]byte{'x'}, driver.MaxPolicyDocument-32)...)
		require.NoError(s.t, s.store.SetPolicy(s.ctx, text, s.newChange()))
		other := s.reopen()
		d, err := other.Policy(s.ctx)
		require.NoError(s.t, err)
		require.WithinDuration(s.t, s.clock.Now(), d.At, time.Microsecond)
		// The kill was revision 1. anna and because are the operator and the reason of newChange.
		require.Equal(s.t, driver.PolicyDocument{Text: text, Version: 2, At: d.At, Operator: "anna", Reason: "because"}, d)
		records := s.records(1, 10)
		require.Len(s.t, records, 1)
		require.Equal(s.t, [2]any{driver.ChangePolicy, driver.DocumentSum(text)}, [2]any{records[0].Kind, records[0].Policy})
	}},
	{"APolicyIsComparedAndSet", "of two who set it from the same version one is told ErrSuperseded, and the other one's stands", func(s *subject) {
		from := func(version int64) driver.Change { return driver.Change{ID: driver.NewID(), Seen: version} }
		require.NoError(s.t, s.store.SetPolicy(s.ctx, []byte("first"), from(0)))
		s.kill(callScope, "what else changes does not count")
		// The flag has raised the revision of the ledger, but not the version of the document.
		version := s.policy().Version
		require.NoError(s.t, s.store.SetPolicy(s.ctx, []byte("second"), from(version)))
		require.ErrorIs(s.t, s.store.SetPolicy(s.ctx, []byte("third"), from(version)), driver.ErrSuperseded)
		require.Equal(s.t, "second", string(s.policy().Text))
	}},
	{"APolicyIsTakenBack", "an empty document stands for none, and its version goes on", func(s *subject) {
		require.NoError(s.t, s.store.SetPolicy(s.ctx, []byte("first"), s.newChange()))
		require.NoError(s.t, s.store.SetPolicy(s.ctx, nil, s.newChange()))
		d := s.policy()
		require.Empty(s.t, d.Text)
		require.Equal(s.t, int64(2), d.Version)
		// The hash in the audit trail is zero for a document that was removed.
		require.Equal(s.t, [32]byte{}, s.records(1, 1)[0].Policy)
	}},
	{"APolicyHasALength", "a document that is too long is ErrInvalidPolicy, and no change", func(s *subject) {
		err := s.store.SetPolicy(s.ctx, make([]byte, driver.MaxPolicyDocument+1), s.newChange())
		require.ErrorIs(s.t, err, driver.ErrInvalidPolicy)
		require.Zero(s.t, s.revision())
	}},
}
