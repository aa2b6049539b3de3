package prompt

import (
	"unsafe"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/hash"
	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// text returns the text of a leaf, one piece of a block's content, as a string that lives as long as the request. A document that was not serialised
// before, because it was recognised by its address, is serialised now; one that can't be serialised has an empty text.
func (l *leaf) text() string {
	if l.doc != nil && l.at == nil {
		raw, err := l.doc.MarshalSmithyDocument()
		if err != nil {
			return ""
		}
		l.at, l.n = unsafe.Pointer(unsafe.SliceData(raw)), len(raw)
	}
	return unsafe.String((*byte)(l.at), l.n)
}

// resolved returns the text without the escapes of JSON and, of JSON itself, without white space between tokens.
func (l *leaf) resolved() string {
	switch text := l.text(); {
	case l.quoted:
		return jsonscan.Unescape(text)
	case l.json:
		return jsonscan.Plain(text)
	default:
		return text
	}
}

// hash returns the hash of the leaf's content and, if asked for and if the content is JSON, a second hash that does not depend on the order
// of keys.
func (l *leaf) hash(canonical bool) (plain, canon uint64) {
	text := l.text()
	if text == "" {
		return 0, 0
	}
	plain = hash.String(text)
	if !l.json || !canonical {
		return plain, plain
	}
	return plain, hash.JSON(text)
}

// sample hashes a part of the bytes, so that another content of the same buffer is noticed.
func (l *leaf) sample() uint64 { return hash.Sample(l.text()) }

// dataOf returns the address of an interface's data. An interface with methods is two words: the first is about the type; the second is the
// pointer itself if the value is a pointer, as the SDK's documents are, and otherwise the address of the value.
//
// While a leafRecord keeps such an address as an unsafe.Pointer, the garbage collector does not reuse that memory, so that no other document
// has the same address. TestTheAddressOfADocumentIsItsPointer fails if a version of Go changes the layout of interfaces.
func dataOf(d Marshaler) unsafe.Pointer { return (*[2]unsafe.Pointer)(unsafe.Pointer(&d))[1] }
