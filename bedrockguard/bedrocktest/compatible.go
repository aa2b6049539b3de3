package bedrocktest

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// Functions that serve a request return the refusal that their caller has to write, or nil if they have written the answer. answer writes a body with
// status 200, and returns nil. chunk makes an event of a stream, and usageChunk one with token counts, which the fault MissingUsage takes out.

// The OpenAI and Anthropic routes of bedrock-runtime and of bedrock-mantle (AWS's pages of the APIs, read 2026-11). The server is both: a
// request whose Host begins with bedrock-mantle has to use mantle's prefixes.
const (
	chatRoute      = "chat/completions"
	responsesRoute = "responses"
	messagesRoute  = "messages"
)

// compatibleRoute splits a path into its prefix, its route and the rest after it: an id, count_tokens or nothing. All are empty for any other
// path. Anthropic's prefix has the route messages and no other, and all other routes have one of the other prefixes.
func compatibleRoute(path string) (prefix, route, rest string) {
	for _, prefix := range []string{"openai/v1/", "anthropic/v1/", "v1/"} {
		tail, ok := strings.CutPrefix(strings.TrimPrefix(path, "/"), prefix)
		if !ok {
			continue
		}
		routes := []string{chatRoute, responsesRoute, "models"}
		if prefix == "anthropic/v1/" {
			routes = []string{messagesRoute}
		}
		for _, route := range routes {
			if rest, ok := strings.CutPrefix(tail, route); ok && (rest == "" || rest[0] == '/') {
				return prefix, route, strings.TrimPrefix(rest, "/")
			}
		}
	}
	return "", "", ""
}

// onMantle reports whether a request is for bedrock-mantle, the endpoint beside bedrock-runtime.
func onMantle(r *http.Request) bool { return strings.HasPrefix(r.Host, "bedrock-mantle") }

// compatible serves the OpenAI and Anthropic routes, and returns false for any other path. Refusals have the form of the route's API.
func (s *Server) compatible(w http.ResponseWriter, r *http.Request, seq int, body []byte) bool {
	prefix, route, rest := compatibleRoute(r.URL.EscapedPath())
	if route == "" {
		return false
	}
	w.Header().Set("x-request-id", w.Header().Get("x-amzn-requestid"))
	var refused *refusal.Error
	switch {
	case !authorized(r) && r.Header.Get("X-Api-Key") == "":
		refused = refusal.New(401, "AuthenticationException", "The request is not signed.")
	case route == "models" && rest == "" && r.Method == http.MethodGet:
		refused = listModels(w)
	case route == responsesRoute && rest != "":
		refused = s.storedResponse(w, r, rest)
	case r.Method != http.MethodPost, rest != "" && rest != "count_tokens":
		refused = refusal.NotServed()
	default:
		refused = s.compatibleModel(w, r, seq, prefix, route, rest == "count_tokens", body)
	}
	if refused != nil {
		s.recordRefused(seq, r, body, refused)
		// A refusal waits as long as an answer: a client that gets it while it still writes loses the connection.
		s.wait(r.Context(), s.opts.FirstByteDelay)
		refused.WriteAs(route == messagesRoute, w)
	}
	return true
}

// listModels lists the chat models in the table, each under its id and not under its aliases.
func listModels(w http.ResponseWriter) *refusal.Error {
	data := []any{}
	for id, m := range modeltable.Table().ByID {
		if m.ID == id && m.Mode == "" {
			data = append(data, map[string]any{"id": id, "object": "model", "created": epoch, "owned_by": "system", "status": "available"})
		}
	}
	return answer(w, map[string]any{"object": "list", "data": data})
}

// compatibleDialect returns the dialect of a route.
func compatibleDialect(route string) dialect {
	switch route {
	case messagesRoute:
		return dialect{(*dialects.Reader).ParseAnthropic, anthropicAnswer, anthropicEvents}
	case chatRoute:
		return dialect{(*dialects.Reader).ParseChat, chatAnswer, chatStream}
	default:
		return dialect{(*dialects.Reader).ParseResponses, responsesAnswer, responsesEvents}
	}
}

