package wire

import (
	"bytes"
	"net/http"
	"sync"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// The readers here embed a JSON scanner: Peek returns the first byte of the next value, and Skip, Value, Text, Object and Array read that value.
// Object and Array call a function for each member or element, which has to read it.

const (
	maxEventBytes  = 16 << 20 // of one event; the last one of a Responses stream holds the whole answer and the instructions
	keepEventBytes = 64 << 10 // of a buffer that is kept for the next event
)

// SSEMeter reads usage from the server-sent events of OpenAI's chat completions and Responses and of Anthropic's messages while they
// pass. It holds at most one event. One of more than 16 MiB, or one that should tell usage and is not understood, stops it for good:
// the usage is unknown then. It is safe for concurrent use. Make one with NewSSEMeter.
type SSEMeter struct {
	mu        sync.Mutex
	sum       streamSum // what the events have told so far
	begun     bool      // a first line was seen, which alone may have a byte order mark
	afterCR   bool      // a line feed that comes next belongs to the line end before it
	line      []byte    // the beginning of a line that has not arrived completely
	data      []byte    // the data of the event that is arriving
	hasData   bool      // the event has a data line, though it may be empty
	errorName bool      // the event is named "error"
	exception string    // the code or type of the first error; empty if there was none
}

// NewSSEMeter returns a meter for one response. provider is the maker's name in the model id, such as "openai": it decides how the counts in the
// answer are to be read. writes is the longest lifetime for which the request may write to the prompt cache: written tokens count for it where the
// answer does not say for how long they were. header is that of the response; of it only the service tier and the latency are used.
func NewSSEMeter(provider string, writes price.CacheWrites, header http.Header) *SSEMeter {
	return &SSEMeter{sum: newStreamSum(provider, writes, header)}
}

// Write takes in the next bytes, split anywhere. It never fails and always reports len(p).
func (m *SSEMeter) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for rest := p; len(rest) > 0 && !m.sum.damaged; {
		if m.afterCR {
			m.afterCR = false
			if rest[0] == '\n' {
				rest = rest[1:]
				continue
			}
		}
		end := bytes.IndexAny(rest, "\r\n")
		if end < 0 {
			m.hold(rest)
			break
		}
		m.endLine(rest[:end])
		m.afterCR = rest[end] == '\r' // a line may end with a carriage return, a line feed, or both
		rest = rest[end+1:]
	}
	return len(p), nil
}

// endLine takes in a line of which part is the end, or all of it, and forgets what hold has kept of it. Requires mu held.
func (m *SSEMeter) endLine(part []byte) {
	line := part
	if len(m.line) > 0 {
		m.hold(part)
		line = m.line
	}
	// hold has stopped the meter if the line became too long.
	if !m.sum.damaged {
		m.takeLine(line)
	}
	m.line = emptied(m.line)
}

// hold keeps a part of a line until the rest comes, or stops the meter if it would then keep more than maxEventBytes. Requires mu held.
func (m *SSEMeter) hold(part []byte) {
	if len(m.line)+len(part)+len(m.data) > maxEventBytes {
		m.stop()
		return
	}
	m.line = append(m.line, part...)
}

// emptied returns a buffer for what comes next, a new one where the old one is too large to be kept.
func emptied(b []byte) []byte {
	if cap(b) > keepEventBytes {
		return nil
	}
	return b[:0]
}

// stop gives the stream up: its usage is unknown from now on. Requires mu held.
func (m *SSEMeter) stop() { m.sum.damaged, m.line, m.data = true, nil, nil }

// takeLine takes in one line without its end. Requires mu held.
func (m *SSEMeter) takeLine(line []byte) {
	if !m.begun {
		m.begun = true
		line = bytes.TrimPrefix(line, []byte("\uFEFF"))
	}
	if len(line) == 0 {
		m.endEvent()
		return
	}
	name, value, _ := bytes.Cut(line, []byte(":")) // a comment has no name
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "event":
		m.errorName = string(value) == "error"
	case "data":
		if len(m.data)+len(value) >= maxEventBytes { // a line feed may be added as well
			m.stop()
			return
		}
		if m.hasData {
			m.data = append(m.data, '\n')
		}
		m.data, m.hasData = append(m.data, value...), true
	}
}

// endEvent takes in the event that is complete now. Only an event that can hold usage, the end of the answer or an error is parsed. Requires mu
// held.
func (m *SSEMeter) endEvent() {
	switch {
	case m.errorName:
		m.failed(m.data)
	case string(bytes.TrimSpace(m.data)) == "[DONE]":
		m.done()
	// mayTell covers usage and ends; "rror" an error with any first letter.
	case mayTell(m.data) || bytes.Contains(m.data, []byte("rror")):
		m.event(m.data)
	}
	m.data, m.hasData, m.errorName = emptied(m.data), false, false
}

