package cost

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

func opaqueBlocks(r *Request) (n int) {
	for _, b := range r.Prompt.Blocks {
		if b.Kind == tokens.Opaque {
			n++
		}
	}
	return n
}

// What the service reads and the body does not hold has no bound but the model's window, and whoever wants none but strict bounds has to
// be told.
func TestParseRequest_WhatTheBodyDoesNotHold(t *testing.T) {
	img := pngBase64(t)
	item := func(s string) string { return `{"input":[{"role":"user","content":"hello"},` + s + `]}` }
	part := func(s string) string { return `{"input":[{"role":"user","content":[` + s + `]}]}` }
	chat := func(s string) string { return `{"messages":[{"role":"user","content":[` + s + `]}]}` }
	for name, tc := range map[string]struct {
		body, unseen string
		opaque       bool
	}{
		"history":                     {`{"input":"hi","previous_response_id":"resp_1"}`, "previous_response_id", true},
		"history, escaped key":        {`{"input":"hi","previous\u005fresponse_id":"resp_1"}`, "previous_response_id", true},
		"no history":                  {`{"input":"hi","previous_response_id":null}`, "", false},
		"conversation":                {`{"input":"hi","conversation":"conv_1"}`, "conversation", true},
		"conversation object":         {`{"input":"hi","conversation":{"id":"conv_1"}}`, "conversation", true},
		"no conversation":             {`{"input":"hi","conversation":null}`, "", false},
		"stored prompt":               {`{"prompt":{"id":"pmpt_1","variables":{"x":"y"}}}`, "prompt", true},
		"prompt in words":             {`{"prompt":"a prompt that is a text"}`, "", false},
		"background":                  {`{"input":"hi","background":true}`, "background", false},
		"background, a word":          {`{"input":"hi","background":"yes"}`, "background", false},
		"no background":               {`{"input":"hi","background":false}`, "", false},
		"item reference":              {item(`{"type":"item_reference","id":"msg_1"}`), "item_reference", true},
		"item reference without type": {item(`{"id":"msg_1"}`), "item_reference", true},
		"item reference of no type":   {item(`{"id":"msg_1","type":null}`), "item_reference", true},
		"message with an id":          {item(`{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text","text":"x"}]}`), "", false},
		"message with an id, no type": {item(`{"id":"msg_1","role":"assistant","content":"x"}`), "", false},
		"reasoning, kept":             {item(`{"type":"reasoning","id":"rs_1","summary":[]}`), "reasoning", true},
		"reasoning, sealed by null":   {item(`{"id":"rs_1","summary":[],"encrypted_content":null,"type":"reasoning"}`), "reasoning", true},
		"reasoning, sealed":           {item(`{"id":"rs_1","summary":[],"encrypted_content":"gAAAAABofK2r3m5pQ","type":"reasoning"}`), "", false},
		"reasoning in words":          {item(`{"id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"first I look at the map"}],"type":"reasoning"}`), "", false},
		"reasoning without an id":     {item(`{"type":"reasoning","summary":[{"type":"summary_text","text":"x"}]}`), "", false},
		"calls and what came of them": {item(`{"type":"function_call","id":"fc_1","call_id":"c","name":"f","arguments":"{\"a\":1}"},{"type":"function_call_output","call_id":"c","output":"done"}`), "", false},
		"an output with an image":     {item(`{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","image_url":"data:image/png;base64,` + img + `"}]}`), "", false},
		"an output with an address":   {item(`{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","image_url":"https://example.com/a.png"}]}`), "image_url", true},
		"what a service's tool did":   {item(`{"type":"web_search_call","id":"ws_1","status":"completed"}`), "item_reference", true},
		"an image that was made":      {item(`{"type":"image_generation_call","id":"ig_1"}`), "item_reference", true},
		"image":                       {part(`{"type":"input_image","image_url":"data:image/png;base64,` + img + `","detail":"high"}`), "", false},
		"image by address":            {part(`{"type":"input_image","image_url":"https://example.com/a.png"}`), "image_url", true},
		"image by a loud address":     {part(`{"type":"input_image","image_url":"HTTPS://EXAMPLE.COM/A.PNG"}`), "image_url", true},
		"image by a padded address":   {part(`{"type":"input_image","image_url":" https://example.com/a.png"}`), "image_url", true},
		"image by a strange address":  {part(`{"type":"input_image","image_url":"ftp://x/a"}`), "image_url", true},
		"image by id":                 {part(`{"type":"input_image","file_id":"file_1"}`), "file_id", true},
		"image, packed strangely":     {part(`{"type":"input_image","image_url":"data:image/svg+xml,%3Csvg/%3E"}`), "", true},
		"image, a loud data URL":      {part(`{"type":"input_image","image_url":"DATA:image/png;base64,` + img + `"}`), "", false},
		"file":                        {part(`{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,` + pdfBase64 + `"}`), "", false},
		"file by address":             {part(`{"type":"input_file","file_url":"https://example.com/a.pdf"}`), "file_url", true},
		"file by id":                  {part(`{"type":"input_file","file_id":"file_1"}`), "file_id", true},
		"video by address":            {part(`{"type":"input_video","video_url":"https://example.com/a.mp4"}`), "video_url", true},
		"chat image by address":       {chat(`{"type":"image_url","image_url":{"url":"http://example.com/a.png"}}`), "image_url", true},
		"chat file by id":             {chat(`{"type":"file","file":{"file_id":"file_1"}}`), "file_id", true},
		"chat video":                  {chat(`{"type":"video_url","video_url":{"url":"data:video/mp4;base64,AAAA"}}`), "", true},
		"chat audio":                  {chat(`{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}`), "", true},
		"an answer in sound, kept":    {`{"messages":[{"role":"assistant","audio":{"id":"audio_1"}}]}`, "audio", true},
		"anthropic address":           {chat(`{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}`), "url", true},
		"anthropic file":              {chat(`{"type":"document","source":{"type":"file","file_id":"file_1"}}`), "file_id", true},
		"S3":                          {chat(`{"image":{"format":"png","source":{"s3Location":{"uri":"s3://b/k"}}}}`), "s3Location", true},
		"words about it":              {chat(`{"type":"text","text":"{\"file_id\":\"file_1\",\"previous_response_id\":\"resp_1\"}"}`), "", false},
		"input of a tool":             {chat(`{"type":"tool_use","id":"t","name":"n","input":{"file_id":"file_1"}}`), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ParseRequest("", []byte(tc.body))
			require.NoError(t, err)
			assert.Equal(t, tc.unseen, r.Unseen)
			assert.Equal(t, tc.opaque, opaqueBlocks(&r) > 0)
		})
	}
}

