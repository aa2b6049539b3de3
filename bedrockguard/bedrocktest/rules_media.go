package bedrocktest

import (
	"encoding/base64"
	"slices"
	"strings"
)

// signatures are how files of the image formats begin.
var signatures = []string{"\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "GIF87a", "GIF89a", "RIFF"}

func imageBytes(a *asked) (refused *refusal) {
	if !a.claude() && a.model.Provider != "amazon" {
		return nil
	}
	look := func(data *node) {
		raw, _ := base64.StdEncoding.DecodeString(firstBytes(data.text()))
		if data != nil && !slices.ContainsFunc(signatures, func(s string) bool { return strings.HasPrefix(string(raw), s) }) {
			refused = modelError("Could not process image")
		}
	}
	a.blocks(func(_, b *node) bool {
		all := []*node{b}
		for _, result := range []*node{b.get("toolResult"), b} {
			all = append(all, result.get("content").list()...)
		}
		for _, c := range all {
			look(c.get("image").get("source").get("bytes"))
			if c.get("type").text() == "image" {
				look(c.get("source").get("data"))
			}
		}
		return refused == nil
	})
	return refused
}

// firstBytes is as much base64 as the beginning of a file needs.
func firstBytes(data string) string { return data[:min(len(data)/4*4, 16)] }

// textFormats are the formats of documents that Claude is given as text.
var textFormats = []string{"txt", "md", "csv", "html", "doc", "docx", "xls", "xlsx"}

func pointBehindText(a *asked) (refused *refusal) {
	if !a.converse || !a.claude() {
		return nil
	}
	for _, m := range a.messages {
		behind := false
		for _, b := range m.get("content").list() {
			if behind && b.get("cachePoint") != nil {
				return modelError("messages: cache_control may not be set on this block")
			}
			behind = contains(textFormats, b.get("document").get("format").text())
		}
	}
	return nil
}
