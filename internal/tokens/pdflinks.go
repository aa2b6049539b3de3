package tokens

import (
	"encoding/hex"
	"maps"
	"strings"
)

// Which form a page or another form draws by "/Fm0 Do" stands in dictionaries: its /Resources have an /XObject dictionary, and that has a reference to
// a form or an image under the name Fm0. Either dictionary may be an object of its own, and is then referred to.

// pdfLinks collects the references in the dictionaries of a file, which it is given object by object and word by word.
type pdfLinks struct {
	objects map[int]*pdfObject
	uses    map[int]int         // by object number: references to it from anywhere but an /XObject dictionary, such as of an annotation that looks like a form
	drawn   map[string][]int    // by name: what all the /XObject dictionaries of the file refer to
	arrays  map[int]map[int]int // by the number of an object that is an array: how often it refers to each object
	shown   map[int]int         // by object number: how often pages have the object under /Contents; after finish also what is in an array there
	parts   map[int]bool        // by object number: it is in such an array with others
	kids    int                 // the most times that one node of the page tree refers to the same page
	lists   []int               // objects that are the /Kids of a node

	object int          // the number of the object that is read
	open   []pdfFrame   // its dictionaries and arrays that have not ended, the outermost first
	before [2]pdfNumber // the two words before this one
}

// pdfObject is what one object refers to, by the numbers of other objects.
type pdfObject struct {
	entries   map[string][]int // by key: in the object's own dictionary
	drawn     map[string][]int // by name: in its /XObject dictionary
	xObjects  []int            // objects that are its /XObject dictionary
	resources []int            // objects that are its /Resources
	resourced bool             // it has /Resources, here or in another object
}

// pdfFrame is a dictionary or an array that has not ended.
type pdfFrame struct {
	array  bool
	under  string      // the key under which it stands
	key    string      // the last key in the dictionary
	value  bool        // the key has its value
	refers map[int]int // in an array: how often it refers to each object
}

// pdfNumber is a word that may be a number.
type pdfNumber struct {
	n  int
	ok bool
}

func newPDFLinks() *pdfLinks {
	return &pdfLinks{
		objects: map[int]*pdfObject{}, uses: map[int]int{}, drawn: map[string][]int{}, arrays: map[int]map[int]int{}, shown: map[int]int{}, parts: map[int]bool{},
	}
}

// of returns what is known of an object.
func (l *pdfLinks) of(object int) *pdfObject {
	o := l.objects[object]
	if o == nil {
		o = &pdfObject{}
		l.objects[object] = o
	}
	return o
}

// begin ends the object that was read, and begins another one.
func (l *pdfLinks) begin(object int) {
	l.object, l.open, l.before = object, l.open[:0], [2]pdfNumber{}
}

// maxPDFDepth bounds how deep dictionaries and arrays stand in each other. Readers give up at some hundreds.
const maxPDFDepth = 1000

// word reads the next word of the object. It returns false if dictionaries stand in each other too deep.
func (l *pdfLinks) word(word []byte) bool {
	in := l.dictionary()
	this := pdfNumber{}
	switch c := word[0]; {
	case c == '[' || string(word) == "<<":
		l.enter(in, c == '[')
	case c == ']' || string(word) == ">>":
		l.leave()
	case c == '/' && in != nil && in.value:
		in.key, in.value = pdfName(word), false
		l.before = [2]pdfNumber{}
		return true
	case c >= '0' && c <= '9':
		this = pdfNumber{pdfInt(word), true}
	case string(word) == "R" && l.before[0].ok && l.before[1].ok:
		l.refer(in, l.before[0].n)
	}
	if in != nil {
		in.value = true // or a part of it: a key can't be a number or a keyword
	}
	l.before = [2]pdfNumber{l.before[1], this}
	return len(l.open) <= maxPDFDepth
}

// dictionary returns the innermost dictionary; nil in an array, and outside of both.
func (l *pdfLinks) dictionary() *pdfFrame {
	if n := len(l.open); n > 0 && !l.open[n-1].array {
		return &l.open[n-1]
	}
	return nil
}

