// Package httpdoor brings the calls of HTTP clients to the chain (package chain), which judges, reserves for and settles each. It is a RoundTripper
// that knows Bedrock's hosts and routes, and refuses in the dialect of each.
//
// A route is what a method and a path ask for; its form is the JSON dialect of its requests and answers. A chain.Call is what the chain knows of a
// request, a chain.Sending holds the attempt to send it that is under way; both are found in the request's context. A chain.Refused is an error
// by which the guard refuses. In shadow mode (bedrockguard.Options.Shadow) most refusals are only reported: Guard.Shadows says whether one is only
// reported. If such a refusal leaves the cost unknown, Guard.PassUnmetered sets Call.Unmetered, and nothing is reserved for the request.
package httpdoor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/chain"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/refusal"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
)

// Options is bedrockguard.TransportOptions, whose fields it has and which describes them in full.
type Options struct {
	Hosts  map[string]string                          // further hosts, with their regions; an empty region: not Bedrock
	Sign   func(req *http.Request, body []byte) error // signs what was admitted; nil signs nothing
	Errors bool                                       // a refusal is an error of RoundTrip, not a response
}

// New returns the transport of bedrockguard.Guard.Transport.
func New(g *chain.Guard, base http.RoundTripper, o Options) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	hosts := make(map[string]string, len(o.Hosts))
	for host, region := range o.Hosts {
		hosts[strings.ToLower(host)] = region
	}
	_, direct := base.(*http.Transport)
	return &transport{guard: g, base: base, hosts: hosts, sign: o.Sign, errors: o.Errors, direct: direct}
}

// CloseIdleConnections makes base close its idle connections: net/http asks a client's transport for that.
func (t *transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// transport is the guard in front of an HTTP client's own transport. It is safe for concurrent use.
type transport struct {
	guard  *chain.Guard
	base   http.RoundTripper                 // sends what is admitted
	hosts  map[string]string                 // Options.Hosts, in lower case
	sign   func(*http.Request, []byte) error // Options.Sign; nil signs nothing
	errors bool                              // Options.Errors
	direct bool                              // base is net/http's own transport
}

// RoundTrip implements http.RoundTripper. Requests to other hosts than Bedrock's pass.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if s := chain.SendingFrom(req.Context()); s != nil && s.Covers(req.URL) { // the guard of an SDK client has admitted it already
		return t.base.RoundTrip(req)
	}
	region, whose := t.place(req)
	if whose == somebodyElses {
		return t.base.RoundTrip(req)
	}
	d := &httpCall{transport: t, asked: req, route: routeOf(req.Method, req.URL), unknownHost: whose == nobodySays}
	d.call = &chain.Call{Operation: d.route.operation, Region: region, OverHTTP: true, Form: d.route.form}
	resp, err := d.run(req.Context())
	if refused, ok := errors.AsType[chain.Refused](err); ok {
		if t.errors {
			return nil, refused.Err
		}
		return Refuse(req, refused.Err), nil
	}
	return resp, err
}

// owner says to whom a request's host belongs.
type owner uint8

const (
	bedrocks      owner = iota // Bedrock: its requests are guarded
	somebodyElses              // not Bedrock: its requests pass unchanged
	nobodySays                 // the path is one of Bedrock's, but the host is unknown: its requests are refused
)

// place returns to whom a request's host belongs and, if it is Bedrock, its region. A request names up to two hosts: the one that it is sent to,
// and the one in its Host header. The first one that is known decides. Options.Hosts goes before AWS's names.
func (t *transport) place(req *http.Request) (region string, whose owner) {
	for _, host := range [...]string{req.URL.Host, req.Host} {
		if host == "" {
			continue
		}
		for _, spelled := range spellings(req.URL.Scheme, host) {
			if region, named := t.hosts[spelled]; named {
				if region == "" {
					return "", somebodyElses
				}
				return region, bedrocks
			}
		}
		if kind, region := endpointOf(hostname(host)); kind != elsewhere {
			return region, bedrocks
		}
		// net/http maps some letters outside of ASCII to those of AWS's names, so that such a host may be AWS's all the same. Then a path of OpenAI's
		// or Anthropic's own is refused, too, which looksLikeBedrock below takes for that of another service.
		if !isASCII(host) && strings.HasPrefix(req.URL.Path, "/v1/") {
			return "", nobodySays
		}
	}
	if looksLikeBedrock(req.URL) {
		return "", nobodySays
	}
	return "", somebodyElses
}

// spellings returns the ways in which Options.Hosts may have a host: as it is, without its scheme's default port, and with it. A host with
// another port has one spelling.
func spellings(scheme, host string) []string {
	host = strings.ToLower(host)
	defaultPort, known := map[string]string{"http": ":80", "https": ":443"}[scheme]
	if !known { // the host may still end in a dot
		return []string{host, strings.TrimSuffix(host, ".")}
	}
	name, hadDefault := strings.CutSuffix(host, defaultPort)
	if !hadDefault && strings.Contains(host, ":") { // another port
		return []string{host}
	}
	name = strings.TrimSuffix(name, ".")
	return []string{host, name, name + defaultPort}
}

