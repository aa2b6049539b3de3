package httpdoor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/chain"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/refusal"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// The headers of a refusal over HTTP. Many clients give headers to their callers although they drop unknown fields of the body.
const (
	headerRefusal   = chain.RefusalHeader          // "X-Bedrockguard-Refusal": why, in one word, the name in refusalClass
	headerLimit     = "X-Bedrockguard-Limit"       // the name of the limit without room
	headerMax       = "X-Bedrockguard-Max"         // such as "5 USD" or "1000 input tokens"
	headerSettled   = "X-Bedrockguard-Settled"     // spent in the window
	headerPending   = "X-Bedrockguard-Pending"     // reserved for calls in flight
	headerRequested = "X-Bedrockguard-Requested"   // the worst case of the refused call
	headerReset     = "X-Bedrockguard-Reset-After" // seconds until the call could fit; absent if waiting never helps
	headerWaiting   = "X-Bedrockguard-Waiting"     // true when the call fits once pending calls are settled
)

// refusalClass is how a refusal is reported over HTTP. The status 402 is the one that no client retries by itself (measured with seventeen
// clients, 2026-11); 429 and 503 are for refusals that pass with time.
type refusalClass struct {
	name   string // one word for the header of the refusal
	status int    // of HTTP
	code   string // as an AWS error type
	kind   string // as the error type of OpenAI and Anthropic
}

// classOf returns the class of an error; of one that wraps several kinds, the class of the first in the table. An error of no known kind has
// the class "guard".
func classOf(err error) refusalClass {
	const exceeded = "BudgetExceededException"
	for _, c := range [...]struct {
		kindOf error
		refusalClass
	}{
		{budget.ErrKilled, refusalClass{"killed", http.StatusPaymentRequired, exceeded, "billing_error"}},
		{budget.ErrExceeded, refusalClass{"budget", http.StatusPaymentRequired, exceeded, "billing_error"}},
		{refusal.ErrRateLimited, refusalClass{"rate", http.StatusTooManyRequests, "ThrottlingException", "rate_limit_error"}},
		{refusal.ErrLooping, refusalClass{"loop", http.StatusPaymentRequired, exceeded, "billing_error"}},
		{catalog.ErrUnpriced, refusalClass{"price", http.StatusPaymentRequired, exceeded, "billing_error"}},
		{refusal.ErrUnsupportedOperation, refusalClass{"operation", http.StatusPaymentRequired, exceeded, "billing_error"}},
		{request.ErrMalformed, refusalClass{"request", http.StatusBadRequest, "ValidationException", "invalid_request_error"}},
		{cache.ErrRefused, refusalClass{"cache", http.StatusPaymentRequired, exceeded, "billing_error"}},
		{refusal.ErrIdentity, refusalClass{"identity", http.StatusPaymentRequired, exceeded, "billing_error"}},
		{budget.ErrInvalidScope, refusalClass{"identity", http.StatusPaymentRequired, exceeded, "billing_error"}},
		{refusal.ErrUnauthenticated, refusalClass{"credentials", http.StatusUnauthorized, "UnrecognizedClientException", "authentication_error"}},
		{refusal.ErrUnreachable, refusalClass{"upstream", http.StatusBadGateway, "ServiceUnavailableException", "api_error"}},
		{budget.ErrStore, refusalClass{"store", http.StatusServiceUnavailable, "ServiceUnavailableException", "api_error"}},
	} {
		if errors.Is(err, c.kindOf) {
			return c.refusalClass
		}
	}
	return refusalClass{"guard", http.StatusServiceUnavailable, "ServiceUnavailableException", "api_error"}
}

// refusalBody returns the body of a refusal in the dialect of a form: Anthropic's, OpenAI's, or AWS's for all other forms.
func refusalBody(f inputs.Form, c refusalClass, message string) []byte {
	var body any
	switch f {
	case inputs.FormMessages:
		body = map[string]any{"type": "error", "error": map[string]any{"type": c.kind, "message": message}}
	case inputs.FormChat, inputs.FormResponses:
		body = map[string]any{"error": map[string]any{"message": message, "type": c.kind, "code": c.code, "param": nil}}
	default:
		body = map[string]any{"message": message, "__type": c.code}
	}
	raw, _ := json.Marshal(body) // can't fail: there are only maps and strings in it
	return raw
}

// refusalKey is the key of the refusing error in the context of a refusal's request, where Refusal finds it.
type refusalKey struct{}

