package bedrocktest

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/shapes"
)

// maxBody is the largest request that is read.
const maxBody = 32 << 20

// ServeHTTP implements http.Handler. The OpenAI and Anthropic routes are served by compatible, all others by route. A panic with
// http.ErrAbortHandler closes the connection without an answer.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// enter counts the request among those that Close waits for, until running.Done; it returns false if the server is closed.
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.running.Done()
	seq := int(s.seq.Add(1))
	// The whole request is read first: a client that gets its answer while it still writes loses its connection.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("x-amzn-requestid", requestID())
	if s.compatible(w, r, seq, body) {
		return
	}
	// A refusal waits before it is written, too, and is kept for Received.
	if refused := s.route(w, r, seq, body); refused != nil {
		s.recordRefused(seq, r, body, refused)
		s.wait(r.Context(), s.opts.FirstByteDelay)
		refused.Write(w)
	}
}

// requestID returns a random id in the form of a UUID, for the header x-amzn-requestid.
func requestID() string {
	var id [16]byte
	rand.Read(id[:])
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// route serves Bedrock's own paths. It and the functions that it calls return the refusal that the caller has to write, or nil if they have
// written the answer themselves. seq is the number of the request.
func (s *Server) route(w http.ResponseWriter, r *http.Request, seq int, body []byte) *refusal.Error {
	if !authorized(r) {
		return refusal.New(403, "AccessDeniedException", "Missing Authentication Token")
	}
	path := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	switch {
	case len(path) == 3 && path[0] == "model" && r.Method == http.MethodPost:
		return s.model(w, r, seq, path[1], path[2], body)
	case len(path) == 5 && path[0] == "guardrail" && path[4] == "apply" && r.Method == http.MethodPost:
		return s.guard(w, r, seq, path[1], path[3], body)
	case path[0] == "async-invoke" && len(path) == 1 && r.Method == http.MethodPost:
		return s.startAsync(w, r, seq, body)
	case path[0] == "async-invoke" && len(path) == 1 && r.Method == http.MethodGet:
		return s.listAsync(w, r.URL.Query())
	case path[0] == "async-invoke" && len(path) == 2 && r.Method == http.MethodGet:
		return s.getAsync(w, path[1])
	case len(path) == 2 && path[0] == "guardrail-checks" && path[1] == "invoke" && r.Method == http.MethodPost:
		return s.checks(w, r, seq, body)
	}
	if refused, served := s.inferenceProfiles(w, r, path); served {
		return refused
	}
	return refusal.NotServed()
}

// answer writes a JSON body with status 200. It returns nil, which tells the caller of a route that there is no refusal to write.
func answer(w http.ResponseWriter, body any) *refusal.Error {
	w.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
	return nil
}

// authorized checks the form of the credentials; their content does not matter.
func authorized(r *http.Request) bool {
	auth := r.Header.Get("Authorization")
	if token, ok := strings.CutPrefix(auth, "Bearer "); ok {
		return token != ""
	}
	fields, ok := strings.CutPrefix(auth, "AWS4-HMAC-SHA256 ")
	return ok && r.Header.Get("X-Amz-Date") != "" && strings.Contains(fields, "Credential=") &&
		strings.Contains(fields, "SignedHeaders=") && strings.Contains(fields, "Signature=")
}

// requestShapes says for each operation on a model how AWS's service model names the type of its requests.
var requestShapes = map[string]string{
	"converse": "ConverseRequest", "converse-stream": "ConverseStreamRequest", "count-tokens": "CountTokensRequest",
	"invoke": "InvokeModelRequest", "invoke-with-response-stream": "InvokeModelWithResponseStreamRequest",
}

// model serves the operations on one model. It finds the model, and refuses one that can't be called, and a body that does not conform to AWS's
// service model. n is the parsed body; in collects what is read of the request.
func (s *Server) model(w http.ResponseWriter, r *http.Request, seq int, modelID, operation string, body []byte) *refusal.Error {
	shape, known := requestShapes[operation]
	if !known {
		return refusal.NotServed()
	}
	id, _ := url.PathUnescape(modelID)
	// profile is empty for an id without one, and region for an id that is no ARN.
	m, profile, region, ok := s.lookup(modelID)
	n, refused := jsonnode.Parse(body)
	if refused == nil {
		refused = shapes.Conforms(r, map[string]string{"modelId": id}, n, shape)
	}
	// InvokeModel leaves the body to the model: if the model is unknown, that is refused and not the body.
	if refused != nil && (ok || !strings.HasPrefix(operation, "invoke")) {
		return refused
	}
	if !ok {
		return refusal.Invalid("The provided model identifier is invalid.")
	}
	// A test may have set that the model has ended, is denied, or is not in this region (Options.Models).
	if refused := s.available(id, m); refused != nil {
		return refused
	}
	in := &inference{Prompt: dialects.Prompt{Model: m, Frame: s.reader.FrameOf(m), Profile: profile}, region: region, request: Request{Seq: seq, Operation: operation, AskedID: id, Header: r.Header}}
	if operation == "count-tokens" {
		return s.countTokens(w, n, in, profile)
	}
	return s.converseOrInvoke(w, r, n, body, in)
}

// converseOrInvoke serves Converse and InvokeModel. It parses the body with the dialect of the operation or of the model's family, checks the model's
// rules, and leaves billing and answering to infer.
func (s *Server) converseOrInvoke(w http.ResponseWriter, r *http.Request, n *jsonnode.Node, body []byte, in *inference) *refusal.Error {
	d, refused := s.dialectFor(n, in)
	if refused != nil {
		return refused
	}
	streams := strings.HasSuffix(in.request.Operation, "stream")
	// A model that is not served here has no parser, and one that does not stream has no events.
	if d.parse == nil || streams && d.events == nil {
		return refusal.Invalid("This action doesn't support the model that you provided.")
	}
	if refused := s.read(n, in, d); refused != nil {
		return refused
	}
	// obeys checks the rules that only some models have. They read bodies of Converse and of Anthropic's models only.
	if converse := strings.HasPrefix(in.request.Operation, "converse"); converse || in.Model.Provider == "anthropic" {
		if refused := s.obeys(n, in, converse); refused != nil {
			return refused
		}
	}
	in.request.describe(n, body)
	s.record(in.request)
	return s.infer(w, r, in, d, streams)
}

// dialectFor returns the dialect of a request of Converse or InvokeModel; an empty one if the model is not served. It also reads what InvokeModel has
// in headers, and which guardrails evaluate the request (askGuardrails), whose trace is asked for by enabled or enabled_full.
func (s *Server) dialectFor(n *jsonnode.Node, in *inference) (dialect, *refusal.Error) {
	if strings.HasPrefix(in.request.Operation, "converse") {
		if in.Model.Mode != "" { // it makes embeddings or ranks documents
			return dialect{}, refusal.Invalid("This action doesn't support the model that you provided.")
		}
		config := n.Get("guardrailConfig")
		traced := strings.HasPrefix(config.Get("trace").Text(), "enabled")
		return dialect{(*dialects.Reader).ParseConverse, converseAnswer, converseEvents},
			s.askGuardrails(in, config.Get("guardrailIdentifier").Text(), config.Get("guardrailVersion").Text(), traced)
	}
	d := dialectOf(in.Model)
	if isEndpoint(in.request.AskedID) { // the server on a SageMaker endpoint has a dialect of its own, whichever model it is like
		d = endpointDialect()
	}
	header := in.request.Header
	in.Tier = strings.ToLower(header.Get("X-Amzn-Bedrock-Service-Tier"))
	in.Latency = header.Get("X-Amzn-Bedrock-PerformanceConfig-Latency")
	traced := strings.HasPrefix(strings.ToLower(header.Get("X-Amzn-Bedrock-Trace")), "enabled")
	return d, s.askGuardrails(in, header.Get("X-Amzn-Bedrock-GuardrailIdentifier"), header.Get("X-Amzn-Bedrock-GuardrailVersion"), traced)
}

// read parses a body into the Prompt. finish checks the length, the output limit and the tier, and copies into in.request what a test is shown of
// them.
func (s *Server) read(n *jsonnode.Node, in *inference, d dialect) *refusal.Error {
	if refused := d.parse(s.reader, n, &in.Prompt); refused != nil {
		return refused
	}
	return in.finish()
}

// infer bills a valid request and answers it in the dialect d. If the request gets a fault, infer produces that instead: some faults end the
// request before the model runs, and nothing is billed. It returns the refusal that the caller has to write; nil if the answer is written.
func (s *Server) infer(w http.ResponseWriter, r *http.Request, in *inference, d dialect, streams bool) *refusal.Error {
	// quotaUse is nil if there are no quotas; then Settle does nothing.
	quotaUse, refused := s.quotas.Take(in.Model.ID, in.request.InputTokens+in.MaxTokens, s.opts.Clock())
	if refused != nil {
		return refused
	}
	reply, fault := s.replyTo(in, streams)
	if !fault.billed(streams) {
		quotaUse.Settle(0)
		if streams && fault.exception() != "" { // the stream consists of this exception
			s.stream(w, r, in, []event{{exceptionEvent, fault.exceptionBody()}}, fault, reply)
			return nil
		}
		return fault.status()
	}
	// complete fills in what the test left empty: the text, the ids of tool uses, and the number of output tokens.
	reply = reply.complete(s, in)
	if in.NoOutput {
		reply.OutputTokens = 0
	}
	split := s.bill(w, r, in, &reply, fault)
	if quotaUse != nil {
		// This is only calculated if there are quotas. What was read from the cache uses none, and a token of output uses several on some models
		// (Burndown).
		quotaUse.Settle(split.Input + split.Write5m + split.Write1h + reply.OutputTokens*in.Model.Burndown())
	}
	return s.deliver(w, r, in, d, streams, outcome{split, reply, fault})
}

// outcome is what comes of a request that is billed: how its input is split into classes, the completed reply, and what goes wrong with the answer.
type outcome struct {
	split promptcache.Split
	reply Reply
	fault FaultKind
}

// replyTo returns what the model answers, and what goes wrong: the fault that Options give the request, or else that of the reply. With a fault that
// is not billed the model does not run, so Options.Reply is not asked. The empty fault, which is none, is billed.
func (s *Server) replyTo(in *inference, streams bool) (reply Reply, fault FaultKind) {
	fault = s.faultOf(in.request)
	if s.opts.Reply != nil && fault.billed(streams) {
		reply = s.opts.Reply(in.request)
	}
	if fault == "" {
		fault = reply.Fault
	}
	return reply, fault
}

// deliver writes the answer of a request that was billed, or makes its fault happen. It returns the refusal with which the fault answers; nil if the
// answer is written.
func (s *Server) deliver(w http.ResponseWriter, r *http.Request, in *inference, d dialect, streams bool, o outcome) *refusal.Error {
	switch o.fault { // reset does not return
	case Reset:
		s.reset(w)
	case Stall:
		s.wait(r.Context(), s.opts.StallLimit)
		s.reset(w)
	}
	// A fault with an exception ends a stream after its status 200, so it is left to stream.
	if refused := o.fault.status(); refused != nil && (!streams || o.fault.exception() == "") {
		return refused
	}
	// A negative FirstByteDelay means none, and does not shorten the latency.
	if !s.wait(r.Context(), max(s.opts.FirstByteDelay, 0)+o.reply.Latency) { // the client has left, or the server is closed
		panic(http.ErrAbortHandler)
	}
	// From now on other requests can read what this one has written to the cache.
	s.cache.Begun(o.split)
	if streams {
		s.stream(w, r, in, d.events(in, o.split, o.reply), o.fault, o.reply)
	} else {
		s.unary(w, in, o, d.answer(in, o.split, o.reply))
	}
	return nil
}

// faultOf decides what goes wrong with a request: Options.Faults by its number, or else Options.FaultFor by its content; empty if nothing does. A
// caller that gets no fault uses that of the Reply.
func (s *Server) faultOf(r Request) (fault FaultKind) {
	if s.opts.Faults != nil {
		fault = s.opts.Faults(int(s.faultSeq.Add(1)))
	}
	if fault == "" && s.opts.FaultFor != nil {
		fault = s.opts.FaultFor(r)
	}
	return fault
}

// bill bills a request: its tokens by how the prompt cache splits its input, its fees and its guardrails. If the history is compacted, one
// request is several inferences (in.steps), which are all billed. It returns the split that the answer reports: that of the last inference.
func (s *Server) bill(w http.ResponseWriter, r *http.Request, in *inference, reply *Reply, fault FaultKind) promptcache.Split {
	now := s.opts.Clock()
	split := s.cache.Serve(&in.Prompt, now)
	in.by = s.answeredBy(in)
	i := Inference{
		Seq: in.request.Seq, Time: now, Operation: in.request.Operation, ModelID: in.by.model.ID, AskedModelID: in.Model.ID,
		Profile: in.by.profile, RequestID: w.Header().Get("x-amzn-requestid"), InvocationID: r.Header.Get("Amz-Sdk-Invocation-Id"),
		Reservation: s.reservation(r), Tier: in.by.tier, Latency: in.by.latency, UnitsNanoUSD: in.Units,
		GuardrailNanoUSD: in.guardrailsNanoUSD(*reply), Fault: fault,
	}
	// iterations returns nil if the history is not compacted. Then there is one inference, with the split and the output of the request.
	in.steps = in.iterations(split, reply.OutputTokens)
	steps := in.steps
	if steps == nil {
		steps = []iteration{{split: split, output: reply.OutputTokens}}
	}
	for _, step := range steps {
		i.add(step)
	}
	// The rates depend on how many input tokens there are: some models cost more above a limit. tier is a factor in thousandths.
	rates, tier := in.by.price(int(i.InputTokens + i.CacheReadTokens + i.CacheWrite5mTokens + i.CacheWrite1hTokens))
	// Some models have a higher rate for the tokens of images. What it is above that of text is a fee, in addition to their price as text.
	if rate := in.Model.FeesAt(s.opts.Region).ImageToken; rate > rates[modeltable.ClassInput] {
		i.UnitsNanoUSD += nano(int64(in.ImageTokens), rate-rates[modeltable.ClassInput], tier)
	}
	s.book.charge(i, rates, tier)
	return steps[len(steps)-1].split
}

// add adds the tokens of one of the inferences that make up an answer.
func (i *Inference) add(step iteration) {
	i.InputTokens += int64(step.split.Input)
	i.CacheReadTokens += int64(step.split.Read)
	i.CacheWrite5mTokens += int64(step.split.Write5m)
	i.CacheWrite1hTokens += int64(step.split.Write1h)
	i.OutputTokens += int64(step.output)
}

// guard serves ApplyGuardrail. Only the guardrail's units are billed.
func (s *Server) guard(w http.ResponseWriter, r *http.Request, seq int, id, version string, body []byte) *refusal.Error {
	n, refused := jsonnode.Parse(body)
	if refused != nil {
		return refused
	}
	id, _ = url.PathUnescape(id)
	version, _ = url.PathUnescape(version)
	if refused := shapes.Conforms(r, map[string]string{"guardrailIdentifier": id, "guardrailVersion": version}, n, "ApplyGuardrailRequest"); refused != nil {
		return refused
	}
	e, text, refused := s.applyGuardrail(id, n)
	if refused != nil {
		return refused
	}
	s.book.charge(Inference{
		Seq: seq, Time: s.opts.Clock(), Operation: "apply-guardrail", ModelID: id, RequestID: w.Header().Get("x-amzn-requestid"),
		InvocationID: r.Header.Get("Amz-Sdk-Invocation-Id"), Reservation: s.reservation(r), GuardrailNanoUSD: e.NanoUSD(),
	}, modeltable.Rates{}, 1000) // no tokens are billed, and there is no tier
	return answer(w, s.applied(n, id, version, e, text))
}

// reservation returns the value of the header that Options.ReservationHeader names, which the bill keeps; empty without one.
func (s *Server) reservation(r *http.Request) string {
	if s.opts.ReservationHeader == "" {
		return ""
	}
	return r.Header.Get(s.opts.ReservationHeader)
}

// unary writes an answer that is not streamed, and for InvokeModel also the token counts as headers. The fault MissingUsage leaves all counts
// out; Truncate sends half of the body.
func (s *Server) unary(w http.ResponseWriter, in *inference, o outcome, body any) {
	invoke, counted := in.request.Operation == "invoke", o.fault != MissingUsage
	if object, ok := body.(map[string]any); ok && !counted {
		body = withoutUsage(object)
	} else if ok && invoke { // Converse's answer has its trace already
		body = in.tracedAs(object, o.reply)
	}
	raw, _ := json.Marshal(body) // maps, strings and numbers
	h := w.Header()
	h.Set("content-type", "application/json")
	h.Set("content-length", strconv.Itoa(len(raw)))
	if invoke && counted {
		in.countHeaders(h, o)
	}
	w.WriteHeader(http.StatusOK)
	if o.fault == Truncate {
		_, _ = w.Write(raw[:len(raw)/2])
		s.cut(w) // does not return
	}
	_, _ = w.Write(raw)
}

// countHeaders sets the headers with which InvokeModel reports token counts, and how the request was served. Models that embed or rank have no output
// tokens.
func (in *inference) countHeaders(h http.Header, o outcome) {
	h.Set("X-Amzn-Bedrock-Input-Token-Count", strconv.Itoa(o.split.Input))
	if in.Model.Mode == "" {
		h.Set("X-Amzn-Bedrock-Output-Token-Count", strconv.Itoa(o.reply.OutputTokens))
	}
	if in.Model.Cache != nil {
		h.Set("X-Amzn-Bedrock-Cache-Read-Input-Token-Count", strconv.Itoa(o.split.Read))
		h.Set("X-Amzn-Bedrock-Cache-Write-Input-Token-Count", strconv.Itoa(o.split.Write5m+o.split.Write1h))
	}
	h.Set("X-Amzn-Bedrock-Invocation-Latency", "2")
	in.by.header(h)
}

// withoutUsage removes the token counts from an answer or a chunk, whatever its dialect. It changes body, which must have been made for one
// request. Titan's "results" goes as a whole, because the count stands in it beside the text.
func withoutUsage(body map[string]any) map[string]any {
	for _, key := range []string{
		"usage", "prompt_token_count", "generation_token_count", "inputTextTokenCount", "results", "totalOutputTextTokenCount", "amazon-bedrock-invocationMetrics",
	} {
		delete(body, key)
	}
	for _, key := range []string{"message", "metadata", "response"} {
		if inner, ok := body[key].(map[string]any); ok {
			delete(inner, "usage")
		}
	}
	return body
}
