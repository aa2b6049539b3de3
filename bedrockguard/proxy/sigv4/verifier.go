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

// Options configures a Verifier.
type Options struct {
	// Secrets returns the secrets that may belong to an access key id: one, or two while a master key is replaced. For an unknown id it
	// returns ErrUnknownKey, or none. Any other error is returned as it is, and refuses the request. Required.
	Secrets func(ctx context.Context, accessKeyID string) ([][]byte, error)
	// Services are the services that a credential may name. Without any, these are "bedrock" and "bedrock-mantle".
	Services []string
	// Now is the clock. Nil is time.Now.
	Now func() time.Time
	// Skew is how far the date of a request may differ from the clock in either direction. Zero is five minutes, as at AWS.
	Skew time.Duration
	// Since refuses requests that were signed before it: a process that has just started does not know what the process before it has
	// served. The zero value refuses none.
	Since time.Time
	// MaxSeen bounds how many requests are remembered, at about 150 bytes each. Zero is 262,144. If there are more, the oldest second is
	// forgotten, and requests with that date or an earlier one are refused.
	MaxSeen int
	// Duplicates is how often one signature is served again within two seconds. Clients that sign only date, host and body (LiteLLM, the Vercel
	// AI SDK) send the same signature with several equal requests in one second, and these can't be told from replays. Zero serves none of them
	// again.
	//
	// boto3 doesn't sign its invocation id and its attempt number either, but sends them: an equal signature with another id or number is served
	// again, up to 64 times within two seconds.
	Duplicates int
}

// Verifier verifies requests. It is safe for concurrent use. Make one with New.
type Verifier struct {
	opts Options
	seed maphash.Seed // for attempt
	seen *memory      // the signatures that were served
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

// Verify checks the signature of a request as the server has received it, before anything has changed it: RequestURI, Host, the headers, and
// the whole body. It returns the access key id of the signature, or an *Error. If it returns no error, the request counts as served.
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

// Screen checks what needs no body: that a request is signed, with a known key, for this service and at this time. It does not verify the
// signature; it only saves a server from reading the bodies of strangers. Its errors name the access key id of the request, too.
func (v *Verifier) Screen(r *http.Request) error {
	a, err := readAuthorization(r.Header)
	if err != nil {
		return err
	}
	// Both results are dropped: here it only matters that there are a date in range and a secret.
	if _, err = v.check(r, &a, v.opts.Now()); err == nil {
		_, err = v.secrets(r.Context(), &a)
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		e.AccessKeyID = a.accessKeyID
	}
	return err
}

// verify checks a request whose Authorization header was parsed as a, and records that it is served. The cheap checks come first.
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
	// As AWS prescribes: the algorithm, the date, what the credential is for (day, region, service), and the hash of the canonical request.
	toSign := algorithm + "\n" + at.Format(amzTime) + "\n" + a.scope() + "\n" + hex.EncodeToString(sum[:])
	if err := v.compare(r.Context(), a, toSign); err != nil {
		return err
	}
	return v.seen.take(now, at.Unix(), a.signature, v.attempt(r.Header))
}

// check checks what needs neither the secret nor the body, and returns when the request was signed. Bedrock's own headers and the session token have
// to be signed if they are there, because a stranger could add them on the way.
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

// checkPayload compares the hash in the request, if there is one, with the body's.
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

// secrets returns the secrets that may belong to a key: at least one.
func (v *Verifier) secrets(ctx context.Context, a *authorization) ([][]byte, error) {
	all, err := v.opts.Secrets(ctx, a.accessKeyID)
	if err != nil {
		return nil, &Error{Err: err}
	}
	all = slices.DeleteFunc(slices.Clone(all), func(secret []byte) bool { return len(secret) == 0 }) // an empty secret would be known to everybody
	if len(all) == 0 {
		return nil, &Error{Err: ErrUnknownKey}
	}
	return all, nil
}

// compare computes the signature with each secret that the key may have, and returns ErrMismatch unless one gives the request's. The signing key is
// made of the secret in the four steps that AWS prescribes: day, region, service and a fixed ending.
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
		// All secrets are tried, so that the time does not tell which one matches.
		match = hmac.Equal(mac(key, toSign), a.signature[:]) || match
	}
	if !match {
		return &Error{Err: ErrMismatch, Detail: "the secret is another one, or something on the way has changed path, query, Host or a signed header"}
	}
	return nil
}

// mac returns the HMAC-SHA256 of a text.
func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// attempt returns a number that differs for the attempts of one call, and for calls whose signatures are equal. It is a hash of two headers that
// boto3 sends but does not sign; 0 if the request has none.
func (v *Verifier) attempt(h http.Header) uint64 {
	id, request := h.Get("Amz-Sdk-Invocation-Id"), h.Get("Amz-Sdk-Request")
	if id == "" {
		return 0
	}
	// 0 stands for no attempt number, so a hash is at least 1.
	return max(maphash.String(v.seed, id+"\n"+request), 1)
}
