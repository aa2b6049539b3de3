package main

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
)

// replay sends the calls of one recording to a simulator and compares. For each call the simulator is given the recorded answer as its script
// (next) and the time of the recording (now). Calls that can't be compared are only counted.
func (r *report) replay(calls []*call) error {
	var next bedrocktest.Reply
	now := time.Now()
	server, err := bedrocktest.Start(bedrocktest.Options{
		Region: calls[0].region(), FirstByteDelay: -1, Clock: func() time.Time { return now },
		Reply: func(bedrocktest.Request) bedrocktest.Reply { return next },
		Names: names, Models: endpoints,
	})
	if err != nil {
		return err
	}
	defer server.Close()
	for _, c := range calls {
		if reason := c.notComparable(); reason != "" {
			r.excluded[reason]++
			continue
		}
		recorded := parse(c.Status, c.AnswerHeaders, c.Answer)
		next = script(recorded)
		// Without a date the time stays that of the call before.
		if at := c.date(); !at.IsZero() {
			now = at
		}
		if err := r.replayCall(server, c, recorded); err != nil {
			return err
		}
	}
	return nil
}

// replayCall sends one call, and compares the answer and the input tokens with the recorded ones. Only a call that the simulator has billed has
// tokens to compare.
func (r *report) replayCall(server *bedrocktest.Server, c *call, recorded answer) error {
	before := len(server.Inferences())
	got, err := send(server, c)
	if err != nil {
		return err
	}
	r.compare(c, recorded, got)
	if all := server.Inferences(); len(all) > before && recorded.status == http.StatusOK {
		i := all[len(all)-1]
		r.count(c, recorded.input(), float64(i.InputTokens+i.CacheReadTokens+i.CacheWrite5mTokens+i.CacheWrite1hTokens))
	}
	return nil
}

// names are the models of application profiles in the recordings, whose ids do not show them.
var names = map[string]string{
	"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/1arbu5hu2sjr": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
	"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/mi1dadi0g15f": "us.amazon.nova-micro-v1:0",
	"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/otnfa2ysixqd": "amazon.titan-embed-text-v2:0",
}

// endpoints are the models in the recordings that only their owners have.
var endpoints = []bedrocktest.Model{{ID: "arn:aws:sagemaker:us-east-1:767398002385:endpoint/endpoint-quick-start-idr7y", Like: "meta.llama3-8b-instruct-v1:0"}}

// send sends a recorded call to the simulator, and returns its answer. Of the recorded headers it sends Bedrock's own.
func send(server *bedrocktest.Server, c *call) (answer, error) {
	request, err := http.NewRequest(c.method(), server.URL()+c.Path, bytes.NewReader(c.Body))
	if err != nil {
		return answer{}, err
	}
	for name, value := range c.Headers {
		if strings.HasPrefix(name, "x-amzn-bedrock") {
			request.Header.Set(name, value)
		}
	}
	// By the Host the simulator knows that bedrock-mantle is called. Some recordings have a placeholder for the region.
	if strings.Contains(c.Host, "mantle") {
		request.Host = strings.ReplaceAll(c.Host, "<AWS_REGION>", "us-east-1")
	}
	request.Header.Set("Authorization", "Bearer simulated")
	request.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	headers := map[string]string{}
	for name := range res.Header {
		headers[strings.ToLower(name)] = res.Header.Get(name)
	}
	a := parse(res.StatusCode, headers, raw)
	return a, nil
}

// compare compares an answer with the recorded one: the status; of errors, the type and the wording; of other answers, the shape, the headers, the
// order of the events and the fields with token counts. Each respect has a tally of its own, except the wording of errors, which is only printed.
// differs prints a difference, if the command line asks for that.
func (r *report) compare(c *call, recorded, got answer) {
	if !r.compareStatus(c, recorded, got) {
		return
	}
	if got.status != http.StatusOK {
		if recorded.errType != "" {
			r.types.add(recorded.errType == got.errType)
		}
		// The two are printed even if they are the same.
		r.differs(c, "wording %q, recorded %q", got.body["message"], recorded.body["message"])
		return
	}
	r.compareShape(c, recorded, got)
	r.compareHeaders(c, recorded, got)
	if len(recorded.events) > 0 { // a stream
		agreed := recorded.order() == got.order()
		r.events.add(agreed)
		if !agreed {
			r.differs(c, "events %s; recorded %s", got.order(), recorded.order())
		}
	}
	r.compareFields(c, recorded, got)
}