// done takes in "[DONE]", by which OpenAI's chat ends a stream: the output that was counted is then complete. Behind an error it is not. Bedrock's
// own counters need no such end: with them the usage is complete as soon as they come (see streamSum.learn).
func (m *SSEMeter) done() {
	if m.exception == "" && m.sum.body.has[countOutput] {
		m.sum.complete = true
	}
}

// event takes in the JSON of one event. If it is not understood the meter stops.
func (m *SSEMeter) event(data []byte) {
	var e sseEvent
	if e.scanObject(data, e.field) != nil {
		m.stop()
		return
	}
	m.raise(e.failure())
	// An event with metadata closes its stream: its counters are those of the whole answer.
	m.sum.learn(&e.usageReader, e.metadata)
}

// failed takes in an event that is named "error", whatever it holds: it always notes an exception.
func (m *SSEMeter) failed(data []byte) {
	var e sseEvent
	if e.scanObject(data, e.field) != nil {
		m.raise("unknown")
		return
	}
	e.kind = "error" // whatever type the event has: failure then returns a name in any case
	m.raise(e.failure())
}

// raise notes an exception, unless the name is empty. The first one counts.
func (m *SSEMeter) raise(name string) {
	if m.exception == "" {
		m.exception = name
	}
}

// Usage returns the usage of the whole response. It reports false until the events that conclude it were seen, and for good once the stream was
// damaged: charge the reservation then. For OpenAI's chat, whose request has to ask by stream_options.include_usage, the usage is concluded by a chunk
// that has counters and no choices after the answer's end; counters beside choices may be running ones, so that they count only with the mark [DONE].
func (m *SSEMeter) Usage() (Reported, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sum.usage()
}

// Exception returns the code or type of the error that ended the stream, in lower case ("overloaded_error"), or nothing.
func (m *SSEMeter) Exception() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.exception
}

// Refused returns 0: nothing that is published (2026-11) says that an error of these routes, once their status was 200, came before any
// inference, not even where it is the first event.
func (m *SSEMeter) Refused() int { return 0 }

// sseEvent reads the JSON of one event.
type sseEvent struct {
	usageReader
	kind    string // the event's "type"; empty if it has none
	code    string // the event's own "code", which some errors have beside the type
	failing bool   // the event has an "error"
	reason  string // the code of that error, or the error's type if it has no code; empty if it has neither
}

// field reads a field of an event: the type of the event and what tells an error itself, anything else as usageReader does.
func (e *sseEvent) field(key string) error {
	switch c := e.Peek(); {
	case key == "error":
		return e.errorField()
	case key == "type" && c == '"':
		t, err := e.Text()
		e.kind = t.String()
		// An event of one of four types, such as message_stop, ends the answer.
		e.noteEnd(e.kind)
		return err
	case key == "code" && c == '"':
		t, err := e.Text()
		e.code = request.Label(t.String())
		return err
	case key == "response" && c == '{': // its type and its code are not those of the event, so usageReader reads all but its error
		return e.Object(func(k string) error {
			if k == "error" {
				return e.errorField()
			}
			return e.usageReader.field(k)
		})
	}
	return e.usageReader.field(key)
}

// errorField reads the value of "error". If it is an object, reason becomes the error's code, or its type where it has no code.
func (e *sseEvent) errorField() error {
	c := e.Peek()
	if c == 'n' || c == 'f' { // null or false: there is no error
		return e.Skip()
	}
	e.failing = true
	if c != '{' {
		return e.Skip()
	}
	kind := "" // the error's type
	err := e.Object(func(key string) error {
		if (key != "code" && key != "type") || e.Peek() != '"' {
			return e.Skip()
		}
		t, err := e.Text()
		if key == "code" {
			e.reason = request.Label(t.String())
		} else {
			kind = request.Label(t.String())
		}
		return err
	})
	// The code is missing, or no plain name, for which Label returns nothing.
	if e.reason == "" {
		e.reason = kind
	}
	return err
}

// failure returns a name for the error that the event tells: its code or type, or "unknown" if it has neither. It is empty if the event tells no
// error.
func (e *sseEvent) failure() string {
	switch {
	case e.reason != "":
		return e.reason
	case e.kind == "error" && e.code != "":
		return e.code
	case e.failing || e.kind == "error" || e.kind == "response.failed":
		return "unknown"
	default:
		return ""
	}
}
