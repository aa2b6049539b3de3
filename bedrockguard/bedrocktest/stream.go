package bedrocktest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// event is one frame of an event stream: its kind, which is the event type on the wire except for the constants below, and its JSON body.
type event struct {
	kind string
	body map[string]any
}

// payload returns the event's body on the wire: a chunk carries the model's own JSON in base64. An exception has no padding.
func (e event) payload(fault FaultKind) map[string]any {
	body := e.body
	if e.kind == usageChunkEvent && fault == MissingUsage {
		body = withoutUsage(body)
	}
	if e.kind == chunkEvent || e.kind == usageChunkEvent {
		raw, _ := json.Marshal(body) // maps, strings and numbers
		body = map[string]any{"bytes": raw}
	}
	if e.kind == exceptionEvent {
		return body
	}
	return padded(body)
}

// padding is the text by which the service hides an event's length: each event has some of it in the member p.
const padding = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// padded adds padding to an event. How much depends on the number of the event's members alone, so it is the same in each run.
func padded(body map[string]any) map[string]any {
	out := maps.Clone(body)
	out["p"] = padding[:1+(7*len(body))%len(padding)]
	return out
}

// The kinds of event that are treated differently from others.
const (
	metadataEvent   = "metadata"
	chunkEvent      = "chunk"
	usageChunkEvent = "usage-chunk" // a chunk with token counts; on the wire it is a chunk
	exceptionEvent  = "exception"   // its body has a type and a message
)

// frame encodes an event with its prelude, headers and checksums.
func (e event) frame(fault FaultKind) []byte {
	kind := e.kind
	if kind == usageChunkEvent {
		kind = chunkEvent
	}
	payload, _ := json.Marshal(e.payload(fault)) // maps, strings and numbers
	var headers eventstream.Headers
	if kind == exceptionEvent {
		headers.Set(":exception-type", eventstream.StringValue(e.body["type"].(string)))
		headers.Set(":content-type", eventstream.StringValue("application/json"))
		headers.Set(":message-type", eventstream.StringValue("exception"))
	} else {
		headers.Set(":event-type", eventstream.StringValue(kind))
		headers.Set(":content-type", eventstream.StringValue("application/json"))
		headers.Set(":message-type", eventstream.StringValue("event"))
	}
	var out bytes.Buffer
	_ = eventstream.NewEncoder().Encode(&out, eventstream.Message{Headers: headers, Payload: payload}) // can't fail: a buffer accepts everything
	return out.Bytes()
}

// stream writes the events of an answer, as frames or as server-sent events. With the fault Truncate it stops in the middle of a frame. With a
// fault that has an exception it sends the exception after FaultAfter events, or after half of them, and ends. A stall pauses the stream after
// StallAfter events.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, in *inference, events []event, fault FaultKind, reply Reply) {
	in.streamHeaders(w.Header())
	// The exceptions that are not billed end a stream at its very beginning: for them infer has passed the exception as the only event.
	if fault.exception() != "" && fault.billed(true) {
		events = interrupted(events, fault, reply.FaultAfter)
	}
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w).Flush
	between := cmp.Or(reply.EventDelay, s.opts.EventDelay)
	for i, e := range events {
		if fault == MissingUsage && e.kind == metadataEvent { // Converse's usage is an event of its own
			continue
		}
		frame := in.encode(e, fault)
		if fault == Truncate && i == len(events)/2 {
			_, _ = w.Write(frame[:len(frame)/2])
			_ = flush()
			s.cut(w) // does not return
		}
		if _, err := w.Write(frame); err != nil {
			return
		}
		pause := between
		if i+1 == reply.StallAfter {
			pause += reply.Stall
		}
		if pause > 0 {
			_ = flush()
			if !s.wait(r.Context(), pause) { // the client has left, or the server is closed
				panic(http.ErrAbortHandler)
			}
		}
	}
}

// streamHeaders sets the headers of a stream. in.Form is empty for Bedrock's own operations, whose events are frames and not server-sent.
func (in *inference) streamHeaders(h http.Header) {
	h.Set("content-type", "application/vnd.amazon.eventstream")
	if in.Form != "" {
		h.Set("content-type", "text/event-stream")
	}
	if strings.HasPrefix(in.request.Operation, "invoke") {
		h.Set("X-Amzn-Bedrock-Content-Type", "application/json")
		in.by.header(h)
	}
}

// interrupted returns the first events of a stream, followed by the exception of its fault: so many events, or half of them if after is 0.
func interrupted(events []event, fault FaultKind, after int) []event {
	at := len(events) / 2
	if after > 0 {
		at = min(after, len(events))
	}
	return append(events[:at:at], event{exceptionEvent, fault.exceptionBody()})
}

// encode returns an event in the form of the route: a server-sent event or a frame.
func (in *inference) encode(e event, fault FaultKind) []byte {
	if in.Form != "" {
		return e.sse(in.Form, fault)
	}
	return e.frame(fault)
}

// reset ends a request with a TCP reset, or a stream reset over HTTP/2. It does not return.
func (s *Server) reset(w http.ResponseWriter) {
	// Over HTTP/2 a connection can't be taken over (Hijack fails): there the panic resets the stream.
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			// Without lingering, Close sends a reset.
			_ = tcp.SetLinger(0)
		}
		conn.Close()
	}
	panic(http.ErrAbortHandler)
}

// cut sends what is written of an answer, and ends the connection. It does not return.
func (s *Server) cut(w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
