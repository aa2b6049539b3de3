package bedrockguard

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// framing is how a stream is cut into events.
type framing uint8

const (
	eventStream      framing = iota + 1 // AWS's event streams
	serverSentEvents                    // the web's
)

// streamsAs tells from the header of an answer how it streams; 0 for one that comes whole.
func streamsAs(h http.Header) framing {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	switch kind {
	case "application/vnd.amazon.eventstream":
		return eventStream
	case "text/event-stream":
		return serverSentEvents
	default:
		return 0
	}
}

// streamed is the body of a stream as the client reads it.
func (d *httpCall) streamed(m *meteredBody) io.ReadCloser {
	w := &wholeEvents{body: m, form: d.route.form, framing: streamsAs(d.response.Header), errors: d.transport.errors, dropsUsage: d.asksUsage}
	if w.errors && !w.dropsUsage {
		return m
	}
	return w
}

// maxHeldBytes bounds what is held back of an event that has not come whole. What is longer is handed on as it comes; a stream that is killed
// within it ends by an error.
const maxHeldBytes = 4 << 20

// wholeEvents hands on a stream event by event, so that one that is killed can end by an event of its dialect that its client takes for
// a failure: a stream that is cut, or ends, passes for a success with most of them. Read is called by one goroutine.
type wholeEvents struct {
	body    io.ReadCloser
	form    form
	framing framing
	errors  bool // one that is killed ends by an error of Read

	dropsUsage bool // the event that tells usage is left out, because the client did not ask for it

	held  bytes.Buffer
	ready int   // of held, the bytes that may be handed on
	torn  bool  // an event was handed on in part
	ended error // how the body ended
	buf   []byte
}

// Read implements io.Reader.
func (w *wholeEvents) Read(p []byte) (int, error) {
	for w.ready == 0 {
		if w.ended != nil {
			return 0, w.ended
		}
		w.fill()
	}
	n, _ := w.held.Read(p[:min(len(p), w.ready)])
	w.ready -= n
	return n, nil
}

// fill reads once, and works out how much may be handed on.
func (w *wholeEvents) fill() {
	if w.buf == nil {
		w.buf = make([]byte, pumpBytes)
	}
	n, err := w.body.Read(w.buf)
	w.held.Write(w.buf[:n])
	if err == nil {
		if w.ready = w.whole(); w.dropsUsage && w.ready > 0 {
			w.leaveOutUsage()
		}
		if w.ready == 0 && w.held.Len() > maxHeldBytes {
			w.ready, w.torn = w.held.Len(), true
		}
		return
	}
	w.ended = err
	killed, ok := errors.AsType[*budget.KilledError](err)
	if !ok || w.torn || w.errors {
		w.ready = w.held.Len()
		return
	}
	w.held.Reset()
	w.held.Write(w.form.killed(w.framing, killed))
	w.ready, w.ended = w.held.Len(), io.EOF
}

// whole is the length of the whole events at the front of what is held.
func (w *wholeEvents) whole() int {
	b := w.held.Bytes()
	if w.framing == serverSentEvents {
		return wholeSSE(b)
	}
	n := 0
	for len(b)-n >= 4 {
		size := int(binary.BigEndian.Uint32(b[n:]))
		if size < 16 || size > len(b)-n {
			if size < 16 || size > maxHeldBytes { // no frame: nothing more can be told apart
				w.torn = true
				return len(b)
			}
			break
		}
		n += size
	}
	return n
}

// leaveOutUsage takes the event that tells usage, and nothing else, out of those that are ready.
func (w *wholeEvents) leaveOutUsage() {
	ready := w.held.Bytes()[:w.ready]
	if !bytes.Contains(ready, []byte(`"usage"`)) {
		return
	}
	rest := bytes.Clone(w.held.Bytes()[w.ready:])
	var kept []byte
	for len(ready) > 0 {
		n := firstSSE(ready)
		if !tellsUsageAlone(ready[:n]) {
			kept = append(kept, ready[:n]...)
		}
		ready = ready[n:]
	}
	w.held.Reset()
	w.held.Write(kept)
	w.held.Write(rest)
	w.ready = len(kept)
}

// tellsUsageAlone reports whether an event of chat completions holds usage and no choice.
func tellsUsageAlone(event []byte) bool {
	_, data, ok := bytes.Cut(event, []byte("data:"))
	if !ok {
		return false
	}
	var chunk struct {
		Choices []json.RawMessage `json:"choices"`
		Usage   json.RawMessage   `json:"usage"`
	}
	return json.Unmarshal(bytes.TrimSpace(data), &chunk) == nil && len(chunk.Choices) == 0 && len(chunk.Usage) > 0 && string(chunk.Usage) != "null"
}

// firstSSE is the length of the first event of b, which holds a whole one.
func firstSSE(b []byte) int {
	n := len(b)
	for _, end := range sseEnds {
		if at := bytes.Index(b, []byte(end)); at >= 0 {
			n = min(n, at+len(end))
		}
	}
	return n
}

// sseEnds are the ways in which an event of server-sent events ends: with an empty line.
var sseEnds = [...]string{"\n\n", "\r\n\r\n", "\r\r"}

// wholeSSE is the length of the events at the front of b that have come whole: each ends with an empty line.
func wholeSSE(b []byte) int {
	n := 0
	for _, end := range sseEnds {
		if at := bytes.LastIndex(b, []byte(end)); at >= 0 {
			n = max(n, at+len(end))
		}
	}
	return n
}

// Close implements io.Closer.
func (w *wholeEvents) Close() error { return w.body.Close() }
