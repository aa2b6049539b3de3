package bedrocktest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// ToolResult is the result of a tool in the last message of a request.
type ToolResult struct {
	ID      string // the id of the tool use
	Content string // its texts, and its JSON unchanged
	Failed  bool
}

// describe fills in the fields of a Request that are shown to the test, from a body in any dialect: the system prompt, the names of the tools, how
// many turns the assistant had, and the tool results that end the conversation. n is the parsed body. The system prompt is in system, instructions
// (of the Responses API) or preamble (Cohere's), or in messages of chat completions.
func (r *Request) describe(n *jsonnode.Node, body []byte) {
	r.Body = body
	r.System = dialects.TextsOf(n.Get("system")) + n.Get("instructions").Text() + n.Get("preamble").Text()
	r.nameTools(n)
	messages := n.Get("messages").List()
	// A body has either chat_history, which is Cohere's, or messages, so that i is also the index in its list.
	for i, m := range slices.Concat(n.Get("chat_history").List(), messages) {
		// If the last message is the assistant's, it is the beginning of the answer and no turn.
		prefill := len(messages) > 0 && i == len(messages)-1
		if role := m.Get("role").Text(); role == dialects.Assistant && !prefill || role == "CHATBOT" {
			r.Turn++
		}
	}
	for i, m := range messages {
		if role := m.Get("role").Text(); role == "system" || role == "developer" {
			r.System = strings.TrimPrefix(r.System+"\n"+dialects.TextsOf(m.Get("content")), "\n")
		}
		if i == len(messages)-1 || trailing(messages[i:]) {
			r.results(m)
		}
	}
}

// nameTools adds the names of the tools, which each dialect has in another place.
func (r *Request) nameTools(n *jsonnode.Node) {
	for _, t := range slices.Concat(n.Get("tools").List(), n.Get("toolConfig").Get("tools").List()) {
		for _, name := range []*jsonnode.Node{t.Get("name"), t.Get("toolSpec").Get("name"), t.Get("function").Get("name"), t.Get("systemTool").Get("name")} {
			if name.Text() != "" {
				r.Tools = append(r.Tools, name.Text())
			}
		}
	}
}

// trailing reports whether all of these messages are results of tools: in chat completions each result is a message.
func trailing(messages []*jsonnode.Node) bool {
	for _, m := range messages {
		if m.Get("role").Text() != "tool" {
			return false
		}
	}
	return true
}

// results adds the tool results of one message.
func (r *Request) results(m *jsonnode.Node) {
	if m.Get("role").Text() == "tool" {
		r.ToolResults = append(r.ToolResults, ToolResult{ID: m.Get("tool_call_id").Text(), Content: dialects.TextsOf(m.Get("content"))})
	}
	for _, b := range m.Get("content").List() {
		if t := b.Get("toolResult"); t != nil {
			r.ToolResults = append(r.ToolResults, ToolResult{ID: t.Get("toolUseId").Text(), Content: dialects.TextsOf(t.Get("content")), Failed: t.Get("status").Text() == "error"})
		}
		if b.Get("type").Text() == "tool_result" {
			r.ToolResults = append(r.ToolResults, ToolResult{ID: b.Get("tool_use_id").Text(), Content: dialects.TextsOf(b.Get("content")), Failed: b.Get("is_error").Is("true")})
		}
	}
}

// Received returns the requests in the order of their arrival, if Options.Record is set. Those that were refused have the reason in Refused.
func (s *Server) Received() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.received...)
}

// record keeps a request for Received, if Options.Record is set.
func (s *Server) record(r Request) {
	if !s.opts.Record {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = append(s.received, r)
}

// recordRefused keeps for Received why a request was refused. If the request was not recorded before, because it was refused too early or could
// not be parsed, it is recorded now with what its path says.
func (s *Server) recordRefused(seq int, r *http.Request, body []byte, refused *refusal.Error) {
	if !s.opts.Record {
		return
	}
	reason := refused.Type + ": " + refused.Message
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.received {
		if s.received[i].Seq == seq {
			s.received[i].Refused = reason
			return
		}
	}
	path := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	request := Request{Seq: seq, Operation: path[len(path)-1], Header: r.Header, Body: body, Refused: reason}
	if path[0] == "model" && len(path) == 3 {
		request.AskedID, _ = url.PathUnescape(path[1])
	}
	s.received = append(s.received, request)
}