// compareStatus compares the status, which has a tally for all calls, one for those to living models, and one for each family. It reports whether the
// two are the same.
func (r *report) compareStatus(c *call, recorded, got answer) bool {
	same := recorded.status == got.status
	r.all.add(same)
	if c.living() {
		r.living.add(same)
	}
	if !same {
		r.differs(c, "status %d, recorded %d: %v; recorded %v; living %v", got.status, recorded.status, got.body["message"], recorded.body["message"], c.living())
	}
	family := c.family()
	if r.byFamily[family] == nil {
		r.byFamily[family] = new(tally)
	}
	r.byFamily[family].add(same)
	return same
}

// compareShape compares which fields the two answers have.
func (r *report) compareShape(c *call, recorded, got answer) {
	difference, agreed := sameShape(recorded, got)
	if strings.HasPrefix(c.operation(), "converse") {
		r.shapes.add(agreed)
	} else {
		r.others.add(agreed)
	}
	if !agreed {
		r.differs(c, "shape: %s", difference)
	}
}

// compareHeaders compares the names of the service's own headers, unless the recording has lost them.
func (r *report) compareHeaders(c *call, recorded, got answer) {
	own := func(a answer) (names []string) {
		for name := range a.headers {
			if strings.HasPrefix(name, "x-amzn-") && name != "x-amzn-requestid" {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	want, have := own(recorded), own(got)
	if recorded.headers["x-amzn-requestid"] == "" { // each answer of the service has it, so its headers were removed from the recording
		return
	}
	r.headers.add(slices.Equal(want, have))
	if !slices.Equal(want, have) {
		r.differs(c, "headers %v, recorded %v", have, want)
	}
}

// compareFields compares which counts of tokens the two answers have, by name. A count that the service added after the call was recorded may be
// missing in the recording.
func (r *report) compareFields(c *call, recorded, got answer) {
	want, have := recorded.fields(), got.fields()
	if len(want) == 0 {
		return
	}
	agreed := true
	for _, f := range have {
		if !slices.Contains(want, f) && !c.older(f) {
			agreed = false
			r.fields["the simulator alone has "+f]++
			r.differs(c, "the simulator alone has %s %s", f, c.date().Format(time.DateOnly))
		}
	}
	for _, f := range want {
		if !slices.Contains(have, f) {
			agreed = false
			r.fields["the recording alone has "+f]++
			r.differs(c, "the recording alone has %s", f)
		}
	}
	r.usage.add(agreed)
}

// since says when a field was first recorded. Calls from before that day, or of an unknown day, need not have it.
var since = map[string]string{
	"serverToolUsage": "2025-10-01",
	"cacheDetails":    "2026-01-26", "cache_creation": "2025-10-01",
	"cache_creation_input_tokens": "2025-09-24", "cache_read_input_tokens": "2025-09-24",
	"cacheReadInputTokenCount": "2025-02-13", "cacheWriteInputTokenCount": "2025-02-13",
	"metrics.cacheReadInputTokenCount": "2025-02-13", "metrics.cacheWriteInputTokenCount": "2025-02-13",
}

// older reports whether a call was recorded before the service had a field. A call of an unknown day has the zero time, which is before all days.
func (c *call) older(field string) bool {
	first, known := since[field]
	return known && c.date().Format(time.DateOnly) < first
}

// count adds the ratio of the input tokens that the simulator counted to those that the service billed. A request that is repeated counts once.
func (r *report) count(c *call, recorded, counted float64) {
	key := c.Path + "\x00" + string(c.Body)
	if recorded <= 0 || r.seen[key] {
		return
	}
	r.seen[key] = true
	ratio := counted / recorded
	r.ratios[c.kind()] = append(r.ratios[c.kind()], ratio)
	r.differs(c, "counted %.0f, recorded %.0f, ratio %.2f, kind %s, bytes %d", counted, recorded, ratio, c.kind(), len(c.Body))
}
