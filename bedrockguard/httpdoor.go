package bedrockguard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/event"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/refusal"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
)

// TransportOptions configures Guard.Transport. The zero value is the strict default.
type TransportOptions struct {
	// Hosts lists further hosts that serve Bedrock, such as a gateway or a test server, with the region whose prices apply. A host is
	// written as in a URL, with its port if it has one. An empty region says that the host is not Bedrock although its paths look like it:
	// its requests pass unchanged. AWS's own names of bedrock-runtime and bedrock-mantle need no entry: regional, FIPS, dual-stack, VPC
	// endpoints, every partition.
	Hosts map[string]string

	// Sign signs a request that was admitted, after all changes to its body, and before it is handed to base. Nil signs nothing.
	Sign func(req *http.Request, body []byte) error

	// Errors makes RoundTrip return a refusal as an error, for a plain http.Client. By default a refusal is a response in the dialect of the
	// route, because the clients of Anthropic and OpenAI retry whatever RoundTrip returns as an error; Refusal returns the error of such a
	// response. Errors also decides how a killed stream ends: with an error of its Read, instead of an event of its dialect.
	Errors bool
}

// Transport guards what an HTTP client sends to Bedrock: Converse, InvokeModel, OpenAI's chat completions and responses, and Anthropic's
// messages, on the hosts of bedrock-runtime and bedrock-mantle. Base sends what is admitted; nil is http.DefaultTransport. The transport is
// safe for concurrent use, and serves any number of clients.
//
// Each request is reserved for, sent and settled separately, with the scope of its context (budget.WithScope). A route that costs nothing
// passes. A route whose cost can't be metered is refused, and so is an unknown route on a Bedrock host. A request to another host passes
// unchanged, unless its path is one of Bedrock's: then it is refused, until TransportOptions.Hosts says what the host is. A request that an
// SDK client with a guard has admitted passes, and is counted once.
//
// It has to be the last RoundTripper before the network: whatever comes after it could change or repeat the request. A body that is signed
// already, by AWS Signature Version 4, is not changed: cache points and output limits stay as they are, and are only reported. To have them
// changed, sign with TransportOptions.Sign.
func (g *Guard) Transport(base http.RoundTripper, o TransportOptions) http.RoundTripper {
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

type transport struct {
	guard  *Guard
	base   http.RoundTripper
	hosts  map[string]string // in lower case
	sign   func(*http.Request, []byte) error
	errors bool
	direct bool // base is net/http's own
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if s := sendingFrom(req.Context()); s != nil && s.covers(req) {
		return t.base.RoundTrip(req)
	}
	region, whose := t.place(req)
	if whose == somebodyElses {
		return t.base.RoundTrip(req)
	}
	d := &httpCall{transport: t, asked: req, route: routeOf(req.Method, req.URL), unknownHost: whose == nobodySays}
	d.call = &call{operation: d.route.operation, region: region, overHTTP: true, form: d.route.form}
	resp, err := d.run(req.Context())
	if refused, ok := errors.AsType[refusedError](err); ok {
		if t.errors {
			return nil, refused.error
		}
		return Refuse(req, refused.error), nil
	}
	return resp, err
}

// owner says to whom a request's host belongs.
type owner uint8

const (
	bedrocks      owner = iota
	somebodyElses       // not Bedrock: its requests pass unchanged
	nobodySays          // the path is one of Bedrock's, but the host is unknown
)

// place returns to whom a request's host belongs and, if it is Bedrock, its region.
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
		if !isASCII(host) && strings.HasPrefix(req.URL.Path, "/v1/") {
			return "", nobodySays // net/http maps some letters outside of ASCII to those of AWS's names
		}
	}
	if looksLikeBedrock(req.URL) {
		return "", nobodySays
	}
	return "", somebodyElses
}

// spellings returns the ways in which a host can be written: with the default port of its scheme, and without it.
func spellings(scheme, host string) []string {
	host = strings.ToLower(host)
	port := map[string]string{"http": ":80", "https": ":443"}[scheme]
	name, cut := strings.CutSuffix(host, port)
	name = strings.TrimSuffix(name, ".")
	switch {
	case cut || port != "" && !strings.Contains(host, ":"):
		return []string{host, name, name + port}
	default:
		return []string{host}
	}
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > '~' }) < 0
}

