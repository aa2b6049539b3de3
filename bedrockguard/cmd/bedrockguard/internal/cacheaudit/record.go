package cacheaudit

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache"
)

// record is one call as Bedrock logs it. at is Timestamp, parsed.
type record struct {
	SchemaType      string          `json:"schemaType"` // schemaType in every record
	Timestamp       json.RawMessage `json:"timestamp"`  // raw, because CloudWatch's envelopes have a number under this name
	AccountID       string          `json:"accountId"`
	Region          string          `json:"region"`
	ModelID         string          `json:"modelId"`
	ErrorCode       string          `json:"errorCode"` // empty unless the call failed
	RequestMetadata map[string]any  `json:"requestMetadata"`
	Identity        struct {
		ARN string `json:"arn"`
	} `json:"identity"`
	Input struct {
		Body             json.RawMessage `json:"inputBodyJson"`
		BodyPath         string          `json:"inputBodyS3Path"` // where a body is stored that is too large for the record
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

// envelope is what other tools put around records. CloudWatch puts each record into a string, its deliveries hold several, and its queries return
// rows of columns. An envelope is of one tool, so most fields are empty. The fields of the embedded message and column are fields of an envelope,
// too: an event, or a part of a row, may stand alone.
type envelope struct {
	message            // an event of CloudWatch
	AtMessage loose    `json:"@message"` // a row of a query's result, as an object
	Log       loose    `json:"log"`      // from Fluent Bit
	Source    loose    `json:"_source"`  // from OpenSearch
	Data      packed   `json:"data"`     // from Firehose
	AWSLogs   struct { // from a Lambda function
		Data packed `json:"data"`
	} `json:"awslogs"`
	LogEvents []message  `json:"logEvents"` // a delivery of CloudWatch
	Events    []message  `json:"events"`    // from aws logs filter-log-events
	Records   []envelope `json:"records"`   // from Firehose, each with its Data
	Hits      struct {   // from OpenSearch
		Hits []envelope `json:"hits"`
	} `json:"hits"`
	Results [][]column `json:"results"` // from aws logs get-query-results: rows of columns
	column             // a part of such a row
}

// message is an event of CloudWatch, which has the record in a string.
type message struct {
	Message loose `json:"message"`
}

// loose is JSON, either as it is or in a string.
type loose string

// UnmarshalJSON implements json.Unmarshaler: a string becomes its text, and any other value stays JSON.
func (l *loose) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		*l = loose(text)
	} else {
		*l = loose(raw)
	}
	return nil
}

// packed is data that was compressed with gzip and encoded in base64.
type packed string

// UnmarshalJSON implements json.Unmarshaler, which decodes base64 into bytes. A value in any other form becomes an empty text.
func (p *packed) UnmarshalJSON(raw []byte) error {
	var zipped []byte
	if json.Unmarshal(raw, &zipped) != nil {
		return nil
	}
	in, err := uncompressed(bytes.NewReader(zipped))
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(in, maxLine))
	if err == nil {
		*p = packed(text)
	}
	return nil
}

// column is one field of a row in a result of CloudWatch Logs Insights.
type column struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

// schemaType is what every record says of its own type.
const schemaType = "ModelInvocationLog"

// parseObject calls f with each record in an object, and reports whether everything in it could be read.
func parseObject(object []byte, f func(*record)) bool { return parseNested(object, 0, f) }

// parseNested is parseObject for an object that is inside of depth envelopes. It returns true if the object is a record, an envelope of nothing but
// records, or a part of a query's result that has no record. An envelope that is nested more than maxEnvelopes deep is not opened, and so not read.
func parseNested(object []byte, depth int, f func(*record)) bool {
	var r record
	if json.Unmarshal(object, &r) != nil {
		return false
	}
	if r.SchemaType == schemaType {
		return r.deliver(f)
	}
	var e envelope
	if json.Unmarshal(object, &e) != nil {
		return false
	}
	inner := e.inner()
	if len(inner) == 0 {
		// A column of a query's result may have no record, and a result may have no rows.
		return e.Field != "" || e.Results != nil
	}
	if depth >= maxEnvelopes {
		return false
	}
	allRead := true
	for _, text := range inner {
		read := parseNested([]byte(text), depth+1, f)
		allRead = allRead && read
	}
	return allRead
}

// maxEnvelopes is how many envelopes may be nested.
const maxEnvelopes = 4

