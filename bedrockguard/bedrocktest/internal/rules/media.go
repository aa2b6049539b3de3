package rules

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// claude reports whether the model is Anthropic's, and named whether the model's id contains one of some names. blocks calls a function with each
// content block of each message, until the function returns false.

// signatures are the first bytes of files in the image formats: PNG, JPEG, two versions of GIF, and WebP, which begins with RIFF.
var signatures = []string{"\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "GIF87a", "GIF89a", "RIFF"}

// imageBytes refuses, on Claude and Amazon's models, an image whose bytes do not begin like a file in an image format. It finds images in both
// forms, Converse's and Anthropic's, and also in tool results.
func imageBytes(a *Asked) (refused *refusal.Error) {
	if !a.claude() && a.Model.Provider != "amazon" {
		return nil
	}
	a.blocks(func(_, b *jsonnode.Node) bool {
		all := []*jsonnode.Node{b}
		// In Converse the content of a tool result is in its member toolResult, in Anthropic's dialect in the block itself.
		for _, result := range []*jsonnode.Node{b.Get("toolResult"), b} {
			all = append(all, result.Get("content").List()...)
		}
		if slices.ContainsFunc(all, brokenImage) {
			refused = refusal.ModelError("Could not process image")
		}
		return refused == nil
	})
	return refused
}

// brokenImage reports whether a block is an image, in Converse's form or in Anthropic's, whose bytes do not begin like a file in an image format.
func brokenImage(b *jsonnode.Node) bool {
	return broken(b.Get("image").Get("source").Get("bytes")) || b.Get("type").Text() == "image" && broken(b.Get("source").Get("data"))
}

// broken reports whether data, in base64, do not begin like a file in an image format. It is false for nil: then there is no image, or none in bytes.
func broken(data *jsonnode.Node) bool {
	raw, _ := base64.StdEncoding.DecodeString(firstBytes(data.Text()))
	return data != nil && !slices.ContainsFunc(signatures, func(s string) bool { return strings.HasPrefix(string(raw), s) })
}

// firstBytes returns as much base64 as the beginning of a file needs: 16 characters are 12 bytes, and no signature is longer than 8. Base64 is
// decoded in groups of four characters, so that a part of a group is left out.
func firstBytes(data string) string { return data[:min(len(data)/4*4, 16)] }

// textFormats are the document formats that Claude gets as text.
var textFormats = []string{"txt", "md", "csv", "html", "doc", "docx", "xls", "xlsx"}

// pointBehindText refuses a cache point directly after a document that Claude gets as text.
func pointBehindText(a *Asked) (refused *refusal.Error) {
	if !a.converse || !a.claude() {
		return nil
	}
	for _, m := range a.messages {
		behind := false
		for _, b := range m.Get("content").List() {
			if behind && b.Get("cachePoint") != nil {
				return refusal.ModelError("messages: cache_control may not be set on this block")
			}
			behind = slices.Contains(textFormats, b.Get("document").Get("format").Text())
		}
	}
	return nil
}

// mediaOfModel checks that the model accepts the media in each message of a Converse request, tool results included.
func mediaOfModel(a *Asked) *refusal.Error {
	if !a.converse {
		return nil
	}
	textOnly := a.named("llama3-8b", "llama3-70b", "llama3-1-", "llama3-3-", "titan-text", "gpt-oss", "qwen3-32b", "qwen3-coder", "deepseek.", "mistral-7b", "mixtral", "mistral-large-2402", "nova-micro", "command-r", "jamba")
	for i, m := range a.messages {
		for j, b := range m.Get("content").List() {
			at := place{message: i, block: j}
			if refused := a.media(b, at, textOnly); refused != nil {
				return refused
			}
			at.inResult = true
			for _, c := range b.Get("toolResult").Get("content").List() {
				if refused := a.media(c, at, textOnly); refused != nil {
					return refused
				}
			}
		}
	}
	return nil
}

// place is where a block of media stands.
type place struct {
	message, block int  // their numbers
	inResult       bool // in the tool result that is this block of the message
}

// media checks one block for media that the model does not accept, as recordings of 2026 show. textOnly says that the model takes no images. Claude
// accepts no S3 locations, except for documents in tool results, which it does not read; in tool results Nova accepts only images from S3.
func (a *Asked) media(b *jsonnode.Node, at place, textOnly bool) *refusal.Error {
	image, video, audio, document := b.Get("image"), b.Get("video"), b.Get("audio"), b.Get("document")
	s3 := func(n *jsonnode.Node) bool { return n.Get("source").Get("s3Location") != nil }
	unsupported := func(kind string) *refusal.Error {
		return refusal.Invalid("This model doesn't support the %s content block that you provided. Update the content block and try again.", kind)
	}
	switch {
	case image != nil && textOnly:
		return unsupported("image")
	case video != nil && !a.Model.TakesVideo():
		return unsupported("video")
	case audio != nil && !a.Model.TakesAudio():
		return unsupported("audio")
	case a.claude() && s3(image):
		return refusal.Invalid("This model doesn't support the s3Uri field. Remove s3Uri and try again.")
	case a.claude() && s3(document) && !at.inResult:
		return refusal.ModelError(fmt.Sprintf("messages.%d.content.%d.document.source.type: Field required", at.message, at.block))
	case a.Model.Provider == "amazon" && at.inResult && (s3(document) || s3(video)):
		return refusal.ModelError(fmt.Sprintf("Malformed input request: #/messages/%d/content/%d: extraneous key [toolResult] is not permitted, please reformat your input and try again.", at.message, at.block))
	}
	return nil
}
