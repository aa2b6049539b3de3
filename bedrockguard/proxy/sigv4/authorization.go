package sigv4

import (
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

const (
	algorithm = "AWS4-HMAC-SHA256"
	ending    = "aws4_request" // the end of every credential scope
	amzTime   = "20060102T150405Z"

	maxAuthorizationBytes = 8 << 10
	maxAccessKeyIDBytes   = 128
)

// authorization is the parsed Authorization header of a signed request.
type authorization struct {
	accessKeyID string
	day         string // such as 20261129
	region      string
	service     string
	signed      []string // the names of the signed headers, in lower case and sorted
	signature   [32]byte
}

// Signed reports whether the Authorization header of a request claims to have an AWS signature of any kind.
func Signed(r *http.Request) bool {
	for _, v := range r.Header["Authorization"] {
		if len(v) >= len("AWS4-") && strings.EqualFold(v[:len("AWS4-")], "AWS4-") {
			return true
		}
	}
	return false
}

// readAuthorization parses the Authorization header of a signed request, which must have only one.
func readAuthorization(h http.Header) (a authorization, err error) {
	values := h["Authorization"]
	if len(values) == 0 {
		return a, &Error{Err: ErrUnsigned}
	}
	if len(values) > 1 {
		return a, malformed("more than one Authorization header")
	}
	return parseAuthorization(values[0])
}

// parseAuthorization parses "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…". Each of the three has to occur once, in any order.
func parseAuthorization(text string) (a authorization, err error) {
	if len(text) > maxAuthorizationBytes {
		return a, malformed("an Authorization header of more than 8 KiB")
	}
	name, rest, _ := strings.Cut(text, " ")
	switch {
	case name == algorithm:
	case strings.HasPrefix(name, "AWS4-"):
		return a, malformed("an algorithm other than " + algorithm)
	default:
		return a, &Error{Err: ErrUnsigned}
	}
	var seen [3]bool // which of the three were there
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(strings.Trim(part, " "), "=")
		number, ok := a.set(key, value)
		if !ok || seen[number] {
			return authorization{}, malformed("an Authorization header other than Credential=…, SignedHeaders=…, Signature=…")
		}
		seen[number] = true
	}
	if seen != [3]bool{true, true, true} {
		return authorization{}, malformed("an Authorization header without credential, signed headers or signature")
	}
	return a, nil
}

// set parses one of the three parts of the header, and returns its number, from 0 to 2. It returns false for any other key, and for a value that
// can't be parsed.
func (a *authorization) set(key, value string) (number int, ok bool) {
	switch key {
	case "Credential":
		return 0, a.setCredential(value)
	case "SignedHeaders":
		return 1, a.setSignedHeaders(value)
	case "Signature":
		return 2, a.setSignature(value)
	default:
		return 0, false
	}
}

// setCredential parses accessKeyID/day/region/service/aws4_request. It returns false if the text is not of that form.
func (a *authorization) setCredential(text string) bool {
	parts := strings.Split(text, "/")
	if len(parts) != 5 || parts[4] != ending {
		return false
	}
	for _, p := range parts {
		if p == "" || len(p) > maxAccessKeyIDBytes || !plainName(p) {
			return false
		}
	}
	a.accessKeyID, a.day, a.region, a.service = parts[0], parts[1], parts[2], parts[3]
	return true
}

// plainName reports whether a name only has letters, digits and a few signs.
func plainName(s string) bool {
	for _, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' // in either case, because 0x20 makes a capital small
		if !letter && (c < '0' || c > '9') && strings.IndexByte("-_.", c) < 0 {
			return false
		}
	}
	return true
}

// setSignedHeaders parses the names of the signed headers. It returns false if they are not in lower case, each once and sorted, as AWS requires.
func (a *authorization) setSignedHeaders(text string) bool {
	a.signed = strings.Split(text, ";")
	for i, name := range a.signed {
		if name == "" || name != strings.ToLower(name) || i > 0 && name <= a.signed[i-1] {
			return false
		}
	}
	return true
}

// setSignature parses the signature. It returns false unless that is 64 hexadecimal digits in lower case.
func (a *authorization) setSignature(text string) bool {
	if len(text) != hex.EncodedLen(len(a.signature)) || strings.ToLower(text) != text {
		return false
	}
	_, err := hex.Decode(a.signature[:], []byte(text))
	return err == nil
}

// signs reports whether the header with this name, in lower case, is signed.
func (a *authorization) signs(name string) bool {
	for _, s := range a.signed {
		if s == name {
			return true
		}
	}
	return false
}

// scope returns the credential scope, to which the signing key is bound.
func (a *authorization) scope() string {
	return a.day + "/" + a.region + "/" + a.service + "/" + ending
}

// signedAt returns when the request was signed, according to its X-Amz-Date. The credential has to name the same day.
func (a *authorization) signedAt(h http.Header) (time.Time, error) {
	values := h["X-Amz-Date"]
	if len(values) != 1 {
		return time.Time{}, malformed("not one X-Amz-Date header")
	}
	at, err := time.Parse(amzTime, values[0])
	// time.Parse also accepts a fraction of a second, which is longer.
	if err != nil || len(values[0]) != len(amzTime) {
		return time.Time{}, malformed("an X-Amz-Date other than " + amzTime)
	}
	if day := at.Format("20060102"); a.day != day {
		return time.Time{}, malformed("a credential of another day than X-Amz-Date")
	}
	return at, nil
}
