package catalog

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
)

// maxLine is the length, in bytes, up to which FormatModels keeps a field on one line.
const maxLine = 140

// FormatModels copies a model file in a fixed order: models by id, the entries of a table by region, fields in the order of Model, and a
// line for each field and for each entry of a long table. It refuses what ReadModels refuses.
func FormatModels(w io.Writer, r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, MaxFileBytes+1))
	if err != nil {
		return &FileError{Problem: "cannot be read", Err: err}
	}
	// One byte more than allowed was read, so that ReadModels refuses a file that is too long.
	if _, err := ReadModels(bytes.NewReader(data)); err != nil {
		return err
	}
	// Decoded once more as text, because a Model has neither the decimals as they are written nor the sources.
	var file fileJSON
	if err := json.Unmarshal(data, &file); err != nil {
		return &FileError{Problem: "is not a model file", Err: err}
	}
	slices.SortFunc(file.Models, func(a, b modelJSON) int { return strings.Compare(a.ID, b.ID) })
	for i := range file.Models {
		slices.Sort(file.Models[i].Aliases)
		slices.Sort(file.Models[i].Profiles)
	}
	text, err := marshal(file)
	if err != nil {
		return &FileError{Problem: "cannot be written", Err: err}
	}
	var out bytes.Buffer
	layout(&out, text, "", 2) // a line for each field of the file, and for each element of these
	out.WriteByte('\n')
	if _, err := out.WriteTo(w); err != nil {
		return &FileError{Problem: "cannot be written", Err: err}
	}
	return nil
}

// marshal is json.Marshal without escapes for HTML.
func marshal(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

// layout writes a JSON value that stands behind an indent. Objects and arrays of so many outermost levels, and those that are too long for a line,
// get a line for each element; all others are written on one line.
func layout(out *bytes.Buffer, value json.RawMessage, indent string, levels int) {
	line := oneLine(value)
	isScalar := value[0] != '{' && value[0] != '['
	fits := levels <= 0 && len(indent)+len(line) <= maxLine
	if isScalar || fits {
		out.WriteString(line)
		return
	}
	dec := json.NewDecoder(bytes.NewReader(value))
	_, _ = dec.Token() // can't fail: the value was just marshaled
	out.WriteByte(value[0])
	for first := true; dec.More(); first = false {
		if !first {
			out.WriteByte(',')
		}
		out.WriteString("\n  " + indent)
		if value[0] == '{' {
			writeKey(out, dec)
		}
		var element json.RawMessage
		_ = dec.Decode(&element)
		inner := max(levels-1, 0)
		if isModel := levels == 1 && value[0] == '[' && element[0] == '{'; isModel {
			inner = 1 // an element of the list "models", the second level, also gets a line for each of its fields
		}
		layout(out, element, indent+"  ", inner)
	}
	out.WriteString("\n" + indent)
	out.WriteByte(value[len(value)-1])
}

// writeKey copies the next key of an object, and a colon.
func writeKey(out *bytes.Buffer, dec *json.Decoder) {
	key, _ := dec.Token()
	name, _ := marshal(key)
	out.Write(name)
	out.WriteString(": ")
}

// oneLine adds a space after each comma and colon to a value that is marshaled without any, except in strings.
func oneLine(value json.RawMessage) string {
	var b strings.Builder
	quoted, escaped := false, false
	for _, c := range value {
		b.WriteByte(c)
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ':'):
			b.WriteByte(' ')
		}
	}
	return b.String()
}
