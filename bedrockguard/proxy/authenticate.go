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

// sameAtOnce is how many equal requests that were signed in the same second are served. Clients that sign only the date, the host and the
// body give all of them the same signature, and agents do send several at once.
const sameAtOnce = 256

// Callers decides who may call. It is safe for concurrent use. An error that wraps bedrockguard.ErrUnauthenticated is answered with 401.
type Callers interface {
	// Screen refuses unknown callers before their bodies are read. A request that it accepts is not authenticated yet.
	Screen(r *http.Request) error
	// Authenticate returns the scope to which a request counts. body is the whole body.
	Authenticate(r *http.Request, body []byte) (budget.Scope, error)
}

// Checks makes Callers from a function that authenticates. Every body is read.
type Checks func(r *http.Request, body []byte) (budget.Scope, error)

// Screen implements Callers.
func (Checks) Screen(*http.Request) error { return nil }

// Authenticate implements Callers.
func (c Checks) Authenticate(r *http.Request, body []byte) (budget.Scope, error) { return c(r, body) }

// Keys admits callers with virtual keys from a ring: with an AWS signature that was made with the secret of a key, or with a bearer key in
// Authorization or X-Api-Key. The key decides who pays. The answer is the same for an unknown key and for one that is no longer valid.
// Requests that were signed more than a second or two before Keys was called are refused, because an earlier process may have served them.
func Keys(ring *keys.Ring) Callers {
	now := ring.Now
	if now == nil {
		now = time.Now
	}
	since := now().Add(-time.Second) // the dates of requests are in whole seconds: one that is signed now may seem up to a second old
	return &keyHolders{ring, sigv4.New(sigv4.Options{Secrets: ring.Secrets, Now: now, Since: since, Duplicates: sameAtOnce})}
}

// keyHolders are the Callers that Keys returns.
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

// bearer returns the scope of the key that a request shows in plain text.
func (k *keyHolders) bearer(r *http.Request) (budget.Scope, error) {
	shown := Bearer(r)
	if shown == "" {
		return budget.Scope{}, fmt.Errorf("%w: the request shows no key: sign it, or send one in Authorization or X-Api-Key", bedrockguard.ErrUnauthenticated)
	}
	return scopeOf(k.ring.Bearer(r.Context(), shown))
}

// scopeOf returns the scope of a key that was looked up, or one error whatever the look-up's error was: a caller must not find out which keys exist.
func scopeOf(key keys.Key, err error) (budget.Scope, error) {
	if err != nil {
		return budget.Scope{}, fmt.Errorf("%w: there is no such key, or no longer, or the keys can't be read", bedrockguard.ErrUnauthenticated)
	}
	return budget.Scope{Principal: key.Principal, Workflow: key.Workflow, Tags: key.Tags}, nil
}

// Bearer returns the key that a request has in plain text: in Authorization, or in the header of Anthropic's clients.
func Bearer(r *http.Request) string {
	if key := r.Header.Get("X-Api-Key"); key != "" {
		return key
	}
	// Without the prefix key is the whole value, which has the form of no key and is refused.
	key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return key
}