// hostname returns a host without its port.
func hostname(host string) string {
	name, _, _ := strings.Cut(host, ":")
	return name
}

// covers reports whether this is the same request that a guard has admitted and handed over.
func (s *sending) covers(req *http.Request) bool {
	a := s.current()
	if a == nil || !a.handedOver.Load() {
		return false
	}
	seen := &a.call.seen
	return a.call.unmetered || seen.path != "" && strings.HasSuffix(req.URL.Path, seen.path)
}

// httpCall is one request that goes through the guard.
type httpCall struct {
	transport *transport
	asked     *http.Request // as the client made it
	route     route
	call      *call
	response  *http.Response
	asksUsage bool // the request asks for usage in the stream although its client did not

	unknownHost bool // neither AWS's names nor TransportOptions.Hosts include the host
}

// run judges the request and sends it. A refusal is a refusedError; any other error is the client's own, or the transport's.
func (d *httpCall) run(ctx context.Context) (resp *http.Response, err error) {
	g, c := d.transport.guard, d.call
	passes := d.route.treatment == inputs.Free && !hasHeader(d.asked.Header, "Upgrade")
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
	if d.route.form == inputs.FormChat && !signed(d.asked) {
		body, d.asksUsage = cost.AskForUsage(body)
	}
	if g.cache != nil {
		defer func() {
			if !c.streaming.Load() { // also on a panic or runtime.Goexit
				g.cacheLost(ctx, c, err)
			}
		}()
	}
	input, err := d.identify(ctx, body)
	if err != nil {
		switch {
		case !g.shadows(err):
			return nil, d.denied(ctx, err)
		case !errors.Is(err, catalog.ErrUnpriced) && !errors.Is(err, refusal.ErrUnsupportedOperation):
			g.reportShadowed(ctx, c, nil, err)
		default:
			if err = g.passUnmetered(ctx, c, err); err != nil {
				return nil, d.denied(ctx, err)
			}
		}
		input = d.input(c.modelInBody, body)
	}
	if c.unmetered || g.opts.Output == (Output{}) || signed(d.asked) {
		err = d.send(ctx, input)
	} else {
		err = g.limited(ctx, c, input, func(input any) error { return d.send(ctx, input) })
	}
	if d.response != nil {
		d.response.Request = d.asked // not the admitted request, which would pass without being metered if somebody sent it again
	}
	return d.response, err
}

// body reads the whole request, and closes it.
func (d *httpCall) body() ([]byte, error) {
	if d.asked.Body == nil {
		return nil, nil
	}
	defer d.asked.Body.Close()
	body, err := io.ReadAll(io.LimitReader(d.asked.Body, maxBodyBytes+1))
	if err == nil && len(body) > maxBodyBytes {
		err = refusedError{request.MalformedField("body", "is larger than 128 MiB")}
	}
	return body, err
}

// denied emits the event of a refusal, and returns it as a refusedError.
func (d *httpCall) denied(ctx context.Context, err error) error {
	d.transport.guard.emitKind(ctx, d.call, nil, refusalKind(err), err)
	return refusedError{err}
}

