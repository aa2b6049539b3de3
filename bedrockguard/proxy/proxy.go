// Package proxy is an HTTP handler in front of Amazon Bedrock: with it a guard limits every client whose endpoint can be set, in any
// language.
//
// A request is authenticated, gets the scope of its caller, is checked and settled by the guard's Transport, signed with the proxy's own
// credentials and sent to Bedrock; the answer is passed on as it arrives. Requests keep their dialect: Converse, InvokeModel, OpenAI's chat
// completions and responses, Anthropic's messages. A refusal is answered in the same dialect, with status 402, which clients do not retry by
// themselves; its figures are in headers X-Bedrockguard-*.
package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// ErrInvalidOptions says that New can't use the options. New returns all errors, joined.
var ErrInvalidOptions = errors.New("proxy: invalid options")

// Options configures a Handler.
type Options struct {
	// Guard checks every request. It is required; the caller closes it.
	Guard *bedrockguard.Guard

	// Region is the region of Bedrock, whose prices apply, such as "us-east-1". It is required.
	Region string

	// Upstream is where requests are sent. Nil means Bedrock's endpoints in the region: bedrock-mantle for routes that only it has,
	// Bedrock's control plane for lists of models and profiles, and bedrock-runtime for all others.
	Upstream *url.URL

	// Sign signs a request for Bedrock with the proxy's own credentials, after all changes. It is required; body is the request's.
	Sign func(req *http.Request, body []byte) error

	// Callers decides who may call, and with which scope. It is required: Keys is for virtual keys, Loopback admits everyone who can reach a
	// loopback listener, and Checks uses a function.
	Callers Callers

	// Base sends signed requests. Nil uses a transport of the handler's own with net/http's defaults.
	Base http.RoundTripper

	// MaxBody is the largest accepted request, in bytes. Zero is 32 MiB, more than Bedrock accepts.
	MaxBody int64

	// BodyTimeout is how long a request's body may take to arrive. Zero is one minute.
	BodyTimeout time.Duration
}

const (
	defaultMaxBody     = 32 << 20
	defaultBodyTimeout = time.Minute
)

// Handler is the proxy. It is safe for concurrent use. Make one with New.
type Handler struct {
	opts    Options
	reverse *httputil.ReverseProxy
}

// problems returns all errors in the options, joined.
func (o *Options) problems() error {
	var errs []error
	missing := func(is bool, what string) {
		if is {
			errs = append(errs, fmt.Errorf("%w: %s is missing", ErrInvalidOptions, what))
		}
	}
	missing(o.Guard == nil, "Guard")
	missing(o.Region == "", "Region")
	missing(o.Sign == nil, "Sign")
	missing(o.Callers == nil, "Callers")
	if o.MaxBody < 0 || o.BodyTimeout < 0 {
		errs = append(errs, fmt.Errorf("%w: MaxBody %d or BodyTimeout %s is negative", ErrInvalidOptions, o.MaxBody, o.BodyTimeout))
	}
	return errors.Join(errs...)
}

// New returns a proxy, or all errors in its options (ErrInvalidOptions). It makes no connections.
func New(o Options) (*Handler, error) {
	if err := o.problems(); err != nil {
		return nil, err
	}
	if o.MaxBody == 0 {
		o.MaxBody = defaultMaxBody
	}
	if o.BodyTimeout == 0 {
		o.BodyTimeout = defaultBodyTimeout
	}
	if o.Base == nil {
		o.Base = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second, DisableCompression: true}
	}
	h := &Handler{opts: o}
	h.reverse = &httputil.ReverseProxy{
		Rewrite:       h.rewrite,
		Transport:     o.Guard.Transport(o.Base, bedrockguard.TransportOptions{Hosts: o.hosts(), Sign: o.Sign}),
		FlushInterval: -1, // events are passed on at once
		ErrorHandler:  h.failed,
		ErrorLog:      log.New(io.Discard, "", 0), // for answers that were cut off, which the guard's events report
	}
	return h, nil
}

// hosts returns the hosts that the guard's transport has to take for Bedrock although they are none of AWS's hosts for models, with their region.
func (o *Options) hosts() map[string]string {
	if o.Upstream != nil {
		return map[string]string{o.Upstream.Host: o.Region}
	}
	// Requests to the control plane are checked and signed like all others.
	controlPlane := endpointFor(http.MethodGet, "/inference-profiles", o.Region)
	return map[string]string{controlPlane: o.Region}
}

// ServeHTTP implements http.Handler. Strangers are refused before their bodies are read (Screen). The body is read whole before the caller is
// authenticated, because its signature covers the body.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// PRI is how HTTP/2 begins, for a server that does not speak it; CONNECT and a path without a slash are for other proxies.
	if r.Method == "PRI" || r.Method == http.MethodConnect || r.URL.Path == "" || r.URL.Path[0] != '/' {
		http.Error(w, "bedrockguard: this is a proxy in front of Amazon Bedrock, and takes requests of its API alone", http.StatusBadRequest)
		return
	}
	if err := h.opts.Callers.Screen(r); err != nil {
		w.Header().Set("Connection", "close") // its body is not read
		refuse(w, r, err)
		return
	}
	body, err := h.body(w, r)
	if err != nil {
		refuse(w, r, err)
		return
	}
	scope, err := h.opts.Callers.Authenticate(r, body)
	if err == nil {
		scope, err = chosen(scope, r.Header)
	}
	if err != nil {
		refuse(w, r, err)
		return
	}
	ctx := context.WithValue(budget.WithScope(r.Context(), scope), bodyKey{}, body)
	h.reverse.ServeHTTP(w, r.WithContext(ctx))
}

