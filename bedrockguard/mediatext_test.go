package bedrockguard_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// What a model is given as documents beside the conversation, or as the results of tools, is rendered as text, whatever its keys are called:
// base64 of a picture is as many tokens as any other text of that length.
func TestPicturesInDocumentsOfTextCountAsText(t *testing.T) {
	raw := make([]byte, 45_000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range raw {
		raw[i] = byte(random.Uint32())
	}
	data := base64.StdEncoding.EncodeToString(raw)
	source := object{"type": "base64", "media_type": "image/png", "data": data}
	for name, body := range map[string]object{
		"documents":            {"message": "what is it?", "documents": []object{{"title": "a", "image": data}}},
		"documents, as a URL":  {"message": "what is it?", "documents": []object{{"title": "a", "image_url": "data:image/png;base64," + data}}},
		"documents, a list":    {"message": "what is it?", "documents": []object{{"title": "a", "images": []string{data}}}},
		"documents, a source":  {"message": "what is it?", "documents": []object{{"title": "a", "source": source}}},
		"documents, a file":    {"message": "what is it?", "documents": []object{{"title": "a", "file_data": data}}},
		"documents, a video":   {"message": "what is it?", "documents": []object{{"title": "a", "video": object{"data": data}}}},
		"results of tools":     {"message": "what is it?", "tool_results": []object{{"call": object{"name": "see"}, "outputs": []object{{"image": data}}}}},
		"results in a history": {"message": "what is it?", "chat_history": []object{{"role": "TOOL", "tool_results": []object{{"call": object{"name": "see"}, "outputs": []object{{"image": data}}}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings{})
			body["max_tokens"] = 100
			require.GreaterOrEqual(t, reservedInput(t, r, "cohere.command-r-plus-v1:0", body), int64(len(data)))
		})
	}
}

// zipped is an office file of many more bytes than it has packed.
func zipped(t *testing.T, text int) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("word/document.xml")
	require.NoError(t, err)
	_, err = w.Write([]byte("<w:document><w:body><w:p><w:t>" + strings.Repeat("word ", text/5) + "</w:t></w:p></w:body></w:document>"))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.Bytes()
}

// Base64 is decoded by some readers though it has no padding, other letters or white space in it. So what a document unpacks to counts
// however it is spelled.
func TestDocumentsInEverySpellingOfBase64(t *testing.T) {
	const text = 150_000
	docx := zipped(t, text)
	for len(docx)%3 == 0 {
		docx = append(docx, 0)
	}
	padded := base64.StdEncoding.EncodeToString(docx)
	for name, data := range map[string]string{
		"padded":            padded,
		"without padding":   strings.TrimRight(padded, "="),
		"a blank first":     " " + padded,
		"a blank within":    padded[:100] + " " + padded[100:],
		"lines":             padded[:100] + "\r\n" + padded[100:],
		"of URLs":           base64.URLEncoding.EncodeToString(docx),
		"of URLs, no equal": base64.RawURLEncoding.EncodeToString(docx),
		"more at the end":   padded + "!",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings{})
			content := []object{{"text": "sum it up"}, {"document": object{"name": "a", "format": "docx", "source": object{"bytes": data}}}}
			body := object{"inferenceConfig": object{"maxTokens": 100}, "messages": []object{{"role": "user", "content": content}}}
			require.GreaterOrEqual(t, reservedInput(t, r, "amazon.nova-pro-v1:0", body), int64(text))
		})
	}
}

// What an object of content is called and what it says that it is may differ. A service goes by one of the two, so that a document that
// calls itself a picture is bounded as either.
func TestDocumentsThatCallThemselvesPictures(t *testing.T) {
	const text = 150_000
	data := base64.StdEncoding.EncodeToString(zipped(t, text))
	for name, document := range map[string]object{
		"its type":       {"type": "image", "name": "a", "format": "docx", "source": object{"bytes": data}},
		"its media type": {"name": "a", "format": "docx", "source": object{"media_type": "image/png", "bytes": data}},
		"other data":     {"name": "a", "format": "docx", "source": object{"bytes": data, "data": ""}},
		"more data":      {"name": "a", "format": "docx", "source": object{"bytes": data, "data": "AAAA"}},
		"plain text":     {"name": "a", "format": "docx", "source": object{"type": "text", "bytes": data}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settings{})
			content := []object{{"text": "sum it up"}, {"document": document}}
			body := object{"inferenceConfig": object{"maxTokens": 100}, "messages": []object{{"role": "user", "content": content}}}
			require.GreaterOrEqual(t, reservedInput(t, r, "amazon.nova-pro-v1:0", body), int64(text))
		})
	}
}

// The media type of a file may have parameters, capitals and white space, or be one that nobody has told of: what the file unpacks to counts all
// the same.
func TestFilesOfEveryMediaType(t *testing.T) {
	const text = 120_000
	docx := base64.StdEncoding.EncodeToString(zipped(t, text))
	const officeText = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	for _, mediaType := range []string{
		officeText, officeText + ";name=a.docx", officeText + "; charset=utf-8", strings.ToUpper(officeText),
		"application/vnd.openxmlformats-officedocument.presentationml.presentation", "application/zip", "application/octet-stream", "",
	} {
		for name, block := range map[string]object{
			"a data URL": {"type": "file", "file": object{"filename": "a.docx", "file_data": "data:" + mediaType + ";base64," + docx}},
			"Responses":  {"type": "input_file", "filename": "a.docx", "file_data": "data:" + mediaType + ";base64," + docx},
			"a source":   {"type": "document", "source": object{"type": "base64", "media_type": mediaType, "data": docx}},
			"unpadded":   {"type": "input_file", "filename": "a.docx", "file_data": "data:" + mediaType + ";BASE64," + strings.TrimRight(docx, "=") + " "},
		} {
			r := newRig(t, settings{})
			body := object{"max_tokens": 100, "messages": []object{{"role": "user", "content": []object{block}}}}
			assert.GreaterOrEqual(t, reservedInput(t, r, gptOSS, body), int64(text), "%s of type %q", name, mediaType)
		}
	}
}

// reservedInput returns how many input tokens are reserved for a body of InvokeModel.
func reservedInput(t *testing.T, r *rig, model string, body object) int64 {
	raw, err := json.Marshal(body)
	require.NoError(t, err)
	_ = invoke(context.Background(), r.client, model, string(raw)) // whatever the service makes of it
	reserved := r.events.of(bedrockguard.EventReserved)
	require.NotEmpty(t, reserved)
	return reserved[0].Worst[budget.UnitInputTokens]
}