// compatibleModel serves one request of a route that names its model in the body; count asks for the tokens of the prompt only, which is free. Like
// model, it returns the refusal that the caller has to write, or nil. obeys returns that of the first simulated rule of Bedrock that the body breaks.
func (s *Server) compatibleModel(w http.ResponseWriter, r *http.Request, seq int, prefix, route string, count bool, body []byte) *refusal.Error {
	n, refused := jsonnode.Parse(body)
	if refused != nil {
		return refused
	}
	id := n.Get("model").Text()
	// lookup also knows the models that a test adds. profile is empty for an id without one, and region for an id that is no ARN.
	m, profile, region, ok := s.lookup(id)
	switch {
	case id == "":
		return refusal.Invalid("model: a string is required")
	case !ok:
		return refusal.New(404, "ResourceNotFoundException", "The model '"+id+"' does not exist")
	case !serves(route, m), route != messagesRoute && onMantle(r) && prefix != m.MantlePrefix(): // on mantle each model has one of OpenAI's two prefixes
		return refusal.Invalid("The model '%s' does not support the '/%s%s' API", id, prefix, route)
	case count && !onMantle(r): // bedrock-runtime has the operation CountTokens for that
		return refusal.NotServed()
	}
	if refused := s.available(id, m); refused != nil {
		return refused
	}
	in := &inference{Prompt: dialects.Prompt{Model: m, Frame: s.reader.FrameOf(m), Profile: profile, Form: route}, region: region, stored: &s.stored, request: Request{Seq: seq, Operation: route, AskedID: id, Header: r.Header}}
	in.usageAsked = n.Get("stream_options").Get("include_usage").Is("true")
	d := compatibleDialect(route)
	if refused := s.read(n, in, d); refused != nil {
		return refused
	}
	if count {
		return answer(w, map[string]any{"input_tokens": in.request.InputTokens})
	}
	if route == messagesRoute {
		if refused := s.obeys(n, in, false); refused != nil { // false: the body is in Anthropic's dialect, and not in Converse's
			return refused
		}
	}
	in.request.describe(n, body) // the rest of what a test is shown of it
	s.record(in.request)
	return s.infer(w, r, in, d, n.Get("stream").Is("true"))
}

// serves reports whether a route serves a model: messages serves Anthropic's, and the other routes the models that accept OpenAI's dialects.
func serves(route string, m *modeltable.Model) bool {
	if route == messagesRoute {
		return m.Provider == "anthropic"
	}
	return m.Chats()
}

// sse encodes an event as a server-sent event. Chat completions have no event names and end with [DONE]; none of these routes has the metrics
// that Bedrock adds to InvokeModel's chunks.
func (e event) sse(route string, fault FaultKind) []byte {
	body := e.body
	if e.kind == usageChunkEvent && fault == MissingUsage {
		body = withoutUsage(body)
	}
	kind, _ := body["type"].(string)
	switch {
	case e.kind == doneEvent:
		return []byte("data: [DONE]\n\n")
	case e.kind == exceptionEvent:
		// Told returns the refusal in the form of the API: Anthropic's on the route messages, else OpenAI's.
		body, kind = fault.status().Told(route == messagesRoute), "error"
	case body["amazon-bedrock-invocationMetrics"] != nil:
		body = maps.Clone(body)
		delete(body, "amazon-bedrock-invocationMetrics")
	}
	raw, _ := json.Marshal(body) // maps, strings and numbers
	var out bytes.Buffer
	if kind != "" && route != chatRoute {
		out.WriteString("event: " + kind + "\n")
	}
	out.WriteString("data: ")
	out.Write(raw)
	out.WriteString("\n\n")
	return out.Bytes()
}

// doneEvent ends a stream of chat completions.
const doneEvent = "done"

// chatStream returns the chunks of a chat completion on its own route, where usage is only reported on request.
func chatStream(in *inference, split promptcache.Split, r Reply) []event {
	with := func(choices []any) map[string]any {
		return map[string]any{"id": "chatcmpl-" + strconv.Itoa(r.seq), "object": "chat.completion.chunk", "created": epoch, "model": in.bodyName(), "choices": choices}
	}
	var events []event
	add := func(delta map[string]any, finish any) {
		events = append(events, chunk(with([]any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish}})))
	}
	add(map[string]any{"role": "assistant", "content": ""}, nil)
	message := chatMessage(r)
	if thought := message["reasoning"]; thought != nil {
		add(map[string]any{"reasoning": thought}, nil)
	}
	if message["content"] != nil {
		for _, piece := range r.pieces() {
			add(map[string]any{"content": piece}, nil)
		}
	}
	if calls := message["tool_calls"]; calls != nil {
		add(map[string]any{"tool_calls": calls}, nil)
	}
	add(map[string]any{}, r.chosen(chatWords))
	if in.usageAsked { // the chunk with the usage has no choices
		last := with([]any{})
		last["usage"] = chatUsage(split, r.OutputTokens)
		events = append(events, usageChunk(last))
	}
	return append(events, event{kind: doneEvent})
}
