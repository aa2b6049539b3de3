package cost

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// AskForUsage returns a copy of the body of a streamed chat completion that has the stream tell its usage, which it otherwise does not.
// It reports false, and returns the body, where that is not needed or can't be done: the body is no stream, asks for usage already, or is
// not understood.
func AskForUsage(body []byte) ([]byte, bool) {
	e := usageEdit{inOptions: -1, valueStart: -1, nullStart: -1}
	text := string(body)
	if e.Document(text, e.field) != nil || !e.streams {
		return body, false
	}
	const asked = `"include_usage":true`
	switch {
	case e.valueStart >= 0 && text[e.valueStart:e.valueEnd] == "true":
		return body, false
	case e.valueStart >= 0: // false, null or the like
		return splice(text, e.valueStart, e.valueEnd, "true"), true
	case e.inOptions >= 0 && !e.empty: // a comma has to precede the members that follow
		return splice(text, e.inOptions, e.inOptions, asked+","), true
	case e.inOptions >= 0:
		return splice(text, e.inOptions, e.inOptions, asked), true
	case e.nullStart >= 0 && e.nullEnd > 0: // stream_options is null, and becomes an object
		return splice(text, e.nullStart, e.nullEnd, "{"+asked+"}"), true
	default: // there are no stream_options
		at := strings.IndexByte(text, '{') + 1 // a body that says that it streams is not empty
		return splice(text, at, at, `"stream_options":{`+asked+`},`), true
	}
}

// splice returns text with a range of it replaced.
func splice(text string, from, to int, replacement string) []byte {
	out := make([]byte, 0, len(text)+len(replacement))
	return append(append(append(out, text[:from]...), replacement...), text[to:]...)
}

// usageEdit finds what has to change in a body so that its stream tells usage. Places are byte offsets; -1 stands for none.
type usageEdit struct {
	jsonscan.Scanner
	streams              bool // the body asks for a stream
	inOptions            int  // behind the brace of stream_options, if that is an object
	empty                bool // that object has no members
	nullStart, nullEnd   int  // where a stream_options that is null begins and ends
	valueStart, valueEnd int  // where the value of include_usage begins and ends
}

// field reads a field of the body.
func (e *usageEdit) field(key string) error {
	switch {
	case key == "stream":
		raw, err := e.Verbatim()
		e.streams = raw == "true"
		return err
	case key == "stream_options" && e.Peek() == '{':
		e.inOptions, e.empty = e.Pos()+1, true
		return e.Object(e.option)
	case key == "stream_options":
		e.nullStart = e.Pos()
		raw, err := e.Verbatim()
		if e.nullEnd = e.Pos(); err == nil && raw != "null" { // AskForUsage then leaves the body as it is
			return e.Fail("stream_options is no object")
		}
		return err
	default:
		return e.Skip()
	}
}

// option reads a member of stream_options.
func (e *usageEdit) option(key string) error {
	e.empty = false
	if key != "include_usage" {
		return e.Skip()
	}
	e.Peek() // skips white space, so that valueStart is where the value begins
	e.valueStart = e.Pos()
	_, err := e.Verbatim()
	e.valueEnd = e.Pos()
	return err
}