// inner returns what is in an envelope: records or further envelopes, as JSON.
func (e *envelope) inner() (all []string) {
	add := func(texts ...string) {
		for _, t := range texts {
			if t != "" {
				all = append(all, t)
			}
		}
	}
	add(string(e.Message), string(e.AtMessage), string(e.Log), string(e.Source), string(e.Data), string(e.AWSLogs.Data))
	for _, m := range append(e.LogEvents, e.Events...) {
		add(string(m.Message))
	}
	for _, list := range [][]envelope{e.Records, e.Hits.Hits} {
		for i := range list {
			add(list[i].inner()...)
		}
	}
	alone := []column{e.column} // the envelope itself may be a column
	for _, row := range append(e.Results, alone) {
		for _, c := range row {
			if c.Field == "@message" {
				add(c.Value)
			}
		}
	}
	return all
}

// deliver calls f with the record if its fields make sense, and reports whether they do. It parses the time, and bodies that are in strings.
func (r *record) deliver(f func(*record)) bool {
	if r.ModelID == "" || json.Unmarshal(r.Timestamp, &r.at) != nil {
		return false
	}
	in, out := &r.Input, &r.Output
	for _, n := range [...]int64{in.Tokens, in.CacheReadTokens, in.CacheWriteTokens, out.Tokens} {
		if n < 0 || n > maxTokens {
			return false
		}
	}
	in.Body, out.Body = unquoted(in.Body), unquoted(out.Body)
	f(r)
	return true
}

// unquoted returns a body as JSON: some tools turn a nested object into a string, whose text is then the JSON.
func unquoted(body json.RawMessage) json.RawMessage {
	var text string
	if len(body) == 0 || body[0] != '"' || json.Unmarshal(body, &text) != nil || !json.Valid([]byte(text)) {
		return body
	}
	return json.RawMessage(text)
}

// maxTokens is more than any call can use.
const maxTokens = 1 << 40

// usage returns the call's usage of input. hourWrites returns which part of the written tokens the response says to be for an hour, and whether it
// says anything, which needs a logged response; else asksHour says whether the request asked for an hour for all of them.
func (r *record) usage(asksHour bool) cache.Usage {
	u := cache.Usage{InputTokens: r.Input.Tokens, CacheReadTokens: r.Input.CacheReadTokens}
	hour, reported := hourWrites(r.Output.Body)
	if !reported && asksHour {
		hour = r.Input.CacheWriteTokens
	}
	u.CacheWrite1hTokens = min(hour, r.Input.CacheWriteTokens)
	u.CacheWrite5mTokens = r.Input.CacheWriteTokens - u.CacheWrite1hTokens
	return u
}

// writeDetails is the breakdown of cache writes by lifetime, in a response of Converse or Claude, or in the events of a stream.
type writeDetails struct {
	Usage struct {
		CacheDetails []struct { // of Converse
			TTL         string `json:"ttl"`
			InputTokens int64  `json:"inputTokens"`
		} `json:"cacheDetails"`
		CacheCreation *struct { // of Claude
			Hour int64 `json:"ephemeral_1h_input_tokens"`
		} `json:"cache_creation"`
	} `json:"usage"`
	Message *writeDetails `json:"message"` // in the first event of Claude's streams, which has its usage inside of a message
}

// hourWrites returns how many tokens a response has written to the cache for an hour, and whether the response reports that. body is an answer,
// or a list of the events of a stream.
func hourWrites(body json.RawMessage) (hour int64, reported bool) {
	if !bytes.Contains(body, []byte(`"cacheDetails"`)) && !bytes.Contains(body, []byte(`"cache_creation"`)) {
		return 0, false
	}
	for _, e := range answerEvents(body) {
		if e.Message != nil {
			e = *e.Message
		}
		for _, d := range e.Usage.CacheDetails {
			reported = true
			if d.TTL == "1h" {
				hour += max(d.InputTokens, 0)
			}
		}
		// Several events may repeat this count, so that the largest one counts. The details above are listed once, and are added up.
		if c := e.Usage.CacheCreation; c != nil {
			reported, hour = true, max(hour, c.Hour)
		}
	}
	return hour, reported
}

// answerEvents returns the events of a stream, or an answer that is none as the only one. What can't be read is empty.
func answerEvents(body json.RawMessage) []writeDetails {
	if body[0] == '[' {
		var events []writeDetails
		_ = json.Unmarshal(body, &events)
		return events
	}
	var answer writeDetails
	_ = json.Unmarshal(body, &answer)
	return []writeDetails{answer}
}

// principal returns who made the call, without the session, which differs between processes.
func (r *record) principal() string {
	_, name, ok := strings.Cut(r.Identity.ARN, ":assumed-role/")
	if ok {
		role, _, _ := strings.Cut(name, "/")
		return "role " + role
	}
	// Any other ARN ends with what the principal is and its name, such as user/NAME.
	if i := strings.LastIndexByte(r.Identity.ARN, ':'); i >= 0 {
		return r.Identity.ARN[i+1:]
	}
	return "unknown principal"
}
