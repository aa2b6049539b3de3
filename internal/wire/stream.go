package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

const (
	maxFrameBytes = 24 << 20         // more than the event stream encoding allows: 16 MB of payload and 128 KB of headers
	preludeBytes  = 12               // length, length of the headers, checksum
	frameOverhead = preludeBytes + 4 // what a frame has besides headers and payload: the last four bytes are a checksum of all
)

// StreamMeter reads usage from the raw bytes of a ConverseStream or InvokeModelWithResponseStream response while they pass.
// It holds at most one frame. A frame that is damaged or impossibly long stops it for good: the usage is unknown then.
// It is safe for concurrent use. Make one with NewStreamMeter.
type StreamMeter struct {
	mu        sync.Mutex
	sum       streamSum // what the events have told so far
	decoder   *eventstream.Decoder
	buf       []byte // the beginning of a frame that has not arrived completely
	frames    int    // whole frames seen so far
	exception string // the type of the last exception or error; empty if there was none
	refused   string // the type of an exception that was the very first frame; an error is none of the service's exceptions and never sets it
}

// NewStreamMeter returns a meter for one response. provider is the maker's name in the model id, such as "anthropic": it decides how the counts
// in the answer are to be read. writes is the longest lifetime for which the request may write to the prompt cache: the tokens written count
// for it where the answer does not say for how long they were. header is that of the response; of it only the service tier and the latency
// are used.
func NewStreamMeter(provider string, writes price.CacheWrites, header http.Header) *StreamMeter {
	return &StreamMeter{sum: newStreamSum(provider, writes, header), decoder: eventstream.NewDecoder()}
}

// Write takes in the next bytes, split anywhere. It never fails and always reports len(p).
func (m *StreamMeter) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for rest := p; len(rest) > 0 && !m.sum.damaged; {
		if len(m.buf) > 0 {
			rest = m.fill(rest)
			continue
		}
		n, ok := frameLen(rest)
		switch {
		case !ok:
			m.stop()
		case n == 0 || n > len(rest): // rest ends before the frame's length is known, or before the frame does
			m.buf = append(m.buf, rest...)
			rest = nil
		default:
			m.frame(rest[:n])
			rest = rest[n:]
		}
	}
	return len(p), nil
}

// fill adds to the buffer what p has of the frame that begins there: first what is missing of the prelude, which tells the frame's length, then what
// is missing of the frame. It takes in a frame that is whole by that, and empties the buffer. It returns what is left of p. Requires mu held.
func (m *StreamMeter) fill(p []byte) []byte {
	p = m.fillTo(preludeBytes, p)
	n, ok := frameLen(m.buf)
	if !ok {
		m.stop()
		return nil
	}
	if n == 0 {
		return p // which is empty: it did not complete the prelude
	}
	p = m.fillTo(n, p)
	if len(m.buf) == n {
		m.frame(m.buf)
		m.buf = m.buf[:0]
	}
	return p
}

// fillTo moves bytes from the beginning of p to the buffer until the buffer has n, or p is empty. It returns what is left of p. Requires mu held.
func (m *StreamMeter) fillTo(n int, p []byte) []byte {
	take := min(max(n-len(m.buf), 0), len(p))
	m.buf = append(m.buf, p[:take]...)
	return p[take:]
}

// frameLen returns the length of the frame that b begins with. The length is 0 as long as b has less than the frame's prelude. It returns false when
// the prelude is damaged or tells an impossible length.
func frameLen(b []byte) (n int, ok bool) {
	if len(b) < preludeBytes {
		return 0, true
	}
	total, headers := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]) {
		return 0, false
	}
	if total < frameOverhead || total > maxFrameBytes || headers > total-frameOverhead {
		return 0, false
	}
	return int(total), true
}

// stop gives the stream up: its usage is unknown from now on. Requires mu held.
func (m *StreamMeter) stop() { m.sum.damaged, m.buf = true, nil }