// bodyKey is the key under which the request's context has its body, for rewrite.
type bodyKey struct{}

// body reads the whole request. Because that happens first, a client that sends slowly holds no reservation meanwhile.
func (h *Handler) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(h.opts.BodyTimeout)) // if the server does not support it, its own timeouts apply
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.opts.MaxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, &bedrockguard.MalformedError{Field: "body", Reason: fmt.Sprintf("is larger than %d bytes", h.opts.MaxBody)}
	}
	if err != nil {
		return nil, &bedrockguard.MalformedError{Field: "body", Reason: "did not arrive whole"}
	}
	_ = control.SetReadDeadline(time.Time{}) // none for what comes next on the connection
	return body, nil
}

// The headers of a request that are only for the proxy.
const (
	ownHeaders     = "X-Bedrockguard-"
	workflowHeader = ownHeaders + "Workflow"
)

// chosen returns the caller's scope with the workflow that the request names in a header, if it does. If the caller's scope already has another
// workflow, the request is refused, because it would move its spend to another account.
func chosen(scope budget.Scope, h http.Header) (budget.Scope, error) {
	workflow := h.Get(workflowHeader)
	if workflow == "" {
		return scope, nil
	}
	own := budget.Scope{Workflow: workflow}
	if err := own.Validate(); err != nil {
		return scope, err
	}
	// Under returns an error if scope has another workflow.
	return own.Under(scope)
}

// rewrite turns the incoming request into the one for Bedrock, which the guard's transport checks and signs: it has another host, the body that was
// read, and nothing of the caller's credentials.
func (h *Handler) rewrite(r *httputil.ProxyRequest) {
	to := h.opts.Upstream
	if to == nil {
		to = &url.URL{Scheme: "https", Host: endpointFor(r.In.Method, r.In.URL.EscapedPath(), h.opts.Region)}
	}
	r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, to.Host
	body, _ := r.In.Context().Value(bodyKey{}).([]byte)
	// The incoming body was read to its end, so the request gets a new one.
	r.Out.Body, r.Out.ContentLength, r.Out.TransferEncoding = nil, int64(len(body)), nil
	if len(body) > 0 {
		r.Out.Body = io.NopCloser(bytes.NewReader(body))
	}
	dropSignature(r.Out.URL)
	for name := range r.Out.Header {
		if strings.HasPrefix(name, ownHeaders) || !passedOn(name) {
			delete(r.Out.Header, name)
		}
	}
}

// dropSignature takes a caller's signature, which was not verified, out of a URL that is signed in its query.
func dropSignature(u *url.URL) {
	query := u.Query()
	if !query.Has("X-Amz-Signature") && !query.Has("X-Amz-Credential") {
		return
	}
	for name := range query {
		if strings.HasPrefix(name, "X-Amz-") {
			query.Del(name)
		}
	}
	u.RawQuery = query.Encode()
}

// passedOn reports whether a header of the request is sent to Bedrock. These are kept back: headers with the caller's credentials or signature,
// those that say where or from which client the request came, and those about the connection to this proxy.
func passedOn(name string) bool {
	switch name {
	case "Authorization", "X-Api-Key", "Cookie", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "X-Amz-User-Agent", "Forwarded", "Expect", "Upgrade", "Connection", "Origin", "Referer":
		return false
	default:
		return !strings.HasPrefix(name, "X-Forwarded-") && !strings.HasPrefix(name, "Sec-")
	}
}

// endpointFor returns the AWS host that serves a path (pages of the endpoints, 2026-11): bedrock-mantle for the routes that only it has, the
// control plane for what clients ask of it on the same base URL, and bedrock-runtime for all others.
func endpointFor(method, path, region string) string {
	domain := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		domain += ".cn"
	}
	switch {
	case strings.HasPrefix(path, "/v1/"), path == "/anthropic/v1/messages/count_tokens":
		return "bedrock-mantle." + region + ".api.aws"
	case method == http.MethodGet && (isOrBelow(path, "/inference-profiles") || isOrBelow(path, "/foundation-models")):
		return "bedrock." + region + "." + domain
	default:
		return "bedrock-runtime." + region + "." + domain
	}
}

// isOrBelow reports whether a path is a folder, or lies in it.
func isOrBelow(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// failed answers a request to which Bedrock gave no answer. If the caller has left, it ends the connection instead.
func (h *Handler) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // net/http's way to end a connection without an answer
	}
	// The text of err is not passed on, because it may name hosts.
	refuse(w, r, fmt.Errorf("%w: what the request may have cost is in the ledger", bedrockguard.ErrUnreachable))
}

// refuse answers with an error in the dialect of the request's route.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	resp := bedrockguard.Refuse(r, err)
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}
