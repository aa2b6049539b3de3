package cost_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/internal/request/cost"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// What a service fetches from an address has no size here, whatever the name under which a dialect has the address.
func TestAddressesOfMediaAreUnseen(t *testing.T) {
	for _, part := range []string{
		`{"type":"document_url","document_url":"https://example.com/book.pdf"}`,
		`{"type":"document_url","document_url":{"url":"https://example.com/book.pdf"}}`,
		`{"type":"video","video":"https://example.com/film.mp4"}`,
		`{"type":"video","video":["https://example.com/1.png","https://example.com/2.png"]}`,
		`{"video":"s3://bucket/film.mp4"}`,
		`{"type":"audio","audio":"https://example.com/talk.wav"}`,
		`{"type":"audio_url","audio_url":["https://example.com/talk.wav"]}`,
		`{"type":"image","url":"https://example.com/big.png"}`,
		`{"url":"HTTPS://example.com/film.mp4","type":"video"}`,
		`{"type":"image_url","image_url":{"uri":"gs://bucket/big.png"}}`,
		`{"type":"document","document":"https://example.com/book.pdf"}`,
		`{"type":"file","file":{"url":"https://example.com/book.pdf"}}`,
		`{"type":"input_audio","input_audio":"https://example.com/talk.wav"}`,
		`{"type":"tool_result","content":[{"type":"pdf_url","pdf_url":"https:\/\/example.com\/book.pdf"}]}`,
	} {
		r, err := cost.ParseRequestIn(cost.Chat, "mistral.mistral-large-3-675b-instruct", []byte(fmt.Sprintf(`{"messages":[{"role":"user","content":[%s]}]}`, part)))
		require.NoError(t, err)
		require.NotEmpty(t, r.Unseen, part)
		_, bounded := tokens.UpperBound(&r.Prompt, tokens.LimitsFor("mistral"))
		require.False(t, bounded, part)
	}
	for _, part := range []string{
		`{"type":"text","text":"https://example.com/big.png"}`,
		`{"type":"web_search_result","url":"https://example.com/page","title":"a page","encrypted_content":"abc"}`,
		`{"type":"text","text":"as told","annotations":[{"type":"url_citation","url":"https://example.com/page","title":"a page"}]}`,
		`{"type":"search_result","source":"https://example.com/page","title":"a page","content":[{"type":"text","text":"words"}]}`,
		`{"type":"tool_use","id":"1","name":"fetch","input":{"url":"https://example.com/page","image_url":"https://example.com/big.png"}}`,
		`{"type":"document_url","document_url":"data:text/plain;base64,aGVsbG8="}`,
		`{"type":"text","text":"as told","citations":[{"type":"web_search_result_location","url":"https://example.com/page","cited_text":"words"}]}`,
	} {
		r, err := cost.ParseRequestIn(cost.Chat, "mistral.mistral-large-3-675b-instruct", []byte(fmt.Sprintf(`{"messages":[{"role":"user","content":[%s]}]}`, part)))
		require.NoError(t, err)
		require.Empty(t, r.Unseen, part)
		_, bounded := tokens.UpperBound(&r.Prompt, tokens.LimitsFor("mistral"))
		require.True(t, bounded, part)
	}
}
