package chain

import (
	"mime"
	"net/http"
)

// Framing is how a stream is cut into events.
type Framing uint8

// The framings.
const (
	EventStream      Framing = iota + 1 // AWS's event streams
	ServerSentEvents                    // server-sent events, as browsers read them
)

// StreamsAs returns the framing of a streamed answer by its header; 0 for an answer that is not streamed.
func StreamsAs(h http.Header) Framing {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	switch kind {
	case "application/vnd.amazon.eventstream":
		return EventStream
	case "text/event-stream":
		return ServerSentEvents
	default:
		return 0
	}
}

// RefusalHeader is the header of the answer with which a guard refuses a request over HTTP. A guard on the client's side sees by it that the
// request was not sent to Bedrock.
const RefusalHeader = "X-Bedrockguard-Refusal"
