package bedrocktest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ToolResult is the result of a tool in the last message of a request.
type ToolResult struct {
	ID      string // the id of the tool use
	Content string // its texts, and its JSON unchanged
	Failed  bool
}

// describe fills in the fields of a Request, for any dialect.
func (r *Request) describe(n *node, body []byte) {
	r.Body = body
	r.System = textsOf(n.get("system")) + n.get("instructions").text() + n.get("preamble").text()
	for _, list := range []*node{n.get("tools"), n.get("toolConfig").get("tools")} {
		for _, t := range list.list() {
			for _, name := range []*node{t.get("name"), t.get("toolSpec").get("name"), t.get("function").get("name"), t.get("systemTool").get("name")} {
				if name.text() != "" {
					r.Tools = append(r.Tools, name.text())
				}
			}
		}
	}
	messages := n.get("messages").list()
	for i, m := range slices.Concat(n.get("chat_history").list(), messages) {
		prefill := len(messages) > 0 && i == len(messages)-1
		if role := m.get("role").text(); role == assistant && !prefill || role == "CHATBOT" {
			r.Turn++
		}
	}
	for i, m := range messages {
		if role := m.get("role").text(); role == "system" || role == "developer" {
			r.System = strings.TrimPrefix(r.System+"\n"+textsOf(m.get("content")), "\n")
		}
		if i == len(messages)-1 || trailing(messages[i:]) {
			r.results(m)
		}
	}
}

// trailing reports whether all of these messages are results of tools: in chat completions each result is a message.
func trailing(messages []*node) bool {
	for _, m := range messages {
		if m.get("role").text() != "tool" {
			return false
		}
	}
	return true
}

// results adds the tool results of one message.
func (r *Request) results(m *node) {
	if m.get("role").text() == "tool" {
		r.ToolResults = append(r.ToolResults, ToolResult{ID: m.get("tool_call_id").text(), Content: textsOf(m.get("content"))})
	}
	for _, b := range m.get("content").list() {
		if t := b.get("toolResult"); t != nil {
			r.ToolResults = append(r.ToolResults, ToolResult{ID: t.get("toolUseId").text(), Content: textsOf(t.get("content")), Failed: t.get("status").text() == "error"})
		}
		if b.get("type").text() == "tool_result" {
			r.ToolResults = append(r.ToolResults, ToolResult{ID: b.get("tool_use_id").text(), Content: textsOf(b.get("content")), Failed: b.get("is_error").is("true")})
		}
	}
}

// textsOf joins the texts in a string or a list of blocks. A block of JSON is added unchanged.
func textsOf(n *node) string {
	if n.kind() == '"' {
		return n.text()
	}
	var all []string
	for _, b := range n.list() {
		switch {
		case b.kind() == '"':
			all = append(all, b.text())
		case b.get("text") != nil:
			all = append(all, b.get("text").text())
		case b.get("json") != nil:
			all = append(all, b.get("json").raw)
		}
	}
	return strings.Join(all, "\n")
}

// Received returns the requests in the order of their arrival, if Options.Record is set. Those that were refused have the reason in Refused.
func (s *Server) Received() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.received...)
}

func (s *Server) record(r Request) {
	if !s.opts.Record {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = append(s.received, r)
}

// recordRefused records why a request was refused, even if it could not be parsed.
func (s *Server) recordRefused(seq int, r *http.Request, body []byte, refused *refusal) {
	if !s.opts.Record {
		return
	}
	reason := refused.errType + ": " + refused.message
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
