package httpdoor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/chain"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/internal/inputs"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// streamed returns the body of a stream for the client, which is read by way of the guard's meter. If a kill is to end it with an error of Read,
// and no event has to be left out, it is the meter's own body.
func (d *httpCall) streamed(metered io.ReadCloser) io.ReadCloser {
	w := &wholeEvents{body: metered, form: d.route.form, framing: chain.StreamsAs(d.response.Header), errors: d.transport.errors, dropsUsage: d.asksUsage}
	if w.errors && !w.dropsUsage {
		return metered
	}
	return w
}

// readBytes is how much is read of a stream at once.
const readBytes = 16 << 10

// maxHeldBytes bounds how much of an incomplete event is held back. A longer event is passed on in parts; if a stream is killed inside of
// one, it ends with an error.
const maxHeldBytes = 4 << 20

// wholeEvents passes a stream on event by event, so that a killed stream can end with an event of its dialect that the client takes for a
// failure. Most clients take a stream that just ends for a success. Read is called by one goroutine.
type wholeEvents struct {
	body    io.ReadCloser
	form    inputs.Form   // the dialect of the event for a kill
	framing chain.Framing // how events are told apart: as AWS's event streams or as server-sent events
	errors  bool          // a killed stream ends with an error of Read

	dropsUsage bool // the usage event is left out, because the client did not ask for it

	held  bytes.Buffer // what was read and not passed on yet
	ready int          // how many of the first bytes of held may be passed on: complete events
	torn  bool         // an event was passed on in part, so that no event can be put behind it
	ended error        // the error or io.EOF with which the body ended; nil until then
	buf   []byte       // for one read of body
}

// Read implements io.Reader.
func (w *wholeEvents) Read(p []byte) (int, error) {
	for w.ready == 0 {
		if w.ended != nil {
			return 0, w.ended
		}
		w.fill()
	}
	// This can't fail: at least ready bytes are held.
	n, _ := w.held.Read(p[:min(len(p), w.ready)])
	w.ready -= n
	return n, nil
}

// fill reads once, and works out how much may be passed on (ready). It requires that all complete events were passed on.
func (w *wholeEvents) fill() {
	if w.buf == nil {
		w.buf = make([]byte, readBytes)
	}
	n, err := w.body.Read(w.buf)
	w.held.Write(w.buf[:n])
	if err == nil {
		w.release()
	} else {
		w.end(err)
	}
}

// release lets the complete events that are held be passed on, and also an incomplete one that is too long to be held.
func (w *wholeEvents) release() {
	w.ready = w.whole()
	if w.dropsUsage && w.ready > 0 {
		w.leaveOutUsage()
	}
	if w.ready == 0 && w.held.Len() > maxHeldBytes {
		w.ready, w.torn = w.held.Len(), true
	}
}

// end is for a body that has ended with err. The client gets what is held, and then the error. Only if the stream was killed, an event that reports
// the kill takes the place of both; it may not if an event was passed on in part, or if kills are errors for this client.
func (w *wholeEvents) end(err error) {
	killed, isKill := errors.AsType[*budget.KilledError](err)
	if !isKill || w.torn || w.errors {
		w.ready, w.ended = w.held.Len(), err
		return
	}
	// What is held is an incomplete event, which is dropped: a killed body ends without further bytes.
	w.held.Reset()
	w.held.Write(killedEvent(w.form, w.framing, killed))
	w.ready, w.ended = w.held.Len(), io.EOF
}

// minFrame is the length of the shortest frame of AWS's event streams.
const minFrame = 16

// whole returns the length of the complete events at the beginning of what is held. In AWS's event streams an event is a frame, which begins with
// its own length in four bytes. If something is no frame, or too long to be held, all that is held counts as complete, and torn is set.
func (w *wholeEvents) whole() int {
	b := w.held.Bytes()
	if w.framing == chain.ServerSentEvents {
		return wholeSSE(b)
	}
	n := 0
	for len(b)-n >= 4 {
		size := int(binary.BigEndian.Uint32(b[n:]))
		arrived := size <= len(b)-n // the whole frame is held
		if size < minFrame || !arrived && size > maxHeldBytes {
			w.torn = true
			return len(b)
		}
		if !arrived {
			break
		}
		n += size
	}
	return n
}

// leaveOutUsage removes the event that has only usage from the complete events that are held. Only chat completions need it, whose streams are
// server-sent events.
func (w *wholeEvents) leaveOutUsage() {
	ready := w.held.Bytes()[:w.ready]
	if !bytes.Contains(ready, []byte(`"usage"`)) {
		return
	}
	// The rest is an event that is not complete yet. It is copied, because what is kept is written over it below.
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

// tellsUsageAlone reports whether an event of chat completions has usage and no choice.
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

// firstSSE returns the length of the first event of b, which must be complete.
func firstSSE(b []byte) int {
	n := len(b)
	for _, end := range sseEnds {
		if at := bytes.Index(b, []byte(end)); at >= 0 {
			n = min(n, at+len(end))
		}
	}
	return n
}

// sseEnds are the ways in which a server-sent event can end: with an empty line.
var sseEnds = [...]string{"\n\n", "\r\n\r\n", "\r\r"}

// wholeSSE returns the length of the complete events at the beginning of b: each ends with an empty line.
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
