package bedrockguard

import (
	"net/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/httpdoor"
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
	return httpdoor.New(g.chain, base, httpdoor.Options(o))
}

// Refuse returns the response with which a guard's Transport refuses a request: in the dialect of the request's route, with the figures in
// headers. It is exported for handlers that refuse for reasons of their own, before they use the transport.
func Refuse(req *http.Request, err error) *http.Response { return httpdoor.Refuse(req, err) }

// Refusal returns the error for which a guard's Transport has refused a request, or nil for any other response. Clients keep the response in
// their errors: anthropic.Error and openai.Error in the field Response.
func Refusal(r *http.Response) error { return httpdoor.Refusal(r) }
