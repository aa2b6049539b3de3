package guard

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy/sigv4"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// virtualKeys are the credentials that a child gets. They are valid only at its proxy.
type virtualKeys struct {
	accessKeyID, secret string // a key pair for AWS Signature Version 4
	bearer              string // a key for clients that send it as it is
}

// newVirtualKeys makes keys at random.
func newVirtualKeys() virtualKeys {
	random := make([]byte, 60)
	_, _ = rand.Read(random) // never fails
	// 8 of the bytes are for the id of the key pair, 20 for its secret, and 32 for the bearer key.
	return virtualKeys{accessKeyID: "BGRUN" + hex.EncodeToString(random[:8]), secret: hex.EncodeToString(random[8:28]), bearer: "bg-" + hex.EncodeToString(random[28:])}
}

// sameAtOnce is how many equal requests are served in one second. A program may send some: clients that sign only the date, the host and the
// body give all of them the same signature.
const sameAtOnce = 1 << 16

// callers admits requests with one of the keys, and no others: signed by the key pair, or with the bearer key. All calls count under scope.
func (k virtualKeys) callers(scope budget.Scope) proxy.Callers {
	verifier := sigv4.New(sigv4.Options{
		Secrets: func(_ context.Context, id string) ([][]byte, error) {
			if id != k.accessKeyID {
				return nil, sigv4.ErrUnknownKey
			}
			return [][]byte{[]byte(k.secret)}, nil
		},
		Duplicates: sameAtOnce,
	})
	return proxy.Checks(func(r *http.Request, body []byte) (budget.Scope, error) {
		if sigv4.Signed(r) {
			if _, err := verifier.Verify(r, body); err != nil {
				return budget.Scope{}, fmt.Errorf("%w: %w", bedrockguard.ErrUnauthenticated, err)
			}
			return scope, nil
		}
		if !sameSecret(proxy.Bearer(r), k.bearer) {
			return budget.Scope{}, fmt.Errorf("%w: the program's own credentials are not those that bedrockguard run gave it", bedrockguard.ErrUnauthenticated)
		}
		return scope, nil
	})
}

// sameSecret compares two texts in constant time.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
