package prompt

import (
	"fmt"
	"math"
	"strings"
)

// volatileKind is a kind of text that is likely to differ in the next request.
type volatileKind uint8

const (
	volatileNone volatileKind = iota
	volatileTimestamp
	volatileID
	volatileNonce
	volatileGitStatus
	volatileDirectory
)

var volatileNames = [...]string{"", "a time of day", "a unique id", "a nonce", "the state of a git checkout", "a working directory"}

// Volatile is where a block has text that is likely to differ in the next request: the first such text, or the first that has a label. A label is a
// word shortly before it, such as "now", which says that it is of this moment or of this request. A Volatile does not contain the text. In the zero
// value there is none.
type Volatile struct {
	kind     volatileKind
	labelled bool  // it has a label
	offset   int32 // in bytes, of the text that it stands in
	line     int32 // from 1
	count    int32 // how many such texts of any kind the block's text has
}

// String says what it is and where: "a time of day at byte 24 (line 2)".
func (v Volatile) String() string {
	return fmt.Sprintf("%s at byte %d (line %d)", volatileNames[v.kind], v.offset, v.line)
}

// fewVolatiles is how many times and ids a text may have to be suspicious without a label: one with more is a document about them, and probably does
// not change.
const fewVolatiles = 3

// Suspicious reports whether the text is worth a finding before a second request has proved it.
func (v Volatile) Suspicious() bool {
	return v.kind != volatileNone && (v.labelled || v.count <= fewVolatiles)
}

// Alike reports whether both are there, and of the same kind.
func (v Volatile) Alike(o Volatile) bool { return v.kind != volatileNone && v.kind == o.kind }

// Volatile looks for text in a block that is likely to differ in the next request, and keeps what it has found in the block's record. Record must
// have run. A leaf is one piece of the block's content; binary ones, such as an image's data, are no text.
func (p *Prompt) Volatile(block int) Volatile {
	leaves := p.leavesOf(block)
	for i := range leaves {
		if l := &leaves[i]; !l.binary {
			if v := findVolatile(l.resolved()); v.kind != volatileNone {
				p.records[block].Volatile = v
				return v
			}
		}
	}
	return Volatile{}
}

// findVolatile looks for text that is likely to differ in the next request: times of day, ids, random numbers, the state of a checkout, working
// directories. One with a label counts before an earlier one without. It reads a text once, and looks closer only around hyphens, which a UUID has,
// and colons, which a time has and which follow a name.
func findVolatile(s string) Volatile {
	f := volatileFinder{s: s}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '-':
			i = f.atHyphen(i)
		case ':':
			i = f.atColon(i)
		}
	}
	f.phrases()
	f.best.count = f.count
	if f.best.kind != volatileNone {
		f.best.line = int32(1 + strings.Count(s[:f.best.offset], "\n"))
	}
	return f.best
}

// volatileFinder looks through one text.
type volatileFinder struct {
	s     string
	best  Volatile // so far
	count int32    // how many were found
}

// note records what was found at an offset.
func (f *volatileFinder) note(kind volatileKind, at int, labelled bool) {
	f.count++
	if f.best.kind == volatileNone || labelled && !f.best.labelled {
		f.best = Volatile{kind: kind, labelled: labelled, offset: int32(min(at, math.MaxInt32))}
	}
}

// atHyphen notes a UUID whose first hyphen is at i. It returns the offset of the last byte that needs no further look: i if there is no UUID.
func (f *volatileFinder) atHyphen(i int) int {
	start := i - uuidHead
	if !isUUID(f.s, start) {
		return i
	}
	f.note(volatileID, start, labelledBy(f.s, start, idLabels))
	return start + uuidBytes - 1
}

// atColon notes a time whose first colon is at i, or a time or a random number that follows the colon and a name. It returns what atHyphen does.
func (f *volatileFinder) atColon(i int) int {
	if start, end := timeAround(f.s, i); end > 0 {
		f.note(volatileTimestamp, start, labelledBy(f.s, start, timeLabels))
		return end - 1
	}
	at := valueBehind(f.s, i)
	if at == 0 {
		return i
	}
	// Unix time of our years has 10 digits in seconds, 13 in milliseconds, and begins with 1.
	if n := digitsFrom(f.s, at); (n == 10 || n == 13) && f.s[at] == '1' && labelledBy(f.s, at, epochLabels) {
		f.note(volatileTimestamp, at, true)
	} else if n := hexFrom(f.s, at); n >= 5 && labelledBy(f.s, at, nonceLabels) {
		f.note(volatileNonce, at, true)
	}
	return i
}