// A file that is sent as base64 without a media type is read page by page, and not as the text of its base64.
func TestParseRequest_FilesWithoutMediaType(t *testing.T) {
	r, err := ParseRequest("", []byte(`{"input":[{"role":"user","content":[{"type":"input_file","filename":"a.pdf","file_data":"`+pdfBase64+`"}]}]}`))
	require.NoError(t, err)
	require.Len(t, r.Prompt.Blocks, 2, "as text, too")
	assert.Equal(t, pdfBase64, r.Prompt.Blocks[0].Text)
	assert.Equal(t, 2, r.Prompt.Blocks[1].Pages)
	assert.Zero(t, r.Embedded)
	r, err = ParseRequest("", []byte(`{"input":[{"role":"user","content":[{"type":"input_file","file_data":"AAAAAAAAAAAAAAAAAAAAAAAA"}]}]}`))
	require.NoError(t, err)
	_, ok := tokens.UpperBound(&r.Prompt, tokens.LimitsFor(""))
	assert.False(t, ok, "a format that is not known has no bound")
}

func TestParseRequest_Responses(t *testing.T) {
	body := `{"model":"openai.gpt-5.6-sol","stream":true,"instructions":"` + long + `","max_output_tokens":900,"reasoning":{"effort":"high"},"store":false,
		"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true},"verbosity":"low"},
		"input":[{"role":"developer","content":"` + long + `"},{"type":"message","role":"user","content":[{"type":"input_text","text":"` + long + `"}]}],
		"tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":true},{"type":"custom","name":"c","format":{"type":"grammar","syntax":"lark","definition":"start: \"x\""}},{"type":"function","name":"g"}],
		"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]},"prompt_cache_options":{"ttl":"30m"}}`
	r, err := ParseRequest("openai.gpt-5.6-sol", []byte(body))
	require.NoError(t, err)
	assert.Equal(t, "openai.gpt-5.6-sol", r.Model)
	assert.True(t, r.Stream)
	assert.EqualValues(t, 900, r.MaxTokens)
	assert.EqualValues(t, 1, r.Choices)
	assert.Equal(t, 2, r.Prompt.Messages)
	assert.Equal(t, 3, r.Prompt.Tools)
	assert.EqualValues(t, 3, r.Prompt.Hidden.Schemas, "the format of the answer, a strict function and a grammar")
	assert.Empty(t, r.Unseen)
	assert.Empty(t, r.Unpriced)
	r, err = ParseRequest("", []byte(`{"input":"`+long+`"}`))
	require.NoError(t, err)
	assert.Equal(t, 1, r.Prompt.Messages)
	assert.Equal(t, long, r.Prompt.Blocks[0].Text)
}