// isASCII reports whether a host holds nothing above '~', the last printable character of ASCII.
func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > '~' }) < 0
}

// hostname returns a host without its port.
func hostname(host string) string {
	name, _, _ := strings.Cut(host, ":")
	return name
}

// httpCall is one request that goes through the guard.
type httpCall struct {
	transport *transport
	asked     *http.Request  // as the client made it
	route     route          // what its method and path ask for
	call      *chain.Call    // what the chain knows of it
	response  *http.Response // the answer, for the client; nil until there is one
	asksUsage bool           // the guard has added to the body that the stream is to tell its usage, for which the client has not asked

	unknownHost bool // neither AWS's names nor TransportOptions.Hosts include the host
}

// run sends the request: unmetered if its route costs nothing, and else after the guard has judged it. A refusal is a chain.Refused; any other error
// is one of reading the client's body, of signing, or of the base transport.
func (d *httpCall) run(ctx context.Context) (*http.Response, error) {
	passes := d.route.treatment == inputs.Free && !hasHeader(d.asked.Header, "Upgrade") // an upgraded connection could carry anything
	// Nothing needs the body, which is handed on unread.
	if passes && d.transport.sign == nil {
		return d.transport.hand(d.asked)
	}
	body, err := d.body()
	if err != nil {
		return nil, err
	}
	if passes {
		return d.pass(ctx, body)
	}
	return d.guarded(ctx, body)
}

// guarded judges a request and sends it. A body that is signed already is sent as it is: neither its output limit nor its question for usage is
// changed.
func (d *httpCall) guarded(ctx context.Context, body []byte) (resp *http.Response, err error) {
	g, c := d.transport.guard, d.call
	if d.route.form == inputs.FormChat && !signed(d.asked) {
		body, d.asksUsage = cost.AskForUsage(body) // a streamed chat completion tells its usage only if it is asked
	}
	if g.ChecksCache() {
		defer func() { g.CacheOver(ctx, c, err) }() // tells the cache check that the call is over, also after a panic or runtime.Goexit
	}
	input, err := d.identify(ctx, body)
	if err != nil {
		if err = d.refuseUnlessShadow(ctx, err); err != nil {
			return nil, err
		}
		input = d.input(cmp.Or(d.route.model, c.ModelInBody), body) // as it was before the cache check
	}
	err = d.sendLimited(ctx, input)
	if d.response != nil {
		d.response.Request = d.asked // not the admitted request, which would pass without being metered if somebody sent it again
	}
	return d.response, err
}

// refuseUnlessShadow returns what identify refuses as a chain.Refused, after its event. It returns nil if shadow mode only reports the refusal: then
// the request is sent.
func (d *httpCall) refuseUnlessShadow(ctx context.Context, err error) error {
	if !d.transport.guard.Shadows(err) {
		return d.denied(ctx, err)
	}
	if errors.Is(err, catalog.ErrUnpriced) || errors.Is(err, refusal.ErrUnsupportedOperation) {
		return d.passUnmetered(ctx, err)
	}
	// The refusal is not about the cost, which can still be worked out and reserved.
	d.transport.guard.ReportShadowed(ctx, d.call, err)
	return nil
}

// passUnmetered makes the call one of unknown cost, for which nothing is reserved (Call.Unmetered). If its scope was killed it is refused instead.
func (d *httpCall) passUnmetered(ctx context.Context, err error) error {
	if err = d.transport.guard.PassUnmetered(ctx, d.call, err); err != nil {
		return d.denied(ctx, err)
	}
	return nil
}

// sendLimited sends a request, with the output limit that Guard.Limited sets if it may be changed.
func (d *httpCall) sendLimited(ctx context.Context, input any) error {
	g := d.transport.guard
	if d.call.Unmetered || !g.LimitsOutput() || signed(d.asked) {
		return d.send(ctx, input)
	}
	return g.Limited(ctx, d.call, input, func(input any) error { return d.send(ctx, input) })
}

// body reads the client's body, up to a bound, and closes it.
func (d *httpCall) body() ([]byte, error) {
	if d.asked.Body == nil {
		return nil, nil
	}
	defer d.asked.Body.Close()
	// One byte more than is allowed shows that the body is too large.
	body, err := io.ReadAll(io.LimitReader(d.asked.Body, chain.MaxBodyBytes+1))
	if err == nil && len(body) > chain.MaxBodyBytes {
		err = chain.Refused{Err: request.MalformedField("body", "is larger than 128 MiB")}
	}
	return body, err
}

