// Package jsonbody reads request bodies in any dialect: Converse as JSON, Anthropic's, Nova's, OpenAI's two, and those of models that embed, rank
// or only complete text. It walks over a body once and calls a Sink for each part: what there is and where. What follows is for each sink to judge.
// There are two ways to read: Walk, for a Meter that bounds the cost of the whole body, and WalkPrompt, for a Sink that only needs the prompt.
// In the comments, "tells" always means such a call, and content is all that the model reads.
package jsonbody

import (
	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// Walk tells a meter of all that a body holds. It borrows the text, and returns a *jsonscan.Error for what readers may disagree about: malformed
// JSON, duplicate keys, invalid UTF-8, nesting beyond 200 levels. In what is only passed on, such as a tool's schema, keys may come twice.
func Walk(text string, m Meter) error {
	w := walk{body: text, sink: m, meter: m}
	return w.Document(text, w.field)
}

// WalkPrompt tells of the tools, the system prompt and the messages alone, and of the names of the fields around them. It goes into every part of
// a block, because a cache point may stand in it, and keys may come twice nowhere.
func WalkPrompt(text string, s Sink) error {
	w := walk{body: text, sink: s}
	return w.Document(text, w.field)
}

// walk reads one body.
type walk struct {
	jsonscan.Scanner
	body  string
	sink  Sink  // that is told of everything
	meter Meter // the same sink, for Walk; nil for WalkPrompt, which tells of the prompt alone

	// Where the walk is.
	within bool   // inside of additionalModelRequestFields, in which the model's own dialect stands inside of Converse's
	inside string // the object of settings that is being read, by the keys on the way to it, joined with slashes; empty for the body itself
	depth  int    // how many objects are open in the present block
	tool   Tool   // the definition that is being read
}

// passed reads a value that the service only passes on, such as a tool's schema. In Walk, objects in it may have a key twice.
func (w *walk) passed() (string, error) {
	if w.meter == nil {
		return w.Value()
	}
	return w.Verbatim()
}

// field reads a member of the body itself.
func (w *walk) field(key string) error { return w.fieldOf("", key, w.top) }

// fieldOf reads a member, by a call of read, and then calls the sink's Field with its value as it stands. object is the key of the object in which
// the member stands, and empty for a member of the body itself.
func (w *walk) fieldOf(object, key string, read func(key string) error) error {
	w.Peek() // skips white space, so that start is where the value begins
	start := w.Pos()
	err := read(key)
	if err == nil {
		w.sink.Field(object, key, w.From(start))
	}
	return err
}

// top reads a member of the body: the prompt's sections, wherever it is, and other fields as the kind of walk requires.
func (w *walk) top(key string) error {
	switch key {
	case "tools":
		return w.section(request.Tools, key, w.tools)
	case "system":
		return w.section(request.System, key, w.content)
	case "messages":
		return w.section(request.Messages, key, w.messages)
	case "toolConfig":
		return w.toolConfig(key)
	}
	if w.meter == nil {
		return w.promptField(key)
	}
	return w.metered(key)
}

// promptField passes over a field that is not part of the prompt, in WalkPrompt. Of the objects in which settings stand, the sink's Field gets each
// member.
func (w *walk) promptField(key string) error {
	if (key == "inferenceConfig" || key == additional) && w.Peek() == '{' {
		return w.Object(func(k string) error { return w.fieldOf(key, k, w.skipField) })
	}
	return w.Skip()
}

// additional is Converse's field for fields of the model's own dialect, which go to the model unchanged.
const additional = "additionalModelRequestFields"

// skipField reads a value and ignores it.
func (w *walk) skipField(string) error { return w.Skip() }

// section reads the tools, the system prompt or the messages. A list of the same name inside of additionalModelRequestFields is read, but not as a
// section of the request.
func (w *walk) section(s request.Section, key string, read func(key string) error) error {
	w.bytes(keyBytes(key))
	if w.within {
		return read(key)
	}
	w.sink.Enter(s)
	err := read(key)
	w.sink.Leave()
	return err
}

// bytes tells a meter of bytes that are in nothing else that it is told of, such as keys.
func (w *walk) bytes(n int) {
	if w.meter != nil && n > 0 {
		w.meter.Other(n)
	}
}

// keyBytes is how many bytes of a key count as text. Those keys that each message or block has count nothing, because a meter adds tokens for each
// message and block anyway.
func keyBytes(key string) int {
	switch key {
	case "messages", "role", "content", "type", "text", "system", "source", "data", "bytes", "media_type", "format":
		return 0
	default:
		return len(key)
	}
}

// messages reads a conversation, or the plain text that some dialects allow in its stead.
func (w *walk) messages(key string) error {
	if w.Peek() != '[' {
		return w.misplaced(key, "expected an array")
	}
	index := 0
	return w.Array(func() error {
		w.sink.Message(index)
		index++
		if w.Peek() != '{' {
			return w.misplaced("", "expected an object")
		}
		return w.message()
	})
}

// misplaced reads a value that is not of the form that dialects with cache points have in its place. It tells the sink why, and reads it as any
// content.
func (w *walk) misplaced(key, reason string) error {
	w.Peek()
	w.sink.Misshapen(w.Pos(), reason)
	return w.value(key)
}

// message reads a message. The sink is told of its role at the end, because that may be its last member.
func (w *walk) message() error {
	var o Object // the message itself, for a meter
	role := ""
	w.Peek() // skips white space, so that start is where the brace is
	start := w.Pos()
	err := w.Object(func(key string) error {
		switch {
		case key == "content":
			o.Fields++
			return w.content(key)
		case key == "role" && w.Peek() == '"':
			t, err := w.Text()
			if err == nil && w.meter != nil { // which counts the role as text
				w.sink.String(key, t)
			}
			role = t.String()
			return err
		case w.meter == nil: // WalkPrompt: other fields only tell the dialect
			w.sink.MessageField(key)
			return w.Skip()
		}
		return w.member(&o, key)
	})
	if err == nil && w.meter != nil { // a meter also looks at a message as an object, because it may have members of a block
		w.end(&o, start)
	}
	w.sink.EndMessage(role)
	return err
}
