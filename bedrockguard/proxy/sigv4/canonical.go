package sigv4

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// canonicalRequest returns the text that the client must have signed, line by line: method, path, query, a line for each signed header, an empty
// line, the names of the signed headers, and the hash of the body.
func canonicalRequest(r *http.Request, a *authorization, payloadHash string) (string, error) {
	// RequestURI is as the client has sent it, while r.URL has a decoded path.
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") {
		return "", malformed("a request target that is no path")
	}
	canonicalQuery, ok := queryOf(query)
	if !ok {
		return "", malformed("a query that is not percent-encoded")
	}
	var b strings.Builder
	b.Grow(1024)
	b.WriteString(r.Method)
	b.WriteByte('\n')
	// The path is encoded once more than it was sent, as AWS prescribes for all services but S3.
	writeEncoded(&b, path, true)
	b.WriteByte('\n')
	b.WriteString(canonicalQuery)
	b.WriteByte('\n')
	for _, name := range a.signed {
		values, ok := headerValues(r, name)
		if !ok {
			return "", &Error{Err: ErrMismatch, Detail: "a header that is signed did not arrive"}
		}
		writeHeader(&b, name, values)
	}
	b.WriteByte('\n')
	b.WriteString(strings.Join(a.signed, ";"))
	b.WriteByte('\n')
	b.WriteString(payloadHash)
	return b.String(), nil
}

// writeHeader writes the line of a header: its name in lower case, and its values with commas between them.
func writeHeader(b *strings.Builder, name string, values []string) {
	b.WriteString(name)
	b.WriteByte(':')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(singleSpaced(v))
	}
	b.WriteByte('\n')
}

// headerValues returns the values of a header by its lower-case name, and false if it did not arrive. net/http keeps some headers in other fields of
// the request.
func headerValues(r *http.Request, name string) ([]string, bool) {
	switch name {
	case "host", ":authority": // aws-sdk-js signs the latter over HTTP/2
		return []string{r.Host}, r.Host != ""
	case "transfer-encoding":
		return r.TransferEncoding, len(r.TransferEncoding) > 0
	}
	values := r.Header[http.CanonicalHeaderKey(name)]
	if name == "content-length" && len(values) == 0 && r.ContentLength >= 0 {
		return []string{strconv.FormatInt(r.ContentLength, 10)}, true
	}
	return values, len(values) > 0
}

// singleSpaced trims a value, and replaces several spaces with one.
func singleSpaced(v string) string {
	v = strings.TrimSpace(v)
	if !strings.Contains(v, "  ") {
		return v
	}
	var b strings.Builder
	for i := range len(v) {
		if v[i] != ' ' || v[i-1] != ' ' { // i is not 0 in v[i-1], because the first byte is not a space
			b.WriteByte(v[i])
		}
	}
	return b.String()
}

// queryOf returns a query in canonical form: decoded and encoded again, and with sorted parameters. It returns false for one that can't be decoded.
func queryOf(query string) (string, bool) {
	if query == "" {
		return "", true
	}
	all, ok := parametersOf(query)
	if !ok {
		return "", false
	}
	slices.SortFunc(all, func(a, b parameter) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	var b strings.Builder
	for i, p := range all {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.name)
		b.WriteByte('=')
		b.WriteString(p.value)
	}
	return b.String(), true
}

// parameter is one parameter of a query, its name and its value percent-encoded.
type parameter struct{ name, value string }

// parametersOf returns the parameters of a query, decoded and encoded again. Empty ones are left out. It returns false if one can't be decoded.
func parametersOf(query string) (all []parameter, ok bool) {
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, nameOK := recoded(name)
		value, valueOK := recoded(value)
		if !nameOK || !valueOK {
			return nil, false
		}
		all = append(all, parameter{name, value})
	}
	return all, true
}

// recoded decodes percent-encoding, and encodes all that has to be encoded. It returns false if a "%" is not followed by two hexadecimal digits. A
// plus does not stand for a space, as it does in forms: it is encoded as %2B.
func recoded(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+3 > len(s) {
				return "", false
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			c = byte(n)
			i += 2 // behind the two digits, with the step of the loop
		}
		writeByte(&b, c)
	}
	return b.String(), true
}

// writeEncoded percent-encodes a text; slashes of a path stay.
func writeEncoded(b *strings.Builder, s string, path bool) {
	for i := range len(s) {
		if path && s[i] == '/' {
			b.WriteByte('/')
		} else {
			writeByte(b, s[i])
		}
	}
}

// writeByte writes one byte, percent-encoded unless it is unreserved in RFC 3986.
func writeByte(b *strings.Builder, c byte) {
	letter := c|0x20 >= 'a' && c|0x20 <= 'z' // in either case, because 0x20 makes a capital small
	if letter || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~' {
		b.WriteByte(c)
		return
	}
	const digits = "0123456789ABCDEF"
	b.WriteByte('%')
	b.WriteByte(digits[c>>4])
	b.WriteByte(digits[c&15])
}
