package bedrockguard

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// partsOf returns the parts of a Converse request, or nil for any other.
func partsOf(input any) *converseParts {
	p := new(converseParts)
	if !p.of(input) {
		return nil
	}
	return p
}

func askOfConverse(p *converseParts) (a ask, err error) {
	err = a.readConverse(p)
	return a, err
}

// BenchmarkAskOfConverse is the one part of the guard's work that sees each message: it looks for images, documents and
// cache points, and never at text.
func BenchmarkAskOfConverse(b *testing.B) {
	for _, turns := range []int{10, 100} {
		b.Run(fmt.Sprint(turns), func(b *testing.B) {
			var p converseParts
			for range 2 * turns {
				p.Messages = append(p.Messages, types.Message{Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "text"}}})
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := askOfConverse(&p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
