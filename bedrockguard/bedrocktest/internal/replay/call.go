package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// call is one recorded call.
type call struct {
	Repository    string            `json:"repository"`
	File          string            `json:"file"`
	Host          string            `json:"host"`
	Path          string            `json:"path"`
	Headers       map[string]string `json:"headers"`
	Body          []byte            `json:"body"`
	Status        int               `json:"status"`
	AnswerHeaders map[string]string `json:"answerHeaders"`
	Answer        []byte            `json:"answer"`

	index int // in its file
}

// bedrock reports whether the call went to Bedrock: a recording may have calls of other services.
func (c *call) bedrock() bool { return strings.Contains(c.Host, "bedrock") }

// model returns the id in the call's path or body.
func (c *call) model() string {
	if rest, ok := strings.CutPrefix(c.Path, "/model/"); ok {
		id, _, _ := strings.Cut(rest, "/")
		id, _ = url.PathUnescape(id)
		return id
	}
	var body struct{ Model string }
	_ = json.Unmarshal(c.Body, &body)
	return body.Model
}

// operation returns the last part of the path, such as converse.
func (c *call) operation() string { return c.Path[strings.LastIndex(c.Path, "/")+1:] }

// method returns the HTTP method, which follows from the path if the recording has none.
func (c *call) method() string {
	if strings.HasSuffix(c.Path, "/models") {
		return http.MethodGet
	}
	return http.MethodPost
}

// region returns where the call was sent; us-east-1 if the recording does not say.
func (c *call) region() string {
	parts := strings.Split(c.Host, ".")
	// A host is bedrock-runtime.us-east-1.amazonaws.com: the name of a region has two hyphens.
	if len(parts) > 1 && strings.Count(parts[1], "-") == 2 {
		return parts[1]
	}
	return "us-east-1"
}

// date returns when the call was recorded; zero if the recording does not say.
func (c *call) date() time.Time {
	at, err := http.ParseTime(c.AnswerHeaders["date"])
	if err != nil {
		return time.Time{}
	}
	return at
}

// retired are the families that can't be called any more, with their kind (AWS's model lifecycle page, read 2026-11).
var retired = []string{
	"ai21.j2", "amazon.titan-text", "amazon.titan-tg1", "anthropic.claude-v2", "anthropic.claude-instant", "anthropic.claude-3-", "cohere.command-text",
	"cohere.command-light", "cohere.command-r", "meta.llama2", "meta.llama3-8b", "meta.llama3-70b", "mistral.mistral-large-2402",
}

// living reports whether the call's model can still be called.
func (c *call) living() bool {
	for _, family := range retired {
		if strings.Contains(c.model(), family) {
			return false
		}
	}
	return true
}

// notComparable says why a call can't be compared with the simulator; empty if it can.
func (c *call) notComparable() string {
	edited := map[string]string{ // names of files with answers that a person wrote
		"test_bedrock_prompt_caching_metrics": "prompt shortened by hand", // 17 tokens that were billed as 18,118
		"test_video_url_input":                "request edited by hand",   // an image as a video of the format video/mp4
		"missing-token-counts":                "answer edited by hand", "empty-minimal": "answer edited by hand",
		"adds-amazon-nova-model-attributes": "answer edited by hand", "adds-mistral": "answer edited by hand",
	}
	for part, reason := range edited {
		if strings.Contains(c.File, part) {
			return reason
		}
	}
	switch {
	case c.Status == http.StatusForbidden:
		return "refused for its credentials or its account"
	case len(c.Body) > 0 && !json.Valid(c.Body):
		return "the recording damaged the request"
	case strings.Contains(string(c.Body), "<MASSIVE_TEXT>"), strings.Contains(string(c.Body), "**REDACTED**"):
		return "the prompt was redacted"
	}
	return ""
}

// family returns the name under which calls are counted.
func (c *call) family() string {
	id := c.model()
	switch {
	case strings.Contains(id, "embed"):
		return "embeddings"
	case strings.Contains(id, "anthropic."):
		return "Claude"
	case strings.Contains(id, "amazon.nova"):
		return "Nova"
	default:
		return "others"
	}
}

// kind returns the name under which the ratio of counted to billed tokens is listed: the family, and what of the request is hardest to count.
func (c *call) kind() string {
	family := c.family()
	if family == "embeddings" {
		return family
	}
	body := string(c.Body)
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(body, `"`+p+`"`) {
				return true
			}
		}
		return false
	}
	switch {
	case has("outputConfig", "output_config", "output_format"):
		return family + " outputConfig"
	case has("video", "audio"):
		return family + " video, audio"
	case has("document"):
		return family + " documents"
	case has("image", "image_url"):
		return family + " images"
	case has("toolConfig", "tools"):
		return family + " tools"
	default:
		return family + " text"
	}
}