func TestParseRequest_ToolsOfTheServiceHaveNoTokenPrice(t *testing.T) {
	for tool, want := range map[string]string{
		`{"type":"web_search"}`:                                                "web_search",
		`{"type":"web_search_preview"}`:                                        "web_search",
		`{"type":"code_interpreter","container":{"type":"auto"}}`:              "code_interpreter",
		`{"type":"file_search","vector_store_ids":["vs_1"]}`:                   "file_search",
		`{"type":"mcp","server_label":"l","server_url":"https://example.com"}`: "mcp",
		`{"type":"image_generation"}`:                                          "image_generation",
		`{"type":"computer_use_preview","display_width":1024}`:                 "computer_use",
		`{"type":"computer"}`:                                                  "unknown tool type",
		`{"type":"shell"}`:                                                     "unknown tool type",
		`{"type":"computer_20250124"}`:                                         "",
		`{"type":"custom","name":"c"}`:                                         "",
	} {
		r, err := ParseRequest("", []byte(`{"input":"hi","tools":[`+tool+`,{"type":"function","name":"f"}]}`))
		require.NoError(t, err)
		assert.Equal(t, want, r.Unpriced, tool)
	}
}

func TestParseRequest_ModelAndStream(t *testing.T) {
	for body, want := range map[string]Request{
		`{"model":"a","stream":true}`:                                                  {Model: "a", Stream: true},
		`{"model":"\u0061.b","stream":false}`:                                          {Model: "a.b"},
		`{"model":null,"stream":null}`:                                                 {},
		`{"model":7,"stream":"true"}`:                                                  {},
		`{"model":"two words"}`:                                                        {},
		`{"model":"` + strings.Repeat("m", 2049) + `"}`:                                {},
		`{"model":"a","metadata":{"model":"b","stream":true}}`:                         {Model: "a"},
		`{"additionalModelRequestFields":{"model":"b","stream":true}}`:                 {},
		`{"additionalModelRequestFields":{"thinking":{}},"model":"a","stream":true}`:   {Model: "a", Stream: true},
		`{"model":"a","messages":[{"role":"user","model":"b","content":{"model":1}}]}`: {Model: "a"},
	} {
		r, err := ParseRequest("", []byte(body))
		require.NoError(t, err)
		assert.Equal(t, want.Model, r.Model, body)
		assert.Equal(t, want.Stream, r.Stream, body)
	}
	_, err := ParseRequest("", []byte(`{"model":"dear","model":"cheap"}`))
	assert.ErrorIs(t, err, request.ErrMalformed, "readers disagree about which one counts")
}

func TestSetOutputLimit_Responses(t *testing.T) {
	for model, body := range map[string]string{
		"openai.gpt-5.6-sol": `{"input":"hi"}`,
		"xai.grok-4.6":       `{"input":[]}`,
	} {
		got, ok := SetOutputLimit(OfModel, model, []byte(body), 100)
		require.True(t, ok)
		assert.Equal(t, `{"max_output_tokens":100,`+body[1:], string(got))
	}
	got, ok := SetOutputLimit(OfModel, "openai.gpt-5.6-sol", []byte(`{"messages":[]}`), 100)
	require.True(t, ok)
	assert.Equal(t, `{"max_completion_tokens":100,"messages":[]}`, string(got))
	_, ok = SetOutputLimit(OfModel, "xai.grok-4.6", []byte(`{"messages":[]}`), 100)
	assert.False(t, ok)
}

