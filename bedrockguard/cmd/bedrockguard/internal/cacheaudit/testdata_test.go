package cacheaudit

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the testdata anew")

// The logs in testdata are made up by the code below, and stay what it makes.
func TestTestdataIsWhatTheGeneratorMakes(t *testing.T) {
	for name, want := range generate() {
		name = filepath.Join("testdata", name)
		if *update {
			require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
			require.NoError(t, os.WriteFile(name, pack(t, name, want), 0o644))
		}
		f, err := os.Open(name)
		require.NoError(t, err)
		defer f.Close()
		r, err := uncompressed(f)
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.True(t, want == string(got), "%s is not what the generator makes: run go test -update", name)
	}
}

func pack(t testing.TB, name, text string) []byte {
	if !strings.HasSuffix(name, ".gz") {
		return []byte(text)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.Bytes()
}

const (
	sonnet = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
	nova   = "amazon.nova-lite-v1:0"
	folder = "AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1/2026/11/20/"
)

type object = map[string]any

// generate makes up a morning of logs, by file.
func generate() map[string]string {
	g := generator{random: rand.New(rand.NewPCG(20, 26)), at: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)}
	var morning, later, export strings.Builder
	refactor, review := g.talk("nightly-refactor", false), g.talk("review-bot", true)
	for range 8 {
		morning.WriteString(refactor() + "\n" + review() + "\n")
	}
	for range 6 {
		later.WriteString(g.support() + "\n")
	}
	later.WriteString(g.line(object{"workflow": "support-chat"}, sonnet, "InvokeModel", object{}, nil, "ThrottlingException") + "\n")
	later.WriteString(g.line(nil, "acme.oracle-v1", "InvokeModel", object{"inputBodyJson": object{"prompt": "?"}, "inputTokenCount": 9}, object{"outputTokenCount": 4}, "") + "\n")
	archive, stored := g.archive()
	later.WriteString(archive)
	for i := range 4 {
		record := g.search()
		if i%2 == 0 {
			wrapped, _ := json.Marshal(object{"logStreamName": "aws/bedrock/modelinvocations", "message": record})
			record = string(wrapped)
		} else {
			record = g.at.Format("2006-01-02T15:04:05.000Z ") + record
		}
		export.WriteString(record + "\n")
	}
	files := map[string]string{
		folder + "09/20261120T090000000Z_1f.json.gz": morning.String(),
		folder + "10/20261120T100000000Z_2e.json.gz": later.String(),
		"cloudwatch-export.log":                      export.String(),
	}
	for name, body := range stored {
		files[folder+"10/data/"+name] = body
	}
	return files
}

type generator struct {
	random *rand.Rand
	at     time.Time
	n      int
}

// words returns prose of about so many bytes.
func (g *generator) words(n int) string {
	vocabulary := strings.Fields("the build file test module cache prompt token error line code review change function returns value when a of to and is not in for with each request service limit check before after")
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(vocabulary[g.random.IntN(len(vocabulary))])
		b.WriteByte(' ')
	}
	return b.String()
}

// line returns one record.
func (g *generator) line(metadata object, model, operation string, input, output object, failure string) string {
	g.n++
	g.at = g.at.Add(30 * time.Second)
	r := object{
		"schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": g.at.Format(time.RFC3339), "accountId": "123456789012",
		"region": "us-east-1", "requestId": fmt.Sprintf("00000000-0000-4000-8000-%012d", g.n), "operation": operation, "modelId": model,
		"identity": object{"arn": "arn:aws:sts::123456789012:assumed-role/search-api/i-0abc"}, "input": input, "output": output,
	}
	if metadata != nil {
		r["requestMetadata"] = metadata
	}
	if failure != "" {
		r["errorCode"] = failure
	}
	text, _ := json.Marshal(r)
	return string(text)
}

func tokens(v any) int {
	text, _ := json.Marshal(v)
	return len(text) / 4
}

// talk returns a conversation over Converse that grows by a turn with each call, with or without cache points.
func (g *generator) talk(workflow string, points bool) func() string {
	system := []object{{"text": g.words(8000)}}
	if points {
		system = append(system, object{"cachePoint": object{"type": "default"}})
	}
	var history []object
	cached := 0
	return func() string {
		content := []object{{"text": g.words(1500)}}
		turn := object{"role": "user", "content": content}
		history = append(history, turn)
		total := tokens(system) + tokens(history)
		usage := object{"inputTokenCount": total}
		if points {
			turn["content"] = append(content, object{"cachePoint": object{"type": "default"}})
			usage = object{"inputTokenCount": 3, "cacheReadInputTokenCount": cached, "cacheWriteInputTokenCount": total - cached}
			cached = total
		}
		usage["inputContentType"] = "application/json"
		usage["inputBodyJson"] = object{"system": system, "messages": history, "inferenceConfig": object{"maxTokens": 1000}}
		record := g.line(object{"workflow": workflow}, sonnet, "ConverseStream", usage, object{"outputTokenCount": 90}, "")
		turn["content"] = content
		history = append(history, object{"role": "assistant", "content": []object{{"text": g.words(300)}}})
		return record
	}
}

// support returns a call of a chat whose system prompt begins with the time.
func (g *generator) support() string {
	system := fmt.Sprintf("Current time: %s\n%s", g.at.Format("15:04:05"), strings.Repeat("Be kind to the customer, and brief. ", 200))
	body := object{
		"anthropic_version": "bedrock-2023-05-31", "max_tokens": 500,
		"system":   []object{{"type": "text", "text": system, "cache_control": object{"type": "ephemeral"}}},
		"messages": []object{{"role": "user", "content": []object{{"type": "text", "text": "Where is my order number " + g.words(40)}}}},
	}
	written := tokens(system)
	return g.line(object{"workflow": "support-chat"}, sonnet, "InvokeModel",
		object{"inputBodyJson": body, "inputTokenCount": 30, "cacheReadInputTokenCount": 0, "cacheWriteInputTokenCount": written},
		object{"outputTokenCount": 60, "outputBodyJson": object{"usage": object{"input_tokens": 30, "cache_creation": object{"ephemeral_5m_input_tokens": written}}}}, "")
}

// archive returns two calls whose bodies are stored apart, one of them out of reach, and the bodies.
func (g *generator) archive() (lines string, stored map[string]string) {
	body, _ := json.Marshal(object{"messages": []object{{"role": "user", "content": []object{{"text": g.words(9000)}}}}})
	for i := range 2 {
		name := fmt.Sprintf("00000000-0000-4000-8000-%012d_input.json.gz", g.n+1)
		if i == 0 {
			stored = map[string]string{name: string(body)}
		}
		lines += g.line(object{"workflow": "archive"}, sonnet, "Converse",
			object{"inputBodyS3Path": "s3://logs/" + folder + "10/data/" + name, "inputTokenCount": 2250}, object{"outputTokenCount": 200}, "") + "\n"
	}
	return lines, stored
}

// search returns a short call to Nova, of which nothing is worth caching.
func (g *generator) search() string {
	body := object{"messages": []object{{"role": "user", "content": []object{{"text": "Rephrase as a query: " + g.words(80)}}}}}
	return g.line(nil, nova, "Converse", object{"inputBodyJson": body, "inputTokenCount": 30}, object{"outputTokenCount": 12}, "")
}
