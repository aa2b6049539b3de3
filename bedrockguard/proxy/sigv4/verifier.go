package sigv4

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Options of a Verifier.
type Options struct {
	// Secrets returns the secrets that an access key id may sign with: one, or two while a master key rotates. It returns ErrUnknownKey, or
	// none, for an id that there is not. Any other error is told as it is, and refuses the request. Required.
	Secrets func(ctx context.Context, accessKeyID string) ([][]byte, error)
	// Services that a credential may name. None stands for "bedrock" and "bedrock-mantle".
	Services []string
	// Now is the clock. Nil is time.Now.
	Now func() time.Time
	// Skew is how far the date of a request may be from the clock, before it or behind. Zero is five minutes, as at AWS.
	Skew time.Duration
	// Since refuses what was signed before: a process that has just begun knows nothing of what the one before it has served. The zero
	// value refuses nothing.
	Since time.Time
	// MaxSeen bounds how many requests are remembered, at about 150 bytes each. Zero is 262,144. What is more pushes out the oldest
	// second, and whatever is dated in it or before is refused from then on.
	MaxSeen int
	// Duplicates is how often one signature is served again within two seconds. Clients that sign nothing but date, host and body (LiteLLM,
	// the Vercel AI SDK) send the same signature with each of several equal requests in one second, and nothing tells these from replays.
	// Zero serves none of them again.
	//
	// boto3 doesn't sign its invocation id and its attempt either, but sends them: a request that differs in them is no replay, up to 64
	// times within two seconds.
	Duplicates int
}

// Verifier verifies requests. It is safe for concurrent use. Make one with New.
type Verifier struct {
	opts Options
	seed maphash.Seed
	seen *memory
}

// New returns a Verifier. Without Options.Secrets it refuses every request.
func New(o Options) *Verifier {
	if o.Secrets == nil {
		o.Secrets = func(context.Context, string) ([][]byte, error) { return nil, ErrUnknownKey }
	}
	if len(o.Services) == 0 {
		o.Services = []string{"bedrock", "bedrock-mantle"}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Skew <= 0 {
		o.Skew = 5 * time.Minute
	}
	if o.MaxSeen <= 0 {
		o.MaxSeen = 1 << 18
	}
	v := &Verifier{opts: o, seed: maphash.MakeSeed()}
	v.seen = newMemory(&v.opts)
	return v
}

// Verify checks the signature of a request as a server has it, before anything has changed it: RequestURI, Host and the headers as
// received, and all of its body. It returns the access key id that has signed it, or an *Error. A request that it returns no error for
// counts as served.
func (v *Verifier) Verify(r *http.Request, body []byte) (accessKeyID string, err error) {
	a, err := readAuthorization(r.Header)
	if err != nil {
		return "", err
	}
	if err := v.verify(r, &a, body); err != nil {
		if e := (*Error)(nil); errors.As(err, &e) {
			e.AccessKeyID = a.accessKeyID
		}
		return "", err
	}
	return a.accessKeyID, nil
}

// Screen checks what needs no body: that a request is signed, by a key that there is, for this service and at this time. It vouches for
// nothing; it is there so that a server need not take in the bodies of strangers before it verifies them.
func (v *Verifier) Screen(r *http.Request) error {
	a, err := readAuthorization(r.Header)
	if err != nil {
		return err
	}
	if _, err = v.check(r, &a, v.opts.Now()); err == nil {
		_, err = v.secrets(r.Context(), &a)
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		e.AccessKeyID = a.accessKeyID
	}
	return err
}

func (v *Verifier) verify(r *http.Request, a *authorization, body []byte) error {
	now := v.opts.Now()
	at, err := v.check(r, a, now)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	payloadHash := hex.EncodeToString(sum[:])
	if err := checkPayload(r.Header, payloadHash); err != nil {
		return err
	}
	request, err := canonicalRequest(r, a, payloadHash)
	if err != nil {
		return err
	}
	sum = sha256.Sum256([]byte(request))
	toSign := algorithm + "\n" + at.Format(amzTime) + "\n" + a.scope() + "\n" + hex.EncodeToString(sum[:])
	if err := v.compare(r.Context(), a, toSign); err != nil {
		return err
	}
	return v.seen.take(now, at.Unix(), a.signature, v.attempt(r.Header))
}

// check looks at what needs no secret.
func (v *Verifier) check(r *http.Request, a *authorization, now time.Time) (at time.Time, err error) {
	if at, err = a.signedAt(r.Header); err != nil {
		return at, err
	}
	if !slices.Contains(v.opts.Services, a.service) {
		return at, malformed("a credential for another service than " + strings.Join(v.opts.Services, " or "))
	}
	if !a.signs("host") && !a.signs(":authority") {
		return at, malformed("Host is not signed")
	}
	if !a.signs("x-amz-date") {
		return at, malformed("X-Amz-Date is not signed")
	}
	for name := range r.Header {
		name = strings.ToLower(name)
		if (name == "x-amz-security-token" || strings.HasPrefix(name, "x-amzn-bedrock-")) && !a.signs(name) {
			return at, malformed(name + " is not signed")
		}
	}
	if off := now.Sub(at); off.Abs() > v.opts.Skew {
		return at, &Error{Err: ErrSkew, Detail: fmt.Sprintf("its date is %s away from this clock, and %s is allowed: set the client's clock", off.Abs().Round(time.Second), v.opts.Skew)}
	}
	return at, nil
}

// checkPayload compares the hash that the request tells, if it tells one, with the body's.
func checkPayload(h http.Header, payloadHash string) error {
	values := h["X-Amz-Content-Sha256"]
	switch {
	case len(values) == 0:
		return nil
	case len(values) > 1:
		return malformed("more than one X-Amz-Content-Sha256")
	case strings.HasPrefix(values[0], "UNSIGNED-") || strings.HasPrefix(values[0], "STREAMING-"):
		return &Error{Err: ErrPayload, Detail: "it was signed without its body: have the client sign the payload"}
	case values[0] != payloadHash:
		return &Error{Err: ErrPayload}
	}
	return nil
}

// secrets returns those that a key may sign with: one at least.
func (v *Verifier) secrets(ctx context.Context, a *authorization) ([][]byte, error) {
	all, err := v.opts.Secrets(ctx, a.accessKeyID)
	if err != nil {
		return nil, &Error{Err: err}
	}
	all = slices.DeleteFunc(slices.Clone(all), func(secret []byte) bool { return len(secret) == 0 }) // everybody knows that one
	if len(all) == 0 {
		return nil, &Error{Err: ErrUnknownKey}
	}
	return all, nil
}

// compare signs anew with each secret that the key may have.
func (v *Verifier) compare(ctx context.Context, a *authorization, toSign string) error {
	secrets, err := v.secrets(ctx, a)
	if err != nil {
		return err
	}
	match := false
	for _, secret := range secrets {
		key := mac(append([]byte("AWS4"), secret...), a.day)
		for _, step := range [...]string{a.region, a.service, ending} {
			key = mac(key, step)
		}
		match = hmac.Equal(mac(key, toSign), a.signature[:]) || match
	}
	if !match {
		return &Error{Err: ErrMismatch, Detail: "the secret is another one, or something on the way has changed path, query, Host or a signed header"}
	}
	return nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// attempt tells the attempts of one call apart where the signature doesn't. It is 0 for a request that tells nothing.
func (v *Verifier) attempt(h http.Header) uint64 {
	id, request := h.Get("Amz-Sdk-Invocation-Id"), h.Get("Amz-Sdk-Request")
	if id == "" {
		return 0
	}
	return max(maphash.String(v.seed, id+"\n"+request), 1)
}
