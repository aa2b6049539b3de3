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

// Keys lets callers in by the virtual keys of a ring: by an AWS signature, made with the secret of a key, or by a bearer key in
// Authorization or X-Api-Key. The key says who pays; a caller is told the same whether there is no such key, or no longer. What was
// signed before the function was made is refused, because nobody knows whether it was served.
func Keys(ring *keys.Ring) func(*http.Request, []byte) (budget.Scope, error) {
	now := ring.Now
	if now == nil {
		now = time.Now
	}
	verifier := sigv4.New(sigv4.Options{Secrets: ring.Secrets, Now: now, Since: now().Add(-time.Second), Duplicates: sameAtOnce})
	return func(r *http.Request, body []byte) (budget.Scope, error) {
		if sigv4.Signed(r) {
			id, err := verifier.Verify(r, body)
			if err != nil {
				return budget.Scope{}, fmt.Errorf("%w: %w", bedrockguard.ErrUnauthenticated, err)
			}
			key, err := ring.Key(r.Context(), id)
			return scopeOf(key, err)
		}
		bearer := Bearer(r)
		if bearer == "" {
			return budget.Scope{}, fmt.Errorf("%w: the request shows no key: sign it, or send one in Authorization or X-Api-Key", bedrockguard.ErrUnauthenticated)
		}
		key, err := ring.Bearer(r.Context(), bearer)
		return scopeOf(key, err)
	}
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
