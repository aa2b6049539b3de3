package dialects

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// Vector is the embedding of a text, an image or a video. Its numbers are random, but depend only on the content, and have a norm of 1.
type Vector struct {
	Of         string // the content
	Kind       string // the kind of the content, as the answer names it
	dimensions int
	asked      []string // the requested types of its numbers: float, int8, uint8, binary, ubinary
}

// maxDimensions bounds the vectors that are made.
const maxDimensions = 4096

// vector adds a vector to the answer: of is the content that it stands for, and kind the name for that kind of content. n is the body, which may name
// types of number. The vector's dimensions are those that one of the fields asked names (nil if absent), or else dimensions, the model's own.
func (in *Prompt) vector(n *jsonnode.Node, kind, of string, dimensions int, asked ...*jsonnode.Node) *refusal.Error {
	for _, a := range asked {
		if a == nil {
			continue
		}
		v, ok := a.Number()
		if !ok || v < 1 || v > maxDimensions {
			return refusal.Invalid("the dimensions of an embedding must be an integer that the model supports")
		}
		dimensions = v
	}
	v := Vector{Of: of, Kind: kind, dimensions: dimensions}
	for _, key := range []string{"embeddingTypes", "embedding_types"} { // as Titan and Cohere spell it
		for _, t := range n.Get(key).List() {
			if !slices.Contains([]string{"float", "int8", "uint8", "binary", "ubinary"}, t.Text()) {
				return refusal.Invalid("%s: an unknown type of embedding", key)
			}
			v.asked = append(v.asked, t.Text())
		}
	}
	in.Vectors = append(in.Vectors, v)
	return nil
}

// Kinds returns the types that the request asks for. If it asks for none, Kinds returns the one type otherwise, or nothing if otherwise is empty.
func (v Vector) Kinds(otherwise string) []string {
	if len(v.asked) == 0 && otherwise != "" {
		return []string{otherwise}
	}
	return v.asked
}

// Floats returns the vector as numbers.
func (v Vector) Floats() []float64 {
	hash := fnv.New64a()
	hash.Write([]byte(v.Of))
	// Equal contents have the same seed, and so the same vector.
	random := rand.New(rand.NewPCG(hash.Sum64(), 0))
	out, length := make([]float64, v.dimensions), 0.0
	for i := range out {
		out[i] = random.NormFloat64()
		length += out[i] * out[i]
	}
	for i := range out {
		out[i] = math.Round(out[i]/math.Sqrt(length)*1e8) / 1e8
	}
	return out
}

// As returns the vector in one of the types: floats; a whole number from -127 to 127 for each float (int8); or bits, of which eight make a byte
// (binary). The unsigned types uint8 and ubinary have the same numbers, 128 higher.
func (v Vector) As(kind string) any {
	floats := v.Floats()
	switch kind {
	case "float":
		return floats
	case "int8":
		return wholes(floats, 0)
	case "uint8":
		return wholes(floats, 128)
	case "ubinary":
		return signBits(floats, 0)
	default: // binary
		return signBits(floats, -128)
	}
}

// wholes returns a whole number for each float from -1 to 1, with offset added.
func wholes(floats []float64, offset int) []int {
	out := make([]int, len(floats))
	for i, f := range floats {
		out[i] = int(math.Round(f*127)) + offset
	}
	return out
}

// signBits returns a number for each eight floats: their signs are the bits of a byte from 0 to 255, a positive one being 1, to which offset is
// added.
func signBits(floats []float64, offset int) []int {
	out := make([]int, (len(floats)+7)/8)
	for i, f := range floats {
		if f > 0 {
			out[i/8] |= 1 << (7 - i%8)
		}
	}
	for i := range out {
		out[i] += offset
	}
	return out
}
