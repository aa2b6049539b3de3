package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache"
)

// record is one call as Bedrock logs it.
type record struct {
	SchemaType      string          `json:"schemaType"`
	Timestamp       json.RawMessage `json:"timestamp"` // a number in what CloudWatch puts around records
	AccountID       string          `json:"accountId"`
	Region          string          `json:"region"`
	ModelID         string          `json:"modelId"`
	ErrorCode       string          `json:"errorCode"`
	RequestMetadata map[string]any  `json:"requestMetadata"`
	Identity        struct {
		ARN string `json:"arn"`
	} `json:"identity"`
	Input struct {
		Body             json.RawMessage `json:"inputBodyJson"`
		BodyPath         string          `json:"inputBodyS3Path"`
		Tokens           int64           `json:"inputTokenCount"` // neither read from the cache nor written to it
		CacheReadTokens  int64           `json:"cacheReadInputTokenCount"`
		CacheWriteTokens int64           `json:"cacheWriteInputTokenCount"`
	} `json:"input"`
	Output struct {
		Body   json.RawMessage `json:"outputBodyJson"`
		Tokens int64           `json:"outputTokenCount"`
	} `json:"output"`
	at time.Time
}

// logLine is a record, or what may be around some: CloudWatch puts each into a string, and deliveries from there hold several.
type logLine struct {
	record
	Message   string    `json:"message"`
	AtMessage string    `json:"@message"`
	LogEvents []message `json:"logEvents"`
	Events    []message `json:"events"`
}

type message struct {
	Message string `json:"message"`
}

const schemaType = "ModelInvocationLog"

// parseLine calls f with each record of a line, and reports whether the line was understood. CloudWatch's own exports begin
// lines with the time.
func parseLine(line []byte, f func(*record)) bool {
	if i := bytes.IndexByte(line, '{'); i > 0 && i < 64 {
		line = line[i:]
	}
	var l logLine
	if json.Unmarshal(line, &l) != nil {
		return false
	}
	if l.SchemaType == schemaType {
		return l.record.deliver(f)
	}
	messages := append(l.LogEvents, l.Events...)
	for _, m := range [...]string{l.Message, l.AtMessage} {
		if m != "" {
			messages = append(messages, message{m})
		}
	}
	ok := len(messages) > 0
	for _, m := range messages {
		var r record
		ok = json.Unmarshal([]byte(m.Message), &r) == nil && r.deliver(f) && ok
	}
	return ok
}

// deliver calls f with the record, unless it is none.
func (r *record) deliver(f func(*record)) bool {
	if r.SchemaType != schemaType || r.ModelID == "" || json.Unmarshal(r.Timestamp, &r.at) != nil {
		return false
	}
	in, out := &r.Input, &r.Output
	for _, n := range [...]int64{in.Tokens, in.CacheReadTokens, in.CacheWriteTokens, out.Tokens} {
		if n < 0 || n > maxTokens {
			return false
		}
	}
	f(r)
	return true
}

// maxTokens is what no call can use.
const maxTokens = 1 << 40

// usage returns what the call consumed of input. A response that was logged says how long the written tokens live; else it
// is what the request asked for.
func (r *record) usage(asksHour bool) cache.Usage {
	u := cache.Usage{InputTokens: r.Input.Tokens, CacheReadTokens: r.Input.CacheReadTokens}
	hour, told := hourWrites(r.Output.Body)
	if !told && asksHour {
		hour = r.Input.CacheWriteTokens
	}
	u.CacheWrite1hTokens = min(hour, r.Input.CacheWriteTokens)
	u.CacheWrite5mTokens = r.Input.CacheWriteTokens - u.CacheWrite1hTokens
	return u
}

// writeDetails is the breakdown of cache writes in a response of Converse, of Claude, or in the events of a stream.
type writeDetails struct {
	Usage struct {
		CacheDetails []struct {
			TTL         string `json:"ttl"`
			InputTokens int64  `json:"inputTokens"`
		} `json:"cacheDetails"`
		CacheCreation *struct {
			Hour int64 `json:"ephemeral_1h_input_tokens"`
		} `json:"cache_creation"`
	} `json:"usage"`
	Message *writeDetails `json:"message"`
}

// hourWrites returns how many tokens a response says were written for an hour, and whether it says anything.
func hourWrites(body json.RawMessage) (hour int64, told bool) {
	if !bytes.Contains(body, []byte(`"cacheDetails"`)) && !bytes.Contains(body, []byte(`"cache_creation"`)) {
		return 0, false
	}
	var events []writeDetails
	if body[0] == '[' {
		_ = json.Unmarshal(body, &events)
	} else {
		events = make([]writeDetails, 1)
		_ = json.Unmarshal(body, &events[0])
	}
	for _, e := range events {
		if e.Message != nil {
			e = *e.Message
		}
		for _, d := range e.Usage.CacheDetails {
			told = true
			if d.TTL == "1h" {
				hour += max(d.InputTokens, 0)
			}
		}
		if c := e.Usage.CacheCreation; c != nil {
			told, hour = true, max(hour, c.Hour)
		}
	}
	return hour, told
}

// principal names who called, without the session, which differs from one process to the next.
func (r *record) principal() string {
	_, name, ok := strings.Cut(r.Identity.ARN, ":assumed-role/")
	if ok {
		role, _, _ := strings.Cut(name, "/")
		return "role " + role
	}
	if i := strings.LastIndexByte(r.Identity.ARN, ':'); i >= 0 {
		return r.Identity.ARN[i+1:]
	}
	return "unknown principal"
}