// denied emits the event of a refusal, and returns it as a chain.Refused.
func (d *httpCall) denied(ctx context.Context, err error) error {
	d.transport.guard.EmitRefused(ctx, d.call, err)
	return chain.Refused{Err: err}
}

// identify fills in the scope of the call and, where the body names it, the model. It refuses what can't be metered, and runs the cache check. It
// returns the request that is to be sent, as an *inputs.HTTP, in which the cache check may have changed cache points.
func (d *httpCall) identify(ctx context.Context, body []byte) (any, error) {
	g, c := d.transport.guard, d.call
	if err := g.Scope(ctx, &c.Scope); err != nil {
		return nil, err
	}
	switch {
	case d.unknownHost:
		return nil, &refusal.UnknownHostError{Host: d.asked.URL.Host}
	case d.route.treatment == inputs.Refused:
		return d.identifyFlat(ctx, body)
	case hasHeader(d.asked.Header, "Content-Encoding"):
		return nil, request.MalformedField("content-encoding", "is not understood: the body can't be read")
	case hasHeader(d.asked.Header, "Upgrade"):
		return nil, request.MalformedField("upgrade", "would open a connection that nothing is metered on")
	}
	modelID := d.route.model
	if modelID == "" {
		if err := d.readModel(body); err != nil {
			return nil, err
		}
		modelID = c.ModelInBody
	}
	return g.Checked(ctx, c, d.input(modelID, body), &modelID)
}

// identifyFlat is identify for a route whose cost can't be metered. It refuses the route, unless that has an entry in Options.FlatPrices: then the
// request goes on at that price.
func (d *httpCall) identifyFlat(ctx context.Context, body []byte) (any, error) {
	flat, ok := d.transport.guard.FlatPrice(d.route.operation)
	if !ok {
		return nil, &refusal.UnsupportedOperationError{Operation: d.route.operation}
	}
	// Without a model in the input neither cache points nor the output limit are changed.
	return d.input("", body), d.transport.guard.IdentifyFlat(ctx, d.call, startedAsync(d.route.operation, body), flat)
}

// readModel reads the model of a request whose path names none from its body, into Call.ModelInBody.
func (d *httpCall) readModel(body []byte) error {
	modelID, err := cost.ModelOf(body)
	if err != nil {
		return err
	}
	if modelID == "" {
		return request.MalformedField("model", "is missing")
	}
	d.call.ModelInBody = modelID
	return nil
}

// startedAsync returns the SDK input that a StartAsyncInvoke request stands for, with its model; nil for other operations.
func startedAsync(operation string, body []byte) any {
	if operation != "StartAsyncInvoke" {
		return nil
	}
	var in struct {
		ModelID *string `json:"modelId"`
	}
	if json.Unmarshal(body, &in) != nil {
		return nil // the service refuses it
	}
	return &bedrockruntime.StartAsyncInvokeInput{ModelId: in.ModelID}
}

// input returns the request in the form of which the cache check and the output limit make changed copies.
func (d *httpCall) input(modelID string, body []byte) *inputs.HTTP {
	return &inputs.HTTP{Model: modelID, Body: body, Form: d.route.form, Signed: signed(d.asked)}
}

// signed reports whether a request has an AWS signature already, in a header or in its URL: then its body must not be changed.
func signed(req *http.Request) bool {
	return strings.HasPrefix(req.Header.Get("Authorization"), "AWS4-") || req.URL.Query().Has("X-Amz-Signature")
}

// send runs a request through the rest of the chain: it reads what is asked for, reserves, and sends. Guard.Limited calls it again with a lower
// output limit if the budget had no room and nothing was sent.
func (d *httpCall) send(ctx context.Context, input any) error {
	g, c := d.transport.guard, d.call
	in := input.(*inputs.HTTP)
	req, err := d.outgoing(in.Body)
	if err != nil {
		return err
	}
	// Each of the steps may make the call unmetered, if shadow mode only reports its refusal. Then the steps after it are left out, and the request
	// is passed on.
	if !c.Unmetered { // identify has refused nothing
		if err := d.describe(ctx, req, in.Body); err != nil {
			return err
		}
	}
	s := new(chain.Sending)
	if !c.Unmetered {
		// Begin puts the first attempt into s. It emits the event of a refusal itself.
		if req, err = g.Begin(ctx, c, s, req); err != nil {
			return chain.Refused{Err: err}
		}
	}
	if c.Unmetered {
		d.response, err = d.pass(ctx, in.Body) //nolint:bodyclose // its client closes it
		return err
	}
	g.CacheSent(c) // tells the cache check that the call goes out
	return d.transmit(chain.WithSending(ctx, s), s, req, in.Body)
}