// identify fills in the scope and the operation of the call, and runs the cache check on the request.
func (d *httpCall) identify(ctx context.Context, body []byte) (any, error) {
	g, c := d.transport.guard, d.call
	if err := g.scope(ctx, &c.scope); err != nil {
		return nil, err
	}
	switch {
	case d.unknownHost:
		return nil, &refusal.UnknownHostError{Host: d.asked.URL.Host}
	case d.route.treatment == inputs.Refused && g.flat.Operations[d.route.operation] > 0:
		return d.input("", body), g.identifyFlat(ctx, c, startedAsync(d.route.operation, body), g.flat.Operations[d.route.operation])
	case d.route.treatment == inputs.Refused:
		return nil, &refusal.UnsupportedOperationError{Operation: d.route.operation}
	case hasHeader(d.asked.Header, "Content-Encoding"):
		return nil, request.MalformedField("content-encoding", "is not understood: the body can't be read")
	case hasHeader(d.asked.Header, "Upgrade"):
		return nil, request.MalformedField("upgrade", "would open a connection that nothing is metered on")
	}
	modelID := d.route.model
	if modelID == "" {
		var err error
		if modelID, err = cost.ModelOf(body); err != nil {
			return nil, err
		}
		if modelID == "" {
			return nil, request.MalformedField("model", "is missing")
		}
		c.modelInBody = modelID
	}
	input := d.input(modelID, body)
	if g.cache == nil {
		return input, nil // the model's name is only known once the body has been read
	}
	resolved, err := g.resolve(ctx, c, &modelID)
	if err != nil || resolved.HidesText {
		return input, err
	}
	return g.checkCache(ctx, c, input, resolved)
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

// input returns the request in a form that the cache check and the output limit can change.
func (d *httpCall) input(modelID string, body []byte) *inputs.HTTP {
	return &inputs.HTTP{Model: modelID, Body: body, Form: d.route.form, Signed: signed(d.asked)}
}

// signed reports whether a request has a signature over its body.
func signed(req *http.Request) bool {
	return strings.HasPrefix(req.Header.Get("Authorization"), "AWS4-") || req.URL.Query().Has("X-Amz-Signature")
}

// send sends the request once, through the rest of the guard.
func (d *httpCall) send(ctx context.Context, input any) error {
	g, c := d.transport.guard, d.call
	in := input.(*inputs.HTTP)
	req, err := d.outgoing(in.Body)
	if err != nil {
		return err
	}
	if !c.unmetered {
		if err := d.describe(ctx, req, in.Body); err != nil {
			if !g.shadows(err) {
				return d.denied(ctx, err)
			}
			if err = g.passUnmetered(ctx, c, err); err != nil {
				return d.denied(ctx, err)
			}
		}
	}
	ctx = withCall(ctx, c)
	s := new(sending)
	if !c.unmetered {
		if req, err = g.begin(ctx, c, s, req); err != nil {
			return refusedError{err}
		}
	}
	if c.unmetered {
		d.response, err = d.pass(ctx, in.Body) //nolint:bodyclose // its client closes it
		return err
	}
	if c.cache.prompt != nil {
		g.cacheSent(c)
	}
	return d.transmit(middleware.WithStackValue(ctx, sendingKey{}, s), s, req, in.Body)
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
		resp.Request = d.asked
	}
	return resp, err
}

// hand hands a request to base. An answer that switches protocols is an error, because later data on that connection would not be metered.
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

func (d *httpCall) sign(req *smithyhttp.Request, body []byte) error {
	if d.transport.sign == nil {
		return nil
	}
	return d.transport.sign(req.Request, body)
}

// describe computes what the request can cost.
func (d *httpCall) describe(ctx context.Context, req *smithyhttp.Request, body []byte) error {
	c := d.call
	if c.FlatOperation {
		return c.describeFlat(req, body)
	}
	if err := d.transport.guard.describeHTTP(ctx, c, req, body); err != nil {
		return err
	}
	if d.route.form == inputs.FormConverse {
		c.Demand.AsConverse()
	}
	c.seen.note(req, body)
	return nil
}

// transmit hands the request to the transport, and resolves its reservation.
func (d *httpCall) transmit(ctx context.Context, s *sending, req *smithyhttp.Request, body []byte) error {
	g := d.transport.guard
	returned := false
	defer func() {
		if !returned { // a panic or runtime.Goexit below
			g.abandon(ctx, s)
		}
	}()
	if err := d.sign(req, body); err != nil {
		returned = true
		g.finish(ctx, s.current(), event.OutcomeNotSent)
		return err
	}
	out, _, err := g.transmit(ctx, s, middleware.DeserializeInput{Request: req}, middleware.DeserializeHandlerFunc(d.roundTrip), d.transport.direct)
	returned = true
	resp, _ := out.RawResponse.(*smithyhttp.Response)
	g.conclude(ctx, s, result{hasStream: true, err: err})
	if err != nil || resp == nil {
		return err
	}
	d.response = resp.Response
	if m := s.stream.Load(); m != nil {
		d.response.Body = d.streamed(m)
	}
	return nil
}

// roundTrip is the last step of the chain: it sends the request.
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
	clone := d.asked.Clone(context.Background())
	clone.Body, clone.GetBody, clone.ContentLength, clone.TransferEncoding = nil, nil, int64(len(body)), nil
	for name, values := range d.asked.Header { // with canonical names, so that everything that is sent was checked
		if one := http.CanonicalHeaderKey(name); one != name {
			delete(clone.Header, name)
			clone.Header[one] = append(clone.Header[one], values...)
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
