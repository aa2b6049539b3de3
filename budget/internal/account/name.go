package account

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// The name of an account, and the call of an entry, are stored in few bytes, because every entry has one: a byte for the version of the form, and
// then texts, each after its length as a varint. First come one or two texts of the name or the call itself (see EncodeName and EncodeCall), then
// the six fields of the scope, and then name and value of each tag.

// nameVersion is the version of that form.
const nameVersion = 1

// EncodeName encodes the name of an account: the limit's name, and the values that split it.
func EncodeName(l *driver.Line) []byte { return appendTexts([]byte{nameVersion}, &l.Scope, l.Limit) }

// DecodeName decodes what EncodeName wrote, or returns ErrEncoding. No bytes mean an account without a name.
func DecodeName(raw []byte) (limit string, s driver.Scope, err error) {
	texts, s, err := decode(raw, 1)
	if err != nil || len(raw) == 0 {
		return "", s, err
	}
	return texts[0], s, nil
}

// EncodeCall encodes the scope and operation of an entry, with the provider's id of the request.
func EncodeCall(c *driver.Call, reference string) []byte {
	if c == nil {
		c = new(driver.Call)
	}
	return appendTexts([]byte{nameVersion}, &c.Scope, c.Operation, reference)
}

// DecodeCall decodes what EncodeCall wrote, or returns ErrEncoding. No bytes mean an entry without a call.
func DecodeCall(raw []byte) (c driver.Call, reference string, err error) {
	texts, s, err := decode(raw, 2)
	if err != nil || len(raw) == 0 {
		return c, "", err
	}
	return driver.Call{Scope: s, Operation: texts[0]}, texts[1], nil
}

// appendTexts appends the texts of first, and then those of a scope, to out.
func appendTexts(out []byte, s *driver.Scope, first ...string) []byte {
	add := func(text string) {
		out = binary.AppendUvarint(out, uint64(len(text)))
		out = append(out, text...)
	}
	for _, text := range first {
		add(text)
	}
	for _, text := range [...]string{s.Principal, s.Workflow, s.Model, s.Region, s.Profile, s.Project} {
		add(text)
	}
	for _, k := range slices.Sorted(maps.Keys(s.Tags)) {
		add(k)
		add(s.Tags[k])
	}
	return out
}

// decode decodes the form of this file. It returns the texts that come before the scope, of which there are as many as before says, and the scope. No
// bytes give no texts.
func decode(raw []byte, before int) (texts []string, s driver.Scope, err error) {
	if len(raw) == 0 {
		return nil, s, nil
	}
	if raw[0] != nameVersion {
		return nil, s, ErrEncoding
	}
	for raw = raw[1:]; len(raw) > 0; {
		n, width := binary.Uvarint(raw)
		// A width of zero or less is no varint; and the text must be there in full.
		if width <= 0 || n > uint64(len(raw)-width) {
			return nil, s, ErrEncoding
		}
		texts, raw = append(texts, string(raw[width:width+int(n)])), raw[width+int(n):]
	}
	if len(texts) < before+6 || (len(texts)-before)%2 != 0 { // six fields, and two texts for each tag
		return nil, s, ErrEncoding
	}
	return texts[:before], scopeOf(texts[before:]), nil
}

// scopeOf returns the scope of its texts: the six fields, and name and value of each tag.
func scopeOf(texts []string) driver.Scope {
	s := driver.Scope{Principal: texts[0], Workflow: texts[1], Model: texts[2], Region: texts[3], Profile: texts[4], Project: texts[5]}
	for tags := texts[6:]; len(tags) > 0; tags = tags[2:] {
		if s.Tags == nil {
			s.Tags = make(map[string]string, len(tags)/2)
		}
		s.Tags[tags[0]] = tags[1]
	}
	return s
}