// describe reads what the request asks for, and works out what it can cost. A refusal is returned as a chain.Refused; if shadow mode only reports it,
// the call becomes unmetered.
func (d *httpCall) describe(ctx context.Context, req *smithyhttp.Request, body []byte) error {
	err := d.transport.guard.DescribeBody(ctx, d.call, req, body)
	switch {
	case err == nil:
		return nil
	case d.transport.guard.Shadows(err):
		return d.passUnmetered(ctx, err)
	default:
		return d.denied(ctx, err)
	}
}

// pass sends a request for which nothing is reserved.
func (d *httpCall) pass(ctx context.Context, body []byte) (*http.Response, error) {
	req, err := d.outgoing(body)
	if err == nil {
		err = d.sign(req, body)
	}
	if err != nil {
		return nil, err
	}
	resp, err := d.transport.hand(req.Build(ctx))
	if err == nil {
		// As in guarded: the request that was built would pass unmetered if somebody sent it again.
		resp.Request = d.asked
	}
	return resp, err
}

// hand hands a request to the base transport. An answer that switches protocols is an error, because later data on that connection would not be
// metered.
func (t *transport) hand(req *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body.Close()
		return nil, errSwitched
	}
	return resp, err
}

var errSwitched = errors.New("bedrockguard: the answer switches protocols, which no request has asked for")

// hasHeader reports whether a header has a value, whatever the case of its name: net/http sends all of them.
func hasHeader(h http.Header, name string) bool {
	for key, values := range h {
		if strings.EqualFold(key, name) && strings.Join(values, "") != "" {
			return true
		}
	}
	return false
}

// sign signs a request with TransportOptions.Sign, if that is set.
func (d *httpCall) sign(req *smithyhttp.Request, body []byte) error {
	if d.transport.sign == nil {
		return nil
	}
	return d.transport.sign(req.Request, body)
}

// transmit signs a request and hands it to the base transport, by way of Guard.Transmit, which compares it with what was reserved for. It resolves
// the reservation on every way out; that of a stream is resolved when the stream ends.
func (d *httpCall) transmit(ctx context.Context, s *chain.Sending, req *smithyhttp.Request, body []byte) error {
	g := d.transport.guard
	returned := false
	defer func() {
		if !returned { // a panic or runtime.Goexit below
			g.Abandon(ctx, s)
		}
	}()
	if err := d.sign(req, body); err != nil {
		returned = true
		g.NotSent(ctx, s)
		return err
	}
	// roundTrip stands where the SDK has its own transport.
	out, _, err := g.Transmit(ctx, s, middleware.DeserializeInput{Request: req}, middleware.DeserializeHandlerFunc(d.roundTrip), d.transport.direct)
	returned = true
	resp, _ := out.RawResponse.(*smithyhttp.Response)
	g.Conclude(ctx, s, chain.Result{HasStream: true, Err: err}) // the body of a stream goes to the client, which closes it
	if err != nil || resp == nil {
		return err
	}
	d.response = resp.Response
	// The body of an answer that is no stream was read by Transmit, and is in memory.
	if body, ok := s.Streamed(); ok {
		d.response.Body = d.streamed(body)
	}
	return nil
}

// roundTrip sends the request. It has the form of the handler behind the SDK's last middleware, because that is what Guard.Transmit calls.
func (d *httpCall) roundTrip(ctx context.Context, in middleware.DeserializeInput) (out middleware.DeserializeOutput, md middleware.Metadata, err error) {
	req, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return out, md, errors.New("bedrockguard: no HTTP request")
	}
	resp, err := d.transport.hand(req.Build(ctx)) //nolint:bodyclose // its client closes it
	if err == nil {
		out.RawResponse = &smithyhttp.Response{Response: resp}
	}
	return out, md, err
}

// outgoing returns the request with a body in memory. It has no GetBody, because net/http would send such a request again without the guard
// noticing.
func (d *httpCall) outgoing(body []byte) (*smithyhttp.Request, error) {
	// The context does not matter: the request gets that of its sending when it is built (Build).
	clone := d.asked.Clone(context.Background())
	// SetStream below puts the body in. Its length is known, so that no transfer encoding is needed.
	clone.Body, clone.GetBody, clone.ContentLength, clone.TransferEncoding = nil, nil, int64(len(body)), nil
	for name, values := range d.asked.Header { // with canonical names, so that everything that is sent was checked
		if canonical := http.CanonicalHeaderKey(name); canonical != name {
			delete(clone.Header, name)
			clone.Header[canonical] = append(clone.Header[canonical], values...)
		}
	}
	if !signed(d.asked) {
		// A compressed answer can't be read as it passes, and the body's length may have changed.
		clone.Header.Set("Accept-Encoding", "identity")
		clone.Header.Del("Content-Length")
	}
	req := &smithyhttp.Request{Request: clone}
	if len(body) == 0 {
		return req, nil
	}
	return req.SetStream(bytes.NewReader(body))
}
