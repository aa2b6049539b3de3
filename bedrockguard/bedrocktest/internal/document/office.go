package document

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxUnpacked bounds what one part of an office file unpacks to.
const maxUnpacked = 64 << 20

// parts unpacks the files of an office document by name.
func parts(raw []byte) (map[string][]byte, bool) {
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, false
	}
	all := make(map[string][]byte)
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil, false
		}
		data, err := io.ReadAll(io.LimitReader(r, maxUnpacked))
		r.Close()
		if err != nil {
			return nil, false
		}
		all[f.Name] = data
	}
	return all, true
}

// elements goes through XML and calls visit for each start of an element, each text and each end. A mistake in the XML ends it, as the end of the
// data does.
func elements(data []byte, visit func(xml.Token)) {
	d := xml.NewDecoder(bytes.NewReader(data))
	d.Strict = false
	for {
		token, err := d.Token()
		if err != nil {
			return
		}
		visit(token)
	}
}

// ReadDocx returns the text of a Word document, a line for each paragraph, and each use of a picture in base64. The document is XML: t holds
// text, p is a paragraph and blip uses a picture.
func ReadDocx(raw []byte) (text string, pictures []string, ok bool) {
	all, ok := parts(raw)
	document := all["word/document.xml"]
	if !ok || document == nil {
		return "", nil, false
	}
	var out strings.Builder
	inText, uses := false, 0
	elements(document, func(t xml.Token) {
		switch t := t.(type) {
		case xml.StartElement:
			inText = t.Name.Local == "t"
			if t.Name.Local == "blip" {
				uses++
			}
		case xml.CharData:
			if inText {
				out.Write(t)
			}
		case xml.EndElement:
			inText = false
			if t.Name.Local == "p" {
				out.WriteByte('\n')
			}
		}
	})
	return out.String(), usedPictures(all, uses), true
}

// usedPictures returns a picture in base64 for each of so many uses. Which picture a use is of is not read: the uses go through all pictures in turn,
// sorted by name, and each picture counts once at least.
func usedPictures(all map[string][]byte, uses int) (pictures []string) {
	var names []string
	for name := range all {
		if strings.HasPrefix(name, "word/media/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		pictures = append(pictures, base64.StdEncoding.EncodeToString(all[name]))
	}
	for i := len(names); i < uses && len(names) > 0; i++ {
		pictures = append(pictures, pictures[i%len(names)])
	}
	return pictures
}

// ReadXlsx returns the cells of a workbook, sheet by sheet, separated by tabs.
func ReadXlsx(raw []byte) (string, bool) {
	all, ok := parts(raw)
	if !ok {
		return "", false
	}
	shared := sharedStrings(all["xl/sharedStrings.xml"])
	var names []string
	for name := range all {
		if strings.HasPrefix(name, "xl/worksheets/") && strings.HasSuffix(name, ".xml") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out strings.Builder
	for _, name := range names {
		writeCells(&out, all[name], shared)
	}
	return out.String(), len(names) > 0
}

// writeCells writes the cells of one sheet. A cell is an element c with its value in an element v or t; if its attribute t, the type, is s, the value
// is an index into the workbook's shared strings, and the whole string is written.
func writeCells(out *strings.Builder, sheet []byte, shared []string) {
	kind, inValue := "", false
	elements(sheet, func(t xml.Token) {
		switch t := t.(type) {
		case xml.StartElement:
			switch t.Name.Local {
			case "c":
				kind = attribute(t, "t")
			case "v", "t":
				inValue = true
			}
		case xml.CharData:
			if !inValue {
				return
			}
			value := string(t)
			if i, err := strconv.Atoi(value); kind == "s" && err == nil && i >= 0 && i < len(shared) {
				value = shared[i]
			}
			out.WriteString(value)
		case xml.EndElement:
			if inValue {
				inValue = false
				out.WriteByte('\t')
			}
		}
	})
}

// sharedStrings returns the strings to which cells refer by index: each element si is one, which may consist of several texts.
func sharedStrings(data []byte) (all []string) {
	var item strings.Builder
	inText := false
	elements(data, func(t xml.Token) {
		switch t := t.(type) {
		case xml.StartElement:
			inText = t.Name.Local == "t"
			if t.Name.Local == "si" {
				item.Reset()
			}
		case xml.CharData:
			if inText {
				item.Write(t)
			}
		case xml.EndElement:
			inText = false
			if t.Name.Local == "si" {
				all = append(all, item.String())
			}
		}
	})
	return all
}

// attribute returns the value of an element's attribute; empty without it.
func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}
