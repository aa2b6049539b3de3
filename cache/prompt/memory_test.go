package prompt

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// remembering returns what a conversation remembers of a prompt's texts.
func remembering(p *Prompt) Memory {
	var m Memory
	m.Keep(p, len(p.Blocks))
	return m
}

// A text that is built anew lies elsewhere and is the same; one that lies where it lay is not read again.
func TestTextsAreRecognisedWhereTheyLie(t *testing.T) {
	var texts []string
	for i := range 9 {
		texts = append(texts, strings.Repeat(fmt.Sprintf("turn %d moves the parser; ", i), 160))
	}
	build := func(texts []string) *Prompt {
		p := new(Prompt)
		for i, text := range texts {
			p.Message(i, i%2 == 0)
			p.Block(Text, 0)
			p.Text(text)
		}
		return p
	}
	before := build(texts[:8])
	before.Record(nil)
	p := build(texts)
	p.Record([]Memory{remembering(before)})
	read := 0
	for i := range p.leaves {
		if p.leaves[i].fresh && p.leaves[i].n >= shortLeaf {
			read += p.leaves[i].n
		}
	}
	require.Equal(t, len(texts[8]), read, "of %d bytes only the new turn is read", p.Total().Bytes)

	texts[0] = strings.Clone(texts[0])
	anew := build(texts)
	anew.Record(nil)
	require.Equal(t, p.Records()[8].Chain, anew.Records()[8].Chain)
}

// What is kept and forgotten adds up to nothing.
func TestMemoryTellsWhatItHolds(t *testing.T) {
	long, other := strings.Repeat("a", 1000), strings.Repeat("b", 2000)
	build := func(texts ...string) *Prompt {
		p := new(Prompt)
		for i, text := range texts {
			p.Message(i, true)
			p.Block(Text, 0)
			p.Text(text)
		}
		p.Record(nil)
		return p
	}
	var m Memory
	for _, step := range []struct {
		texts []string
		more  int
		bytes int64
	}{
		{[]string{long, "short", other}, 3, 3000},
		{[]string{long, "short", other}, 0, 0},
		{[]string{long}, -2, -2000},
		{[]string{other, long}, 1, 2000},
		{[]string{"nothing to recognise"}, -2, -3000},
	} {
		p := build(step.texts...)
		more, bytes := m.Keep(p, len(p.Blocks))
		require.Equal(t, []int64{int64(step.more), step.bytes}, []int64{int64(more), bytes}, step.texts)
	}
	m.Keep(build(long, other), 2)
	texts, bytes := m.Forget()
	require.Equal(t, []int64{-2, -3000}, []int64{int64(texts), bytes})
}

// What a buffer holds can change where it lies.
func TestABufferThatIsFilledAgainIsNotTheSame(t *testing.T) {
	data := []byte(strings.Repeat("pixels", 1000))
	build := func() *Prompt {
		p := new(Prompt)
		p.Message(0, true)
		p.Block(Image, 0)
		p.Binary(data)
		p.Media(Image, 100)
		return p
	}
	first := build()
	first.Record(nil)
	copy(data, strings.Repeat("others", 1000))
	second := build()
	second.Record([]Memory{remembering(first)})
	require.NotEqual(t, first.Records()[0].Hash, second.Records()[0].Hash)
}

// documentPointer is a document as the SDK has them, behind a pointer.
type documentPointer struct{ text string }

func (d *documentPointer) MarshalSmithyDocument() ([]byte, error) { return []byte(d.text), nil }

// dataOf reads an interface as memory. It rests on how Go lays interfaces out, which no specification promises.
func TestTheAddressOfADocumentIsItsPointer(t *testing.T) {
	one, other := &documentPointer{"the same"}, &documentPointer{"the same"}
	require.Equal(t, unsafe.Pointer(one), dataOf(one))
	require.Equal(t, dataOf(one), dataOf(Marshaler(one)), "an address is the same at each look")
	require.NotEqual(t, dataOf(one), dataOf(other), "equal content elsewhere is another document")
}
