package budget

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// PolicyDocument returns the policy document that the store keeps. Its Version is zero if there was never one.
func (o *Operator) PolicyDocument(ctx context.Context) (driver.PolicyDocument, error) {
	d, err := o.store.Policy(ctx)
	return d, storeError("policy", err)
}

// SetPolicyDocument stores a policy document if the present one still has the version that the caller has read, zero for none. Else it
// changes nothing and returns ErrSuperseded. An empty document removes the present one.
func (o *Operator) SetPolicyDocument(ctx context.Context, document []byte, version int64, reason string) error {
	if err := driver.ValidateDocument(document); err != nil {
		return err
	}
	c := driver.Change{ID: driver.NewID(), Seen: version, Operator: operatorOf(ctx), Reason: reason}
	if err := c.Validate(); err != nil {
		return err
	}
	return persist(ctx, func() error { return storeError("set policy", o.store.SetPolicy(ctx, document, c)) })
}

// SetPolicy makes the ledger enforce another policy once it returns. If that can't be enforced, it returns every reason (ErrInvalidPolicy)
// and changes nothing. Accounts keep what was spent: a limit is the same one if its name, unit, window and split are. Calls that were
// admitted before are settled in the accounts in which they were reserved. The limits of OpenOptions.Beside stay in force.
func (l *Ledger) SetPolicy(p Policy) error {
	p = l.with(p)
	if err := p.Validate(); err != nil {
		return err
	}
	l.rules.Store(&rules{policy: p})
	return nil
}

// agreed returns the policy that a new ledger enforces. p is the one that the caller gave to Open. If the store holds a policy, that is enforced,
// and p must be equal to it or empty. With own (OpenOptions.OwnPolicy), or if the store holds none, p is enforced.
func (l *Ledger) agreed(ctx context.Context, p Policy, own bool) (Policy, error) {
	if own {
		return p, nil
	}
	var d driver.PolicyDocument
	err := persist(ctx, func() (err error) {
		d, err = l.PolicyDocument(ctx)
		return err
	})
	if err != nil || len(d.Text) == 0 {
		return p, err
	}
	held, err := ReadPolicy(bytes.NewReader(d.Text))
	switch {
	case err != nil:
		return p, fmt.Errorf("%w: version %d of the policy that the store holds can't be read: %w", ErrInvalidPolicy, d.Version, err)
	case len(p.Limits) == 0 || same(p, held):
		return held, nil
	}
	return p, fmt.Errorf("%w: the store holds another policy, version %d: open with that one by giving none, or set OpenOptions.OwnPolicy", ErrInvalidPolicy, d.Version)
}

// same reports whether two policies are equal: whether WritePolicy writes the same file for both.
func same(p, q Policy) bool {
	var a, b bytes.Buffer
	return WritePolicy(&a, p) == nil && WritePolicy(&b, q) == nil && bytes.Equal(a.Bytes(), b.Bytes())
}

// followEvery is how often FollowPolicy asks a store that can't signal changes.
const followEvery = time.Second

// FollowPolicy makes the ledger enforce the policy document in the store, within two seconds of each change, until ctx ends. Then it returns
// nil. It returns an error if a policy is set that can't be read or enforced: the one before stays in force. If the document is removed, the
// policy stays. If the store does not answer, it asks again. It runs one goroutine, which ends when it returns.
func (l *Ledger) FollowPolicy(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	told := make(chan struct{}, 1) // holds a token if the store has signalled a change
	var listening sync.WaitGroup
	// What is deferred runs in reverse order: cancel ends the goroutine, and Wait waits for its end.
	defer listening.Wait()
	defer cancel()
	listening.Go(func() { l.listen(ctx, told) })
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	seen := int64(-1) // the version of the document that was last looked at; -1 for none yet, as versions begin at zero
	for {
		d, err := l.PolicyDocument(ctx)
		if err == nil && d.Version != seen { // if the store did not answer, the next look asks again
			seen = d.Version
			if err := l.enforce(d); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-told:
		case <-ticker.C:
		}
	}
}

// listen puts a token into told whenever the store signals a change, until ctx ends. If the store can't signal, it returns at once: asking at
// intervals is enough.
func (l *Ledger) listen(ctx context.Context, told chan<- struct{}) {
	_ = l.Signal(ctx, func() {
		select {
		case told <- struct{}{}:
		default: // a look is due already
		}
	})
}

// enforce makes the ledger enforce a document of the store. An empty text is a document that was removed: the policy stays.
func (l *Ledger) enforce(d driver.PolicyDocument) error {
	if len(d.Text) == 0 {
		return nil
	}
	p, err := ReadPolicy(bytes.NewReader(d.Text))
	if err == nil {
		err = l.SetPolicy(p)
	}
	if err != nil {
		return fmt.Errorf("version %d of the policy is not followed: %w", d.Version, err)
	}
	return nil
}
