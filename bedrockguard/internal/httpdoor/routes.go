package httpdoor

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
)

// endpoint is a kind of host that serves models.
type endpoint uint8

const (
	elsewhere       endpoint = iota // not known to serve models
	runtimeEndpoint                 // bedrock-runtime: Converse, InvokeModel and others
	mantleEndpoint                  // bedrock-mantle: the APIs of OpenAI and Anthropic
)

// Labels of host names, and the suffixes after the region: AWS's partitions, their dual-stack names and the names of VPC endpoints (AWS's
// endpoint rules of bedrock-runtime and its page on bedrock-mantle, 2026-11).
var (
	endpointLabels = map[string]endpoint{
		"bedrock-runtime": runtimeEndpoint, "bedrock-runtime-fips": runtimeEndpoint,
		"bedrock-mantle": mantleEndpoint, "bedrock-mantle-fips": mantleEndpoint,
	}
	endpointDomains = map[string]bool{
		"amazonaws.com": true, "amazonaws.com.cn": true, "amazonaws.eu": true, "api.aws": true, "api.amazonwebservices.com.cn": true, "api.amazonwebservices.eu": true,
		"c2s.ic.gov": true, "sc2s.sgov.gov": true, "cloud.adc-e.uk": true, "csp.hci.ic.gov": true,
		"api.aws.ic.gov": true, "api.aws.scloud": true, "api.cloud-aws.adc-e.uk": true, "api.aws.hci.ic.gov": true,
		"vpce.amazonaws.com": true, "vpce.amazonaws.com.cn": true, "vpce.amazonaws.eu": true,
	}
)

// endpointOf returns what a host serves, and in which region, if its name is one of AWS's: a label of endpointLabels, the region, and a domain of
// endpointDomains. Only the names of VPC endpoints have further labels before that.
func endpointOf(host string) (endpoint, string) {
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	for i, label := range labels {
		kind, known := endpointLabels[label]
		// Behind the label there have to be a region and a domain.
		if !known || i+2 >= len(labels) {
			continue
		}
		domain := strings.Join(labels[i+2:], ".")
		if !endpointDomains[domain] || i > 0 && !strings.HasPrefix(domain, "vpce.") {
			continue
		}
		return kind, labels[i+1]
	}
	return elsewhere, ""
}

// route is what a request asks of Bedrock, as far as its method and path show it. The zero treatment is inputs.Refused.
type route struct {
	treatment inputs.Treatment // whether it passes (Free), is metered (Guarded), or is refused unless it has a flat price (Refused)
	operation string           // AWS's name where there is one, else a name of this package; "unknown" for a path that is none of Bedrock's
	form      inputs.Form      // the dialect in which the client sends, and understands a refusal
	model     string           // from the path; empty if it is in the body
}

// looksLikeBedrock reports whether a path is one of Bedrock's, for hosts that are not known. OpenAI's and Anthropic's own paths, which begin with
// /v1/, do not count.
func looksLikeBedrock(u *url.URL) bool {
	u = sentAs(u)
	// A path that names a model, as /model/{id}/converse does.
	if _, ok := inputs.ModelInPath(u); ok {
		return true
	}
	path := u.EscapedPath()
	return strings.HasPrefix(path, "/openai/v1/") || strings.HasPrefix(path, "/anthropic/v1/")
}

// sentAs returns a URL with the path that net/http sends. Usually that is the URL itself. If Opaque is set, net/http sends that instead of the path;
// it may be written as //host/path.
func sentAs(u *url.URL) *url.URL {
	if u.Opaque == "" {
		return u
	}
	sent := &url.URL{Path: u.Opaque}
	if host, path, ok := strings.Cut(strings.TrimPrefix(u.Opaque, "//"), "/"); ok && host != "" {
		sent.Path = "/" + path
	}
	return sent
}

// compatiblePrefixes precede OpenAI's and Anthropic's routes; only bedrock-mantle has the last one.
var compatiblePrefixes = [...]string{"/openai/v1/", "/anthropic/v1/", "/v1/"}

