package request

import "time"

// Sink is what a reader of requests calls for each part of a request, in the order in which the cache reads it: tools, system prompt and messages,
// with the settings before or after all of these. The reader only says what is there, and the sink judges what follows: the meter that bounds the
// cost has to bound what it does not understand, and the cache check has to leave it alone.
type Sink interface {
	// Enter begins a section, and Message a message of the section Messages; user says that its role is the user's.
	Enter(s Section)
	Message(index int, user bool)
	// Block begins a block at an index of its section's or message's list. What follows belongs to it, up to the next one.
	Block(k Kind, index int)
	// Point tells of a cache point in the place of a block. open says that the point names no lifetime, and ttl is then zero as well; otherwise a ttl
	// of zero stands for a lifetime that this module does not know.
	Point(index int, ttl time.Duration, open bool)

	// TextBlock stands for a call of Block with the kind Text and one of Text, in one call, because a long conversation has thousands of such blocks.
	TextBlock(index int, s string)
	// The next five tell what the block that was begun last holds, one piece a call.
	Text(s string)
	CitedText(s string) // text of which parts are to be cited in the answer
	JSON(d Marshaler)   // a value that serialises itself, such as the input of a tool
	Media(m Media)
	Flag(f Flag) // something about the block that is no text, such as that its tool is a strict one

	// Setting tells of a field that changes what is cached without being in the prompt, and Fields of an object that goes to the model
	// unchanged, of which some may be settings.
	Setting(name, value string)
	Fields(d Marshaler)
	// Grammar tells of a schema that the service writes into the prompt once more, as a grammar.
	Grammar(schema Marshaler)
	// Unpriced tells of a feature that has no price per token.
	Unpriced(feature string)
}

// Marshaler is content that serialises itself, such as the SDK's documents.
type Marshaler interface{ MarshalSmithyDocument() ([]byte, error) }

// Section is a part of a prompt.
type Section uint8

// The sections, in the order in which the cache reads them.
const (
	Tools Section = iota
	System
	Messages
)

// Kind says what a block holds.
type Kind uint8

// The kinds of block.
const (
	Text Kind = iota
	ToolDefinition
	ToolUse
	ToolResult
	Image
	Document
	Reasoning
	Other      // a kind of which the cache check only knows that the model reads it
	SystemTool // a tool that runs at the service
)

// Flag is something that is on in a block, or known of it, and is no text.
type Flag string

// The flags.
const (
	Cited   Flag = "citations" // citations are asked for, of a document or search result in the block
	Strict  Flag = "strict"    // a tool's input has to fit its schema
	Added   Flag = "added"     // a tool is added in the middle of a conversation
	Removed Flag = "removed"   // a tool is taken away in the middle of a conversation
	Closed  Flag = "closed"    // no cache point may follow the block
)

// Media are an image, a document or other content that is not text.
type Media struct {
	Kind   MediaKind
	Format string // Bedrock's name of it, such as "pdf"; empty if the request does not tell
	Data   []byte // nil unless the request carries it
	From   Origin
	Cited  bool // citations of the document are asked for
}

// MediaKind says what media are.
type MediaKind uint8

// The kinds of media. Opaque is content of which nothing is known.
const (
	Opaque MediaKind = iota
	Picture
	File
	Video
	Audio
	Sealed // reasoning that is encrypted
)

// Origin says where media come from.
type Origin uint8

// The origins.
const (
	Nowhere Origin = iota // the request does not tell in a form that this module knows
	Inline                // the request carries them
	Stored                // the service fetches them
)

// Lifetime returns the lifetime that a cache point names, or zero for one that can't be read. Five minutes and half an hour have to be spelt as the
// service spells them: they are the cheap ones, and another spelling, such as "300s", may not be read as them.
func Lifetime(name string) time.Duration {
	d, err := time.ParseDuration(name)
	misspelt := d == FiveMinutes && name != "5m" || d == HalfHour && name != "30m" // a cheap lifetime in another spelling than the service's
	if err != nil || d < 0 || misspelt {
		return 0
	}
	return d
}

// The lifetimes that cost no more than a cache point without one: five minutes, and OpenAI's half hour.
const (
	FiveMinutes = 5 * time.Minute
	HalfHour    = 30 * time.Minute
)