// A document that is cited is marked up, and what it unpacks to can be more than its bytes.
func TestParseRequest_CitedDocuments(t *testing.T) {
	for _, block := range []string{
		`{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"` + pdfBase64 + `"},"citations":{"enabled":true}}`,
		`{"document":{"citations":{"enabled":true},"format":"pdf","name":"d","source":{"bytes":"` + pdfBase64 + `"}}}`,
	} {
		r, err := ParseRequest("", []byte(`{"messages":[{"role":"user","content":[`+block+`]}]}`))
		require.NoError(t, err)
		require.Len(t, r.Prompt.Blocks, 1)
		assert.True(t, r.Prompt.Blocks[0].Cited)
		r, err = ParseRequest("", []byte(`{"messages":[{"role":"user","content":[`+strings.Replace(block, "true", "false", 1)+`]}]}`))
		require.NoError(t, err)
		assert.False(t, r.Prompt.Blocks[0].Cited)
	}
}

// What a Converse request hands on to the model sets no output limit of Converse's, but a higher one counts.
func TestParseRequest_LimitsBesideConverse(t *testing.T) {
	for body, want := range map[string][2]int64{
		`{"additionalModelRequestFields":{"max_tokens":100}}`:                                                                      {0, 100},
		`{"additionalModelRequestFields":{"max_tokens":100},"inferenceConfig":{"maxTokens":50}}`:                                   {100, 100},
		`{"inferenceConfig":{"maxTokens":500},"additionalModelRequestFields":{"max_tokens":100}}`:                                  {500, 100},
		`{"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":4000}},"inferenceConfig":{"maxTokens":50}}`: {4000, 4000},
		`{"max_tokens":100}`: {100, 0},
	} {
		r, err := ParseRequest("", []byte(body))
		require.NoError(t, err)
		assert.Equal(t, want, [2]int64{r.MaxTokens, r.ExtraTokens}, body)
	}
}

// Of two tiers, or modes, in two places the service can go by either.
func TestParseRequest_TiersInTwoPlaces(t *testing.T) {
	for body, want := range map[string][2]string{
		`{"serviceTier":{"type":"default"},"additionalModelRequestFields":{"service_tier":"priority"}}`:                    {"default", "priority"},
		`{"additionalModelRequestFields":{"service_tier":"priority"},"serviceTier":{"type":"default"}}`:                    {"priority", "default"},
		`{"service_tier":"flex","serviceTier":"flex"}`:                                                                     {"flex", ""},
		`{"service_tier":"flex","serviceTier":null}`:                                                                       {"flex", ""},
		`{"service_tier":"flex","serviceTier":"priority","additionalModelRequestFields":{"service_tier":"default"}}`:       {"unknown", "priority"},
		`{"service_tier":"flex","additionalModelRequestFields":{"service_tier":"flex","serviceTier":{"type":"priority"}}}`: {"flex", "priority"},
	} {
		r, err := ParseRequest("", []byte(body))
		require.NoError(t, err)
		assert.Equal(t, want, [2]string{r.ServiceTier, r.OtherTier}, body)
	}
	for _, body := range []string{
		`{"performanceConfig":{"latency":"optimized"},"additionalModelRequestFields":{"performanceConfig":{"latency":"standard"}}}`,
		`{"additionalModelRequestFields":{"performanceConfig":{"latency":"standard"}},"performanceConfig":{"latency":"optimized"}}`,
	} {
		r, err := ParseRequest("", []byte(body))
		require.NoError(t, err)
		assert.Equal(t, "optimized", r.Latency)
	}
}

// What is told of the model alone is what the whole reading tells, and what one refuses for its form the other does, too.
func FuzzModelOf(f *testing.F) {
	for _, body := range []string{`{"model":"a.b-v1:0","input":"x"}`, `{"model":1}`, `{"model":"a","model":"b"}`, `{"model":"\u0061"}`, `[]`, `{"x":{"model":"a"}}`, "{\"model\":\"a\x00\"}"} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		whole, err := ParseRequest("", body)
		model, light := ModelOf(body)
		if err == nil {
			require.NoError(t, light)
			require.Equal(t, whole.Model, model)
		}
		if light != nil {
			require.ErrorIs(t, light, request.ErrMalformed)
			require.Error(t, err)
		}
	})
}