// Refuse returns the response with which a transport refuses a request: in the dialect of the request's route, with the figures in headers.
func Refuse(req *http.Request, err error) *http.Response {
	f := routeOf(req.Method, req.URL).form
	c := classFor(err)
	message := err.Error()
	if !c.temporary() { // some clients retry if they find the digits of a temporary status, such as 503, in the text
		message = withoutStatusCodes(message)
	}
	body := refusalBody(f, c, message)
	return &http.Response{
		Status: strconv.Itoa(c.status) + " " + http.StatusText(c.status), StatusCode: c.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: refusalHeader(f, c, err), Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		Request: req.WithContext(context.WithValue(req.Context(), refusalKey{}, err)),
	}
}

// classFor returns the class of a refusal: that of classOf, except where one kind of error can mean two things, that waiting helps or that it does
// not.
func classFor(err error) refusalClass {
	c := classOf(err)
	if rate, ok := errors.AsType[*refusal.RateLimitedError](err); ok && rate.RetryAfter == 0 {
		c.status = http.StatusPaymentRequired // the call can never fit
	}
	// A paced limit has room again as time passes, like a rate limit. Waiting says that the call fits then.
	if e, ok := errors.AsType[*budget.ExceededError](err); ok && e.Paced && e.Waiting {
		c = classOf(refusal.ErrRateLimited)
	}
	return c
}

// temporary reports whether the refusal passes with time, so that a retry makes sense.
func (c refusalClass) temporary() bool {
	return c.status >= http.StatusInternalServerError || c.status == http.StatusTooManyRequests
}

// refusalHeader returns the header of a refusal in the dialect of a form. The request id is new, because nothing was sent, and stands under AWS's
// name and Anthropic's. Clients of OpenAI and Anthropic go by X-Should-Retry.
func refusalHeader(f inputs.Form, c refusalClass, err error) http.Header {
	h := http.Header{
		"Content-Type":     {"application/json"},
		"X-Should-Retry":   {strconv.FormatBool(c.temporary())},
		"X-Amzn-Requestid": {driver.NewID().String()},
	}
	h.Set("Request-Id", h.Get("X-Amzn-Requestid"))
	if f.IsAWS() {
		h.Set("X-Amzn-Errortype", c.code)
	}
	describeRefusal(h, c, err)
	return h
}

// figure matches an amount with decimals, in three groups: "need " if it stands before it, the whole part, the decimals. looksLikeStatus matches
// digits that a client may take for the status of a temporary failure: opencode 1.18 retries a call, five times within a minute, if 429, 500, 502,
// 503, 504 or 524 is anywhere in the text of the refusal (measured, 2026-11).
var (
	figure          = regexp.MustCompile(`(need )?(\d+)\.(\d+)`)
	looksLikeStatus = regexp.MustCompile(`429|50[0234]|524`)
)

// withoutStatusCodes prints amounts in another way if they could be taken for the status of a temporary failure: with fewer decimals, the needed
// amount rounded up, all others rounded down; and 500 USD as 5 hundred USD. The headers have the exact amounts.
func withoutStatusCodes(message string) string { return spelledOut(withFewerDecimals(message)) }

// withFewerDecimals cuts the decimals of amounts off before the last digit of whatever looks like a status in them: 1.25035 becomes 1.250, or
// 1.251 for the needed amount, "need 1.25035", which must not look smaller than it is.
func withFewerDecimals(message string) string {
	return figure.ReplaceAllStringFunc(message, func(amount string) string {
		groups := figure.FindStringSubmatch(amount)
		need, whole, decimals := groups[1], groups[2], []byte(groups[3])
		for looksLikeStatus.Match(decimals) {
			// FindIndex returns where the status begins and ends: its last digit and all behind it go.
			decimals = decimals[:looksLikeStatus.FindIndex(decimals)[1]-1]
			if need != "" {
				decimals[len(decimals)-1]++ // no carry: this is the second digit of the status, 0 or 2
			}
		}
		return need + whole + "." + string(decimals)
	})
}

// number matches a number, with commas between its thousands or without.
var number = regexp.MustCompile(`\d+(,\d{3})*(\.\d+)?`)

// spelledOut prints numbers that hold the digits of a status in hundreds, thousands or millions: 500 is "5 hundred". It leaves parts of names, of
// times and of ids as they are: what it changes stands between spaces, commas and parentheses.
func spelledOut(message string) string {
	var out strings.Builder
	from := 0 // where the part begins that is not copied to out yet
	for _, at := range number.FindAllStringIndex(message, -1) {
		start, end := at[0], at[1]
		// strings.IndexByte is -1 for a character that is not in the list.
		alone := (start == 0 || strings.IndexByte(" (", message[start-1]) >= 0) && (end == len(message) || strings.IndexByte(" ),;:", message[end]) >= 0)
		if !alone || !looksLikeStatus.MatchString(message[start:end]) {
			continue
		}
		out.WriteString(message[from:start])
		out.WriteString(inLargerUnits(strings.ReplaceAll(message[start:end], ",", "")))
		from = end
	}
	out.WriteString(message[from:])
	return out.String()
}

