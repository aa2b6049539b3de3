package chain

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/pricing"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// The amount to reserve is computed from what is sent. The input is read directly after it was serialised, so that earlier changes are
// included. Before each reservation, and once more next to the transport, the serialised request is compared with what was read, which costs
// a few comparisons; if it differs, it is read again. What was read is the call's Demand: what the request asks for. It is completed with what the
// model charges by Guard.complete.

// Describe reads the operation's input and records what the serialised request looks like. A body that is not in memory counts as empty here:
// lookAgain reads it before anything is reserved. Without a request (nil), the length of the body is unknown.
func (g *Guard) Describe(ctx context.Context, c *Call, input any, req *smithyhttp.Request) error {
	if c.FlatOperation {
		if req == nil {
			return request.MalformedField("body", "is not there to be bounded")
		}
		body, _ := c.bodyOf(req)
		return c.describeFlat(req, body)
	}
	operation, modelID, _ := inputs.OperationOf(input)
	// A middleware of the caller can have put another input in the place of the one that was identified.
	if operation != c.Operation {
		return request.MalformedField("input", "is of another type than the operation's")
	}
	resolved, err := g.resolve(ctx, c, modelID)
	if err != nil {
		return err
	}
	// HidesText is true for a managed prompt, whose text the service adds: only the context window bounds that.
	c.Demand = pricing.Demand{ModelID: *modelID, Hidden: resolved.HidesText}
	if err = c.Demand.Read(input, resolved.ModelID); err != nil {
		return err
	}
	c.noteBody(req)
	return g.complete(c, resolved)
}

// noteBody completes the demand that was read from an input with the serialised body, and notes what the request looks like.
func (c *Call) noteBody(req *smithyhttp.Request) {
	if req == nil {
		c.Demand.Body = pricing.UnknownLength
		return
	}
	body, _ := c.bodyOf(req)
	// Lengthening counts the bytes by which Unicode normalisation can lengthen the text: each may be billed as a token.
	c.Demand.Raw, c.Demand.Body, c.Demand.Lengthening = body, int64(len(body)), tokens.Lengthening(body)
	c.seen.note(req, body)
}

// sight is what was seen of a serialised request, as far as its cost depends on it. The body is compared by its length and its address in memory:
// whoever changes a request puts another body into it.
type sight struct {
	first                    *byte // of the body; nil when it is empty
	length                   int   // of the body
	path                     string
	tier, latency, guardrail string // the headers that InvokeModel has in place of fields
}

// The headers of InvokeModel that stand for fields of Converse, in the form in which net/http keeps them.
const (
	tierHeader      = "X-Amzn-Bedrock-Service-Tier"
	latencyHeader   = "X-Amzn-Bedrock-Performanceconfig-Latency"
	guardrailHeader = "X-Amzn-Bedrock-Guardrailidentifier"
)

// note records what a request looks like.
func (s *sight) note(req *smithyhttp.Request, body []byte) {
	*s = sight{length: len(body), path: req.URL.Path, tier: header(req, tierHeader), latency: header(req, latencyHeader), guardrail: header(req, guardrailHeader)}
	if len(body) > 0 {
		s.first = &body[0]
	}
}

// header returns the only value of a header; if there are several, it returns all of them, which differs from any single value.
func header(req *smithyhttp.Request, name string) string {
	switch values := req.Header[name]; len(values) {
	case 0:
		return ""
	case 1:
		return values[0]
	default:
		return strings.Join(values, "\n")
	}
}

// shows reports whether the request is still the one that was seen. Its path may have a prefix now, which an endpoint can add.
func (s *sight) shows(req *smithyhttp.Request, body []byte) bool {
	sameBody := len(body) == s.length && (len(body) == 0 || &body[0] == s.first)
	return sameBody && strings.HasSuffix(req.URL.Path, s.path) &&
		header(req, tierHeader) == s.tier && header(req, latencyHeader) == s.latency && header(req, guardrailHeader) == s.guardrail
}

// lookAgain compares the request with the one that was read before, reads it again if it has changed, and reports whether it has changed. The caller
// has to go on with the returned request: a body that can be read only once was replaced with a copy in memory.
func (g *Guard) lookAgain(ctx context.Context, c *Call, req *smithyhttp.Request) (*smithyhttp.Request, bool, error) {
	if req == nil {
		return nil, false, nil
	}
	body, inMemory := c.bodyOf(req)
	if !inMemory {
		var err error
		if req, body, err = intoMemory(req); err != nil {
			return req, false, request.MalformedField("body", "can't be read before it is sent")
		}
	}
	if c.seen.shows(req, body) {
		return req, false, nil
	}
	if c.FlatOperation {
		// The flat price is that of one operation, which the path names.
		if !strings.HasSuffix(req.URL.Path, c.seen.path) {
			return req, true, request.MalformedField("path", "is no longer that of the operation")
		}
		return req, true, c.describeFlat(req, body)
	}
	// Unlike DescribeBody this does without AsConverse: the bounds are at least as high, and a request is seldom changed.
	if err := g.describeHTTP(ctx, c, req, body); err != nil {
		return req, true, err
	}
	c.seen.note(req, body)
	return req, true, nil
}

