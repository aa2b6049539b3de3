// Package corpus generates texts of many kinds, such as prose, source code or random bytes, to measure tokenizers and bounds. A kind, a seed
// and a size always give the same text, so that a recorded token count can refer to its text by these three.
package corpus

import (
	"embed"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
)

//go:embed seeds/*.txt
var seeds embed.FS

// Splices is the kind that joins pieces of all other kinds at random places.
const Splices = "splices"

// source has the random numbers of a generator, with methods that choose by them.
type source struct {
	*rand.Rand
}

// generator appends a piece of text, from a word to a few lines. It is called until the text is long enough.
type generator func(r source, b *strings.Builder)

// Kinds returns the names of the kinds of text that Generate can make, sorted.
func Kinds() []string {
	names := []string{Splices}
	for name := range generators() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Generate returns a text of a kind, cut to size bytes. If the cut is in the middle of a character, a question mark takes the place of that
// character's bytes. It panics on an unknown kind.
func Generate(kind string, seed uint64, size int) string {
	h := fnv.New64a()
	// The kind is a part of the seed, so that two kinds with one seed do not choose alike.
	_, _ = h.Write([]byte(kind))
	r := source{rand.New(rand.NewPCG(seed, h.Sum64()))}
	var b strings.Builder
	if kind == Splices {
		splice(r, &b, size)
	} else {
		generate := generators()[kind]
		if generate == nil {
			panic("corpus: unknown kind " + kind)
		}
		for b.Len() < size {
			generate(r, &b)
		}
	}
	return strings.ToValidUTF8(b.String()[:size], "?")
}

// splice writes pieces of up to 60 bytes until the text has size bytes: each is cut, at a random place, from what one call of a random generator
// writes.
func splice(r source, b *strings.Builder, size int) {
	all := generators()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	// The order of a map differs from run to run, and would make another text of the same seed.
	slices.Sort(names)
	for b.Len() < size {
		var piece strings.Builder
		for piece.Len() == 0 {
			all[names[r.IntN(len(names))]](r, &piece)
		}
		text := piece.String()
		from := r.IntN(len(text))
		b.WriteString(strings.ToValidUTF8(text[from:min(from+1+r.IntN(60), len(text))], ""))
	}
}

// seed returns one of the embedded texts, from which generators take pieces.
func seed(name string) string {
	text, err := seeds.ReadFile("seeds/" + name + ".txt")
	if err != nil {
		panic(err)
	}
	return string(text)
}

// languages returns the texts of prose.txt by language.
func languages() map[string]string {
	texts := make(map[string]string)
	for line := range strings.Lines(seed("prose")) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), ": ")
		texts[name] = text
	}
	return texts
}

// pick returns a random byte of a text.
func (r source) pick(of string) byte { return of[r.IntN(len(of))] }

// from returns a random one of some texts.
func (r source) from(of []string) string { return of[r.IntN(len(of))] }

// chars appends random characters of an ASCII alphabet, at least low and at most high of them.
func (r source) chars(b *strings.Builder, of string, low, high int) {
	for range low + r.IntN(high-low+1) {
		b.WriteByte(r.pick(of))
	}
}