// inLargerUnits prints a decimal number as a multiple of a larger unit, the first in the list with which its digits hold no status: 500 is
// "5 hundred", 42900 is "42.9 thousand". It returns the number as it is if no unit helps.
func inLargerUnits(decimal string) string {
	whole, fraction, _ := strings.Cut(decimal, ".")
	// The last unit is only for numbers that no unit with a name helps.
	for _, unit := range []struct {
		zeros int // how many places the point moves to the left
		name  string
	}{{2, "hundred"}, {3, "thousand"}, {6, "million"}, {4, "times 10,000"}} {
		// Zeros in front make sure that a digit is left before the point.
		digits := strings.Repeat("0", max(0, unit.zeros+1-len(whole))) + whole
		point := len(digits) - unit.zeros // where the point goes
		told := strings.TrimRight(digits[:point]+"."+digits[point:]+fraction, "0")
		told = strings.TrimSuffix(told, ".")
		if !looksLikeStatus.MatchString(told) {
			return told + " " + unit.name
		}
	}
	return decimal
}

// describeRefusal puts the class and the figures of a refusal into headers. Retry-After is only set where waiting helps: for a rate, and for a
// limit that is paced, whose room comes with time, if the call fits once some has come (Waiting).
func describeRefusal(h http.Header, c refusalClass, err error) {
	h.Set(headerRefusal, c.name)
	if e, ok := errors.AsType[*budget.ExceededError](err); ok {
		h.Set(headerLimit, headerSafe(e.Limit))
		h.Set(headerMax, e.Max.String())
		h.Set(headerSettled, e.Settled.String())
		h.Set(headerPending, e.Pending.String())
		h.Set(headerRequested, e.Requested.String())
		h.Set(headerWaiting, strconv.FormatBool(e.Waiting))
		setSeconds(h, headerReset, e.ResetAfter)
		if e.Paced && e.Waiting {
			setSeconds(h, "Retry-After", e.ResetAfter)
		}
	}
	if e, ok := errors.AsType[*refusal.RateLimitedError](err); ok {
		setSeconds(h, headerReset, e.RetryAfter)
		setSeconds(h, "Retry-After", e.RetryAfter)
	}
}

// setSeconds sets a header to a time in whole seconds, rounded up, unless it is zero.
func setSeconds(h http.Header, name string, d time.Duration) {
	if d > 0 {
		h.Set(name, strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10))
	}
}

// headerSafe returns a name with "?" in the place of each character that is not printable ASCII, which a header may not have.
func headerSafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// Refusal returns the error for which a transport has refused a request, or nil for any other response.
func Refusal(r *http.Response) error {
	if r == nil || r.Request == nil {
		return nil
	}
	err, _ := r.Request.Context().Value(refusalKey{}).(error)
	return err
}

// killedEvent returns the last event of a killed stream, in a form that clients report as a failure with its text: in AWS's event streams an
// exception that the service model names, because clients lose the text of one that it does not name (measured, 2026-11), and in server-sent
// events what each dialect has for errors.
func killedEvent(f inputs.Form, framing chain.Framing, err *budget.KilledError) []byte {
	c := classOf(err)
	if framing == chain.EventStream {
		return exceptionFrame("validationException", err.Error())
	}
	// A server-sent event has the body of a refusal, or a similar one.
	body := refusalBody(f, c, err.Error())
	switch f {
	case inputs.FormChat:
		// Events of chat completions have no names, and [DONE] ends each of their streams.
		return fmt.Appendf(nil, "data: %s\n\ndata: [DONE]\n\n", body)
	case inputs.FormResponses:
		// Each event in a stream of responses has a type of its own, here that of an error.
		body, _ = json.Marshal(map[string]any{"type": "error", "error": map[string]any{"type": c.kind, "code": c.code, "message": err.Error(), "param": nil}})
	}
	return fmt.Appendf(nil, "event: error\ndata: %s\n\n", body)
}

// exceptionFrame returns a frame of AWS's event streams that ends a stream with an exception; nil if it can't be encoded.
func exceptionFrame(name, message string) []byte {
	payload, _ := json.Marshal(map[string]string{"message": message})
	m := eventstream.Message{Payload: payload}
	m.Headers.Set(":message-type", eventstream.StringValue("exception"))
	m.Headers.Set(":exception-type", eventstream.StringValue(name))
	m.Headers.Set(":content-type", eventstream.StringValue("application/json"))
	var b bytes.Buffer
	if eventstream.NewEncoder().Encode(&b, m) != nil {
		return nil
	}
	return b.Bytes()
}
