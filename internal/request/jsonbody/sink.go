package jsonbody

import (
	"cmp"
	"slices"
	"time"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// Sink takes what the model reads of a body, and the fields around it, in the order of the body. Strings are told with their escapes. Spans are
// byte offsets in the body.
type Sink interface {
	// Field tells of a member that was read of the body itself (object is empty), or of one of the objects in which dialects have their settings.
	Field(object, key, raw string)

	// Enter begins a list of the request's own tools, its system prompt or its messages, and Leave ends it. A body can have two lists of tools.
	Enter(s request.Section)
	Leave()
	// Message begins a message, or another turn of a conversation, and EndMessage ends a message. MessageField is for WalkPrompt alone: it tells of a
	// member of a message besides role and content, which shows the dialect.
	Message(index int)
	MessageField(key string)
	EndMessage(role string)
	// Block begins a block of a list, or the plain string in its stead, which has the index -1. End ends it, and every object in one.
	Block(index int)
	End(o Object)
	// Tool tells of a whole definition of a tool, or of an object in its place.
	Tool(t Tool)

	// String tells of a string under a key, Word of a string that says how something is to be read, such as a format, and Type of the one that says
	// what a block is. A meter is told of the type of every object in this way.
	String(key string, t jsonscan.Text)
	Word(t jsonscan.Text)
	Type(t jsonscan.Text)
	// Literal tells of a number, true, false or null: by its whole member, which is empty for an element of a list, and by itself.
	Literal(member, raw string)
	// JSON tells of a value of the caller's own as it stands, and of its length without white space and escapes, which differ from writer to writer.
	JSON(raw string, length int)
	// Cited says that citations are asked for of what the object around it holds.
	Cited()
	// Point tells of a cache point where one stands, whether the service takes it there or not. Object and Tool have its place.
	Point(p Point)

	// Misshapen says that a value is not of the form that every dialect has in its place. The value is then told of as content all the same.
	Misshapen(offset int, reason string)
}

// Meter is a Sink that is also told what makes a request cost more than the text that it holds.
type Meter interface {
	Sink
	// Limit tells of a field that limits the answer. sure says that the field can mean nothing else there, and within that it is one of those
	// fields that go to the model unchanged beside Converse's own.
	Limit(l request.Limit, v Value, sure, within bool)
	// Form tells how the answer has to look, and Lasting of a video or a sound under a key.
	Form(raw string)
	Lasting(key, raw string)
	// Kept tells of a field that names what is kept elsewhere, and Unseen of an object that stands for something kept.
	Kept(key, raw string)
	Unseen(name string)
	// Detail says that pictures may be read as pages of documents.
	Detail()
	// Input tells of one more text or other input to embed, and Document of a document beside the conversation, of so many bytes.
	Input()
	Document(bytes int)
	// Prompt tells of one of several prompts in a list, each of which is answered for itself.
	Prompt()
	// Other tells of bytes that are in no string or literal that was told of.
	Other(bytes int)
	// Blocks is how many pieces of content the meter has counted.
	Blocks() int
}

// Value is a field with its value.
type Value struct {
	Key    string
	Raw    string // the value as it stands
	Offset int    // of the value, in the body
	Inside string // the object of the body that it stands in, by the keys on the way to it, joined with slashes; empty for the body itself
}

// Span is a range of bytes in a body.
type Span struct{ Start, End int }

// Point is a cache point. One without a form is none.
type Point struct {
	Form request.Marker
	TTL  time.Duration // zero is a lifetime that nobody knows
	Open bool          // it names no lifetime
	Cut  Span          // what to cut in order to remove it, with its comma
}

// Points are the cache points among the members of an object, by the key that they are written with.
type Points struct {
	Control, Property Point
	Alone             bool // the object holds nothing but a cachePoint, which takes the place of a block or a tool
	Null              bool // the object has the key of a cache point with a value that is none, such as null, so that no point can be added there
}

// Object is an object of content, when it ends: a message or a block, or anything in one.
type Object struct {
	// Where it stands.
	Key   string // the key that it stands under, or that of the list that it is an element of
	Depth int    // in how many other objects of the same block it stands
	Span  Span
	Raw   string // the object as it stands in the body

	// What it is.
	Plain     bool         // it is a plain string in the place of a list of blocks
	Typed     bool         // it has a field "type" that is a string
	Type      string       // the value of that field
	Keyed     bool         // it is a block of which some member has a key that tells the block's kind; for WalkPrompt alone
	Kind      request.Kind // the kind that this key tells
	Format    string       // its field "format"
	MediaType string       // its field "media_type", beside that of the source

	// What it holds.
	Fields    int    // how many members it has besides cache points
	Points    Points // the cache points among its members
	Cited     bool   // citations are asked for of what it holds
	HasSource bool   // it has an object "source"
	Source    Source // where its data come from; zero without a source
}

// Name is the kind of content that an object says it is: its type, else the key that it stands under.
func (o *Object) Name() string {
	if o.Typed {
		return o.Type
	}
	return o.Key
}

// Source is where media come from.
type Source struct {
	Type      string // "base64", "text", "url", …
	MediaType string
	Data      jsonscan.Text // base64, or the text itself for the type "text"
	First     jsonscan.Text // the data under the other of their two names, if it has both: which of them the service reads is not known
	Told      bool          // it has data, though they may be empty
	Bedrocks  bool          // the data stand under Bedrock's name for them, "bytes", so that their format is a field of the object around
	Remote    string        // the field with an address at which the service fetches the data; empty for none
	Stored    bool          // the service fetches the data from S3
}

// Media returns the kind of content that the source of an object holds, "image", "document", "audio" or "video", and Bedrock's name of its format:
// by its media type, else by what the object is.
func (o *Object) Media() (kind, format string) {
	if kind, format = request.MediaType(o.Source.MediaType); kind != "" {
		return kind, format
	}
	return o.Name(), cmp.Or(o.Format, o.MediaType)
}

// Kinds returns what the source of an object can hold, as pairs of a kind and a format: what Media returns and, if the object's type or the key that
// it stands under names another kind, that as well. The service may go by either, so a meter counts all.
func (o *Object) Kinds() (all [][2]string) {
	kind, format := o.Media()
	all = append(all, [2]string{kind, format})
	for _, name := range [...]string{o.Name(), o.Key} {
		switch name {
		case "image", "document", "audio", "video":
		default: // no name of a kind
			continue
		}
		other := [2]string{name, cmp.Or(o.Format, o.MediaType)} // its own fields beside the source
		// A kind that is in the list already is the same one if the formats agree, or if the object names no format of its own.
		sameKind := func(one [2]string) bool { return one[0] == name && (other[1] == "" || one[1] == other[1]) }
		if !slices.ContainsFunc(all, sameKind) {
			all = append(all, other)
		}
	}
	return all
}

// Tool is a definition of a tool, or what stands in the place of one.
type Tool struct {
	Index int // in the list of tools
	Span  Span
	Raw   string // the definition as it stands in the body
	Len   int    // the length of Raw without white space and escapes

	// Members of the definition itself.
	Name     string // in its JSON spelling
	Type     string
	Strict   bool   // its input has to fit its schema, or a grammar
	Deferred bool   // it is loaded when it is needed
	Function bool   // it has OpenAI's form
	Fields   int    // how many members it has besides cache points
	Points   Points // the cache points among the members

	// What stands in an object of its own.
	HasSpec bool   // Spec is filled in: from a toolSpec, in WalkPrompt from a systemTool as well
	Spec    Spec   // of a definition in Converse's form, which Nova shares
	System  string // the value of a systemTool, as it stands
}

// Spec is what a tool's definition holds in Converse's form.
type Spec struct {
	Name, Description jsonscan.Text
	Schema            string   // of the tool's input, as it stands
	SchemaLen         int      // of Schema, without white space and escapes
	Strict            bool     // its input has to fit its schema
	Others            []string // members that are not known, as they stand; only WalkPrompt fills them in
	Points            Points
}