// routeOf parses a method and a path as they are sent. The path is not normalised first: if it is not written as Bedrock's clients write it,
// it is no known route, and is refused.
func routeOf(method string, u *url.URL) route {
	if u.Opaque != "" {
		return route{inputs.Refused, "unknown", inputs.FormNative, ""} // net/http sends Opaque instead of the path
	}
	path := u.EscapedPath()
	for _, prefix := range compatiblePrefixes {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			return compatibleRoute(method, rest, prefix == "/anthropic/v1/")
		}
	}
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	switch {
	case parts[0] == "model" && len(parts) == 3:
		return modelRoute(method, parts[1], parts[2])
	case parts[0] == "guardrail" && len(parts) == 5 && parts[2] == "version" && parts[4] == "apply":
		return route{inputs.Refused, "ApplyGuardrail", inputs.FormNative, ""}
	case parts[0] == "guardrail-checks":
		return route{inputs.Refused, "InvokeGuardrailChecks", inputs.FormNative, ""}
	case parts[0] == "async-invoke": // a GET only asks how far a job is
		return route{freeIf(method == http.MethodGet), "StartAsyncInvoke", inputs.FormNative, ""}
	case parts[0] == "inference-profiles", parts[0] == "foundation-models": // some clients ask for these on the same base URL
		return route{freeIf(method == http.MethodGet), "ControlPlane", inputs.FormNative, ""}
	default:
		return route{inputs.Refused, "unknown", inputs.FormNative, ""}
	}
}

// freeIf returns Free for what costs nothing, and else Refused: another method on the same path could cost money.
func freeIf(costsNothing bool) inputs.Treatment {
	if costsNothing {
		return inputs.Free
	}
	return inputs.Refused
}

// modelRoute parses /model/{id}/{verb}, the routes of bedrock-runtime that name their model. The id is still escaped.
func modelRoute(method, escapedID, verb string) route {
	operation, f := "", inputs.FormConverse
	switch verb {
	case "converse":
		operation = "Converse"
	case "converse-stream":
		operation = "ConverseStream"
	case "invoke":
		operation, f = "InvokeModel", inputs.FormInvoke
	case "invoke-with-response-stream":
		operation, f = "InvokeModelWithResponseStream", inputs.FormInvoke
	case "count-tokens":
		return route{freeIf(method == http.MethodPost && plainID(escapedID)), "CountTokens", inputs.FormNative, ""}
	case "invoke-with-bidirectional-stream":
		return route{inputs.Refused, inputs.BidirectionalStream, inputs.FormNative, ""}
	default:
		return route{inputs.Refused, "unknown", inputs.FormNative, ""}
	}
	id, err := url.PathUnescape(escapedID)
	// Another method, or an id that Bedrock's ids can't be, is no known route. The refusal is still in the dialect of the verb.
	if err != nil || !plainID(escapedID) || method != http.MethodPost {
		return route{inputs.Refused, "unknown", f, ""}
	}
	return route{inputs.Guarded, operation, f, id}
}

// plainID reports whether an id in a path consists of the characters that Bedrock's ids have. It has no '%' and no '..' then, so that a server
// that decodes the path once more reads the same id.
func plainID(escaped string) bool {
	id, err := url.PathUnescape(escaped)
	if err != nil || id == "" || strings.Contains(id, "..") || id == "." {
		return false
	}
	for _, c := range []byte(id) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' // the bit makes a capital small
		if !letter && (c < '0' || c > '9') && strings.IndexByte("-_.:/", c) < 0 {
			return false
		}
	}
	return true
}

// compatibleRoute parses the rest of a path after one of compatiblePrefixes; anthropic says that it was Anthropic's.
func compatibleRoute(method, rest string, anthropic bool) route {
	name, below, hasBelow := strings.Cut(rest, "/")
	post, get := method == http.MethodPost, method == http.MethodGet
	switch {
	case name == "models":
		return route{freeIf(get), "ListModels", inputs.FormChat, ""}
	case anthropic && rest == "messages":
		return route{guardedIf(post), "Messages", inputs.FormMessages, ""}
	case anthropic && rest == "messages/count_tokens":
		return route{freeIf(post), "CountTokens", inputs.FormMessages, ""}
	case anthropic:
		return route{inputs.Refused, "unknown", inputs.FormMessages, ""}
	case rest == "chat/completions":
		return route{guardedIf(post), "ChatCompletions", inputs.FormChat, ""}
	case rest == "responses":
		return route{guardedIf(post), "Responses", inputs.FormResponses, ""}
	case name == "responses" && hasBelow: // a stored response is read, deleted or canceled: none of that costs anything
		id, verb, _ := strings.Cut(below, "/")
		cancels := post && verb == "cancel"
		return route{freeIf(plainID(id) && (get || method == http.MethodDelete || cancels)), "StoredResponse", inputs.FormResponses, ""}
	default:
		return route{inputs.Refused, "unknown", inputs.FormChat, ""}
	}
}

// guardedIf returns Guarded for what can be metered, and else Refused.
func guardedIf(metered bool) inputs.Treatment {
	if metered {
		return inputs.Guarded
	}
	return inputs.Refused
}