// frame takes in one whole frame. Requires mu held.
func (m *StreamMeter) frame(b []byte) {
	msg, err := m.decoder.Decode(bytes.NewReader(b), nil)
	if err != nil {
		m.stop()
		return
	}
	m.frames++
	switch headerText(msg, ":message-type") {
	case "exception":
		m.exception = exceptionName(headerText(msg, ":exception-type"))
		if m.frames == 1 {
			m.refused = m.exception
		}
	case "error":
		// An error is none of the service's own exceptions, so it does not set refused, even as the first frame.
		m.exception = exceptionName(headerText(msg, ":error-code"))
	case "event":
		m.event(headerText(msg, ":event-type"), msg.Payload)
	}
}

// headerText returns the text of a frame's header, empty if it is missing or no text.
func headerText(msg eventstream.Message, name string) string {
	v, _ := msg.Headers.Get(name).(eventstream.StringValue)
	return string(v)
}

// exceptionName returns the type of an exception, in lower case, or "unknown" when it does not look like one.
func exceptionName(s string) string {
	if s = request.Label(s); s == "" {
		return "unknown"
	}
	return s
}

// event takes in an event by its kind: Converse's "metadata" has the usage, and InvokeModel's "chunk" holds an event of the model's own dialect. No
// other kind tells usage. Requires mu held.
func (m *StreamMeter) event(kind string, payload []byte) {
	switch kind {
	case "metadata":
		m.learn(payload, true)
	case "chunk":
		inner, ok := chunkBytes(payload)
		if !ok {
			m.stop()
			return
		}
		if mayTell(inner) { // else it can hold neither usage nor the end of the answer, and need not be parsed
			m.learn(inner, false)
		}
	}
}

// chunkBytes decodes the event inside of a chunk, {"bytes": base64}. Other members, such as "p", by which Bedrock hides the length, are ignored. It
// returns false for a chunk that is not of that form.
func chunkBytes(payload []byte) ([]byte, bool) {
	var p scanner
	var data text
	err := p.scanObject(payload, func(key string) error {
		if key != "bytes" || p.Peek() != '"' {
			return p.Skip()
		}
		var err error
		data, err = p.Text()
		return err
	})
	if err != nil {
		return nil, false
	}
	inner, err := base64.StdEncoding.DecodeString(data.String())
	return inner, err == nil
}

// learn takes in the JSON of one event. closing says that its counters are those of the whole answer. So are those of an event that has metadata with
// usage in it, as Nova's last chunk does: for such an event the reader has set metadata. Requires mu held.
func (m *StreamMeter) learn(event []byte, closing bool) {
	var r usageReader
	if r.scanObject(event, r.field) != nil {
		m.stop()
		return
	}
	m.sum.learn(&r, closing || r.metadata)
}

// Usage returns the usage of the whole response. It reports false until the events that conclude it were seen, and for good
// once the stream was damaged: charge the reservation then.
func (m *StreamMeter) Usage() (Reported, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sum.usage()
}

// Exception returns the type of the exception that ended the stream, in lower case ("throttlingexception"), or nothing.
func (m *StreamMeter) Exception() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.exception
}

// Refused returns the HTTP status that stands for a refusal of the service before it began to infer: its own exception as the
// very first frame of the stream. It is 0 for any other stream. The statuses are those of the service model (2026-11).
func (m *StreamMeter) Refused() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	// An exception that other frames follow has not ended the stream.
	if m.frames != 1 {
		return 0
	}
	switch m.refused {
	case "validationexception", "servicequotaexceededexception":
		return http.StatusBadRequest
	case "accessdeniedexception":
		return http.StatusForbidden
	case "resourcenotfoundexception":
		return http.StatusNotFound
	case "throttlingexception", "modelnotreadyexception":
		return http.StatusTooManyRequests
	case "serviceunavailableexception":
		return http.StatusServiceUnavailable
	default:
		return 0
	}
}