// DescribeBody reads a request that came over HTTP, and works out what it can cost. A body of Converse is then bounded by the rules that Describe
// has for Converse's typed input.
func (g *Guard) DescribeBody(ctx context.Context, c *Call, req *smithyhttp.Request, body []byte) error {
	// The price of such an operation is flat, so that its body need not be understood.
	if c.FlatOperation {
		return c.describeFlat(req, body)
	}
	if err := g.describeHTTP(ctx, c, req, body); err != nil {
		return err
	}
	if c.Form == inputs.FormConverse {
		// AsConverse lowers the bounds of what has a known meaning in Converse, such as pictures in S3.
		c.Demand.AsConverse()
	}
	c.seen.note(req, body)
	return nil
}

// describeHTTP reads a request of any guarded operation from its path, headers and body, without the SDK's input. A tight bound that was computed
// before counts no more.
func (g *Guard) describeHTTP(ctx context.Context, c *Call, req *smithyhttp.Request, body []byte) error {
	modelID, ok := c.ModelInBody, c.ModelInBody != ""
	if !ok {
		modelID, ok = inputs.ModelInPath(req.URL)
	}
	if !ok {
		return request.MalformedField("path", "names no model: the guard does not know what this request would do")
	}
	resolved, err := g.resolve(ctx, c, &modelID)
	if err != nil {
		return err
	}
	c.Demand = pricing.Demand{ModelID: modelID, Hidden: resolved.HidesText, Raw: body, Body: int64(len(body)), Lengthening: tokens.Lengthening(body)}
	tier, latency := types.ServiceTierType(header(req, tierHeader)), types.PerformanceConfigLatency(header(req, latencyHeader))
	if err := c.Demand.ReadInvoke(c.dialectOf(req.URL), resolved.ModelID, body, header(req, guardrailHeader), tier, latency); err != nil {
		return err
	}
	// 0 says that there is no tight bound yet.
	c.tightDone, c.tight = false, 0
	return g.complete(c, resolved)
}

// dialectOf returns the dialect of a request's body: its form of JSON. If the path names the model, its last part tells the dialect. If the body
// names the model, the request came by one of OpenAI's or Anthropic's routes (Form), each of which has a dialect of its own.
func (c *Call) dialectOf(u *url.URL) cost.Dialect {
	switch {
	case c.ModelInBody != "":
		return c.Form.Dialect()
	case strings.HasSuffix(u.Path, "/converse"), strings.HasSuffix(u.Path, "/converse-stream"):
		return cost.Converse
	default:
		return cost.OfModel
	}
}

// bodyOf returns the bytes of a request's body without copying them, and false if they are not in memory. The body's read position stays as
// it was.
func (c *Call) bodyOf(req *smithyhttp.Request) ([]byte, bool) {
	switch stream := req.GetStream().(type) {
	case nil:
		return nil, true
	case *bytes.Reader: // WriteTo hands its memory to the window, and moves the read position
		at, err := stream.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, false
		}
		_, _ = stream.WriteTo(&c.looking) // can't fail: the window accepts everything
		_, err = stream.Seek(at, io.SeekStart)
		return c.looking.bytes, err == nil
	default:
		return nil, false
	}
}

// memoryWindow keeps a reference to what is written to it. A bytes.Reader writes the memory that it reads from.
type memoryWindow struct{ bytes []byte }

func (w *memoryWindow) Write(p []byte) (int, error) {
	w.bytes = p
	return len(p), nil
}

// MaxBodyBytes bounds a body that had to be copied: five times the largest that the service takes.
const MaxBodyBytes = 128 << 20

var errBodyTooLarge = errors.New("bedrockguard: request body too large")

// intoMemory replaces a body that is not in memory by a copy that is.
func intoMemory(req *smithyhttp.Request) (*smithyhttp.Request, []byte, error) {
	// One byte more than is allowed shows that the body is too large.
	body, err := io.ReadAll(io.LimitReader(req.GetStream(), MaxBodyBytes+1))
	if err == nil && len(body) > MaxBodyBytes {
		err = errBodyTooLarge
	}
	if err != nil {
		return req, nil, err
	}
	req, err = req.SetStream(bytes.NewReader(body))
	return req, body, err
}
