package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy/keys"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy/sigv4"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// sameAtOnce is how many equal requests that were signed in one second are served. Clients that sign nothing but the date, the host and the
// body give all of them one signature, and agents do send several at once.
const sameAtOnce = 256

// Callers says who may ask. It is safe for concurrent use. An error that wraps bedrockguard.ErrUnauthenticated is answered with 401.
type Callers interface {
	// Screen turns strangers away before their bodies are read. It vouches for nobody.
	Screen(r *http.Request) error
	// Authenticate says on whose account a request is. body is the whole body.
	Authenticate(r *http.Request, body []byte) (budget.Scope, error)
}

// Checks makes Callers of a function that authenticates. Nobody is turned away before the body is read.
type Checks func(r *http.Request, body []byte) (budget.Scope, error)

// Screen implements Callers.
func (Checks) Screen(*http.Request) error { return nil }

// Authenticate implements Callers.
func (c Checks) Authenticate(r *http.Request, body []byte) (budget.Scope, error) { return c(r, body) }

// Keys lets callers in by the virtual keys of a ring: by an AWS signature, made with the secret of a key, or by a bearer key in
// Authorization or X-Api-Key. The key says who pays; a caller is told the same whether there is no such key, or no longer. What was
// signed before the function was called is refused, because nobody knows whether it was served.
func Keys(ring *keys.Ring) Callers {
	now := ring.Now
	if now == nil {
		now = time.Now
	}
	return &keyHolders{ring, sigv4.New(sigv4.Options{Secrets: ring.Secrets, Now: now, Since: now().Add(-time.Second), Duplicates: sameAtOnce})}
}

type keyHolders struct {
	ring     *keys.Ring
	verifier *sigv4.Verifier
}

// Screen implements Callers.
func (k *keyHolders) Screen(r *http.Request) error {
	if !sigv4.Signed(r) {
		_, err := k.bearer(r)
		return err
	}
	if err := k.verifier.Screen(r); err != nil {
		return fmt.Errorf("%w: %w", bedrockguard.ErrUnauthenticated, err)
	}
	return nil
}

// Authenticate implements Callers.
func (k *keyHolders) Authenticate(r *http.Request, body []byte) (budget.Scope, error) {
	if !sigv4.Signed(r) {
		return k.bearer(r)
	}
	id, err := k.verifier.Verify(r, body)
	if err != nil {
		return budget.Scope{}, fmt.Errorf("%w: %w", bedrockguard.ErrUnauthenticated, err)
	}
	return scopeOf(k.ring.Key(r.Context(), id))
}

func (k *keyHolders) bearer(r *http.Request) (budget.Scope, error) {
	shown := Bearer(r)
	if shown == "" {
		return budget.Scope{}, fmt.Errorf("%w: the request shows no key: sign it, or send one in Authorization or X-Api-Key", bedrockguard.ErrUnauthenticated)
	}
	return scopeOf(k.ring.Bearer(r.Context(), shown))
}

// scopeOf is the account of a key.
func scopeOf(key keys.Key, err error) (budget.Scope, error) {
	if err != nil {
		return budget.Scope{}, fmt.Errorf("%w: there is no such key, or no longer, or the keys can't be read", bedrockguard.ErrUnauthenticated)
	}
	return budget.Scope{Principal: key.Principal, Workflow: key.Workflow, Tags: key.Tags}, nil
}

// Bearer is the key that a request shows in plain text: Anthropic's clients have a header of their own for it.
func Bearer(r *http.Request) string {
	if key := r.Header.Get("X-Api-Key"); key != "" {
		return key
	}
	key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return key
}
