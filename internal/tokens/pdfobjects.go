package tokens

import (
	"bytes"
	"encoding/hex"
	"strings"
)

// pdfReader reads the objects of a PDF file that are not packed, from front to back, and stops at each stream. It goes by the words of the format
// and not by the file's table of objects, which may be missing or wrong.
type pdfReader struct {
	data   []byte
	at     int       // up to where data was read
	object int       // the number of the object that began last
	links  *pdfLinks // is given the words of each object
}

// pdfStream is one stream of a file.
type pdfStream struct {
	object   int    // its number
	dict     []byte // its dictionary, with the brackets
	body     []byte // its bytes, as they are packed
	complete bool   // body ends before the end of the file does
}

// next returns the next stream, and more is false after the last one. It returns false for ok if the words of the file do not make sense, so that
// a stream might have been taken for something else: then its text can't be measured.
func (r *pdfReader) next() (s pdfStream, more, ok bool) {
	depth, from := 0, 0        // how many dictionaries are open, and where the outermost one began
	var dict []byte            // the dictionary that ends before the next word; nil if something else does
	var before, before2 []byte // the word before this one, and the one before that
	for {
		word, ok := r.word()
		switch {
		case !ok || isEscapedName(word):
			return s, false, false
		case word == nil:
			return s, false, depth == 0
		}
		ended := dict
		dict = nil
		switch string(word) {
		case "<<":
			if depth == 0 {
				from = r.at - len(word)
			}
			depth++
		case ">>":
			if depth--; depth == 0 {
				dict = r.data[from:r.at]
			}
			depth = max(depth, 0)
		case "obj":
			if depth > 0 {
				return s, false, false
			}
			r.object = pdfInt(before2)
			r.links.begin(r.object)
		case "stream":
			if ended == nil {
				return s, false, false
			}
			s = pdfStream{object: r.object, dict: ended}
			s.body, s.complete = r.body(ended)
			return s, true, true
		case "Tj", "TJ", "'", `"`: // these show text in a stream, so that a stream has not ended where it seemed to
			return s, false, false
		}
		if !r.links.word(word) {
			return s, false, false
		}
		before, before2 = word, before
	}
}

// word returns the next word of the file, without what stands between words: white space and comments. A word is a number, a name such as /Type, a
// keyword, a bracket, or a whole string. It is nil at the end of the file. It returns false if a string does not end.
func (r *pdfReader) word() (word []byte, ok bool) {
	rest := pdfSpace(r.data[r.at:])
	start := len(r.data) - len(rest)
	r.at = start
	if len(rest) == 0 {
		return nil, true
	}
	n := 1 // its length
	switch c := rest[0]; {
	case bytes.HasPrefix(rest, []byte("<<")), bytes.HasPrefix(rest, []byte(">>")):
		n = 2
	case c == '(':
		n = literalString(rest)
		ok = n < len(rest) || rest[len(rest)-1] == ')' // a string that does not end is all of rest
		r.at += n
		return rest[:n], ok
	case c == '<': // hexadecimal
		end := bytes.IndexByte(rest, '>')
		r.at += end + 1
		return rest[:end+1], end >= 0
	case c == '/' || strings.IndexByte(pdfDelimiters, c) < 0: // a name, a number or a keyword: it ends at white space or at what begins another word
		for n < len(rest) && strings.IndexByte(pdfDelimiters, rest[n]) < 0 {
			n++
		}
	}
	r.at += n
	return rest[:n], true
}

// body returns the bytes of a stream, of which the word stream was read last, and reads up to behind its word endstream. If the dictionary tells no
// length, or one behind which there is no endstream, the stream ends at the next endstream. It returns false for complete if the file ends before it.
func (r *pdfReader) body(dict []byte) (body []byte, complete bool) {
	const end = "endstream"
	rest := bytes.TrimPrefix(bytes.TrimPrefix(r.data[r.at:], []byte("\r")), []byte("\n"))
	n := pdfLength(dict)
	if n > len(rest) || n < 0 || !bytes.HasPrefix(bytes.TrimLeft(rest[n:], pdfWhiteSpace), []byte(end)) {
		n = bytes.Index(rest, []byte(end))
	}
	if n < 0 {
		r.at = len(r.data)
		return rest, false
	}
	r.at = len(r.data) - len(bytes.TrimLeft(rest[n:], pdfWhiteSpace)) + len(end)
	return rest[:n], true
}

// pdfLength returns the length of a stream by its dictionary; -1 if that does not tell it, tells it twice, or refers to an object that does.
func pdfLength(dict []byte) int {
	value, ok := onlyValue(dict, "/Length")
	if !ok || len(value) == 0 || value[0] < '0' || value[0] > '9' {
		return -1
	}
	// A reference is two numbers and an R.
	words := bytes.FieldsFunc(value[:min(len(value), 64)], func(c rune) bool { return c < 128 && strings.IndexByte(pdfDelimiters, byte(c)) >= 0 })
	if len(words) > 2 && string(words[2]) == "R" {
		return -1
	}
	return pdfInt(value)
}

// onlyValue returns all that follows a key in a dictionary, or in one inside of it: the value, and what is behind that. It returns false if the key
// is not there, or more than once.
func onlyValue(dict []byte, key string) (value []byte, ok bool) {
	for rest := dict; ; {
		i := bytes.Index(rest, []byte(key))
		if i < 0 {
			return value, ok
		}
		rest = rest[i+len(key):]
		if len(rest) > 0 && strings.IndexByte(pdfDelimiters, rest[0]) < 0 {
			continue // a longer key
		}
		if ok {
			return nil, false
		}
		value, ok = pdfSpace(rest), true
	}
}

// isEscapedName reports whether a word is a name that has a letter written by its code, such as /P#61ge for /Page. Nobody writes that without the wish
// to hide the name: codes are for white space and for characters beyond ASCII.
func isEscapedName(word []byte) bool {
	if len(word) == 0 || word[0] != '/' {
		return false
	}
	for i := 1; i+2 < len(word); i++ {
		if word[i] != '#' {
			continue
		}
		var code [1]byte
		if _, err := hex.Decode(code[:], word[i+1:i+3]); err != nil {
			continue
		}
		if c := code[0] | 0x20; c >= 'a' && c <= 'z' || code[0] >= '0' && code[0] <= '9' {
			return true
		}
	}
	return false
}