// phrases notes each phrase that the text contains. None of these has a label.
func (f *volatileFinder) phrases() {
	for _, k := range volatilePhrases {
		if at := strings.Index(f.s, k.text); at >= 0 {
			f.note(k.kind, at, false)
		}
	}
}

// volatilePhrases are phrases that come before what differs. Working is searched for without its first letter, which may be a capital.
var volatilePhrases = [...]struct {
	kind volatileKind
	text string
}{
	{volatileGitStatus, "git status"},
	{volatileGitStatus, "Git status"},
	{volatileGitStatus, "gitStatus"},
	{volatileGitStatus, "nothing to commit"},
	{volatileDirectory, "orking directory: "},
	{volatileDirectory, "cwd: "},
}

// Words that say that the text after them belongs to this moment or to this request.
var (
	timeLabels  = []string{"current time", "current date", "time now", "date and time", "datetime", "local time", "time is", "now is", "now:", "as of", "timestamp", "generated at", "generated on", "today", "time:"}
	idLabels    = []string{"session", "request", "trace", "nonce", "conversation", "run id", "run_id", "message id", "correlation", "invocation"}
	epochLabels = []string{"time", "now", "timestamp", "epoch", "date"}
	nonceLabels = []string{"nonce", "cch", "cache-bust", "cachebust", "salt", "random"}
)

// labelBytes is how far before a value its label may begin.
const labelBytes = 40

// labelledBy reports whether one of the words comes shortly before a place, in the same line.
func labelledBy(s string, at int, words []string) bool {
	from := max(at-labelBytes, 0)
	if nl := strings.LastIndexByte(s[from:at], '\n'); nl >= 0 {
		from += nl + 1
	}
	before := strings.ToLower(s[from:at])
	for _, w := range words {
		if strings.Contains(before, w) {
			return true
		}
	}
	return false
}

const (
	uuidBytes = 36 // digits in groups of 8, 4, 4, 4 and 12, with hyphens between them
	uuidHead  = 8  // the digits before the first hyphen
)

// isUUID reports whether a UUID begins at start, which may be outside of the text.
func isUUID(s string, start int) bool {
	if start < 0 || start+uuidBytes > len(s) || start > 0 && isHex(s[start-1]) {
		return false // there is no room for one, or its first group has more than eight digits
	}
	for k := range uuidBytes {
		c := s[start+k]
		if k == 8 || k == 13 || k == 18 || k == 23 {
			if c != '-' {
				return false
			}
		} else if !isHex(c) {
			return false
		}
	}
	return true
}

// timeAround returns the range of a time of day whose first colon is at i: hours, minutes and seconds, or hours and minutes after a date. An end of 0
// says that there is none.
func timeAround(s string, i int) (start, end int) {
	if i < 2 || i+3 > len(s) || !isDigit(s[i-1]) || !isDigit(s[i-2]) || !isDigit(s[i+1]) || !isDigit(s[i+2]) {
		return 0, 0 // not two digits on each side of the colon
	}
	tooManyDigits := i > 2 && isDigit(s[i-3])
	if tooManyDigits || s[i-2] > '2' || s[i+1] > '5' { // by their first digits, 29 hours are let through, and no more than 59 minutes
		return 0, 0
	}
	start, end = i-2, i+3
	seconds := end+3 <= len(s) && s[end] == ':' && isDigit(s[end+1]) && isDigit(s[end+2])
	if seconds {
		end += 3
	}
	// The date before it, as in 2026-11-29T, has its hyphens four and seven bytes before the hours.
	dated := start >= 11 && (s[start-1] == 'T' || s[start-1] == ' ') && s[start-4] == '-' && s[start-7] == '-'
	if dated {
		start -= 11 // a date of ten characters, and the T or space behind it
	}
	if !dated && !seconds {
		return 0, 0
	}
	return start, end
}

// valueBehind returns where the value after the colon at i begins, past spaces and quotes, or 0 if the text ends before one.
func valueBehind(s string, i int) int {
	for i++; i < len(s); i++ {
		if s[i] != ' ' && s[i] != '"' {
			return i
		}
	}
	return 0
}

// digitsFrom returns how many digits there are from an offset on.
func digitsFrom(s string, at int) int {
	n := 0
	for at+n < len(s) && isDigit(s[at+n]) {
		n++
	}
	return n
}

// hexFrom returns how many hexadecimal digits there are from an offset on.
func hexFrom(s string, at int) int {
	n := 0
	for at+n < len(s) && isHex(s[at+n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