// enter begins a dictionary or an array. in is the dictionary in which it is a value, or nil.
func (l *pdfLinks) enter(in *pdfFrame, array bool) {
	frame := pdfFrame{array: array, value: true}
	if in != nil {
		in.value, frame.under = true, in.key
		if in.key == "Resources" {
			l.of(l.object).resourced = true
		}
	}
	l.open = append(l.open, frame)
}

// addTo adds an object to those under a key.
func addTo(list *map[string][]int, key string, object int) {
	if *list == nil {
		*list = map[string][]int{}
	}
	(*list)[key] = append((*list)[key], object)
}

// leave ends a dictionary or an array.
func (l *pdfLinks) leave() {
	n := len(l.open) - 1
	if n < 0 {
		return
	}
	frame := l.open[n]
	l.open = l.open[:n]
	switch {
	case !frame.array:
	case n == 0: // it is the whole object
		known := l.arrays[l.object]
		if known == nil {
			known = map[int]int{}
			l.arrays[l.object] = known
		}
		for object, times := range frame.refers {
			known[object] = max(known[object], times)
		}
	case frame.under == "Contents":
		l.show(frame.refers, 1)
	case frame.under == "Kids":
		l.kids = max(l.kids, most(frame.refers))
	}
}

// show adds an array that so many pages have under /Contents.
func (l *pdfLinks) show(array map[int]int, pages int) {
	for object, times := range array {
		l.shown[object] += times * pages
		l.parts[object] = l.parts[object] || len(array) > 1
	}
}

// most returns how often an array refers to the object to which it refers most often.
func most(array map[int]int) (times int) {
	for _, n := range array {
		times = max(times, n)
	}
	return times
}

// refer adds a reference to an object. in is the dictionary in which it stands, or nil.
func (l *pdfLinks) refer(in *pdfFrame, to int) {
	if in == nil {
		l.uses[to]++
		if n := len(l.open) - 1; n >= 0 {
			array := &l.open[n]
			if array.refers == nil {
				array.refers = map[int]int{}
			}
			array.refers[to]++
		}
		return
	}
	from := l.of(l.object)
	if in.under == "XObject" {
		addTo(&from.drawn, in.key, to)
		l.drawn[in.key] = append(l.drawn[in.key], to)
		return
	}
	switch in.key {
	case "XObject":
		from.xObjects = append(from.xObjects, to)
	case "Contents":
		l.shown[to]++
	case "Kids":
		l.lists = append(l.lists, to)
	case "Resources":
		from.resources, from.resourced = append(from.resources, to), true
	}
	if len(l.open) == 1 {
		addTo(&from.entries, in.key, to)
	}
	l.uses[to]++
}

// finish is called after the last object. Only now are all objects known that are /XObject dictionaries, or arrays under /Contents and /Kids.
func (l *pdfLinks) finish() {
	for _, list := range l.lists {
		l.kids = max(l.kids, most(l.arrays[list]))
	}
	shown := maps.Clone(l.shown)
	for object, pages := range shown {
		l.show(l.arrays[object], pages)
	}
	lists := map[int]bool{}
	for _, o := range l.objects {
		for _, list := range o.xObjects {
			lists[list] = true
		}
	}
	for list := range lists {
		for name, targets := range l.of(list).entries {
			l.drawn[name] = append(l.drawn[name], targets...)
			for _, target := range targets {
				l.uses[target]--
			}
		}
	}
}

// drawnBy returns which objects an object may mean by a name, and false if it has no /Resources of its own: then it takes those of the page.
func (l *pdfLinks) drawnBy(object int, name string) (targets []int, own bool) {
	o := l.of(object)
	for _, holder := range append([]int{object}, o.resources...) {
		h := l.of(holder)
		targets = append(targets, h.drawn[name]...)
		for _, list := range h.xObjects {
			targets = append(targets, l.of(list).entries[name]...)
		}
	}
	return targets, o.resourced
}

// pdfName returns a name without its slash. A character may be written by its code, as in /A#20B.
func pdfName(word []byte) string {
	name := strings.TrimPrefix(string(word), "/")
	if !strings.Contains(name, "#") {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] == '#' && i+2 < len(name) {
			if code, err := hex.DecodeString(name[i+1 : i+3]); err == nil {
				b.WriteByte(code[0])
				i += 2
				continue
			}
		}
		b.WriteByte(name[i])
	}
	return b.String()
}
