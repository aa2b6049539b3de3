package wire

import (
	"net/http"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
)

// The readers here embed a JSON scanner: Peek returns the first byte of the next value, and Skip, Value, Text, Object and Array read that value.
// Object and Array call a function for each member or element, which has to read it.

// ParseUsage reads the usage of a unary response: Bedrock's count headers, and the body in any dialect, including Converse's. provider is the
// maker's name in the model id, such as "anthropic": it decides whether an input count includes cached tokens. writes is the longest lifetime
// for which the request may write to the prompt cache: writes count for it where the answer does not say for how long they are. It reports false
// when the response has no input count, or when it has no output count and is no embedding: charge the reservation then. Where headers and body
// differ, the larger count of each class is taken. It returns request.ErrMalformed for counts that are not plain non-negative integers, and for
// a body that is not one JSON object.
func ParseUsage(provider string, writes price.CacheWrites, header http.Header, body []byte) (Reported, bool, error) {
	bedrock, err := headerCounts(header)
	if err != nil {
		return Reported{}, false, err
	}
	var r usageReader
	if err := r.scanObject(body, r.field); err != nil {
		return Reported{}, false, err
	}
	// Bedrock's own counters are in the header, or in the body under amazon-bedrock-invocationMetrics.
	bedrock.raise(&r.bedrock)
	hasInput := bedrock.has[countInput] || r.body.has[countInput]
	hasOutput := bedrock.has[countOutput] || r.body.has[countOutput] || r.embedding // an embedding has no output tokens to tell
	if !hasInput || !hasOutput {
		return Reported{}, false, nil
	}
	out := r.served // tier, latency, model and guardrails, from the body
	out.read(merge(&bedrock, &r.body, provider, writes))
	headerServed(header, &out)
	return out, true, nil
}

// read takes over the usage that follows from the counters.
func (r *Reported) read(from reading) {
	r.Usage, r.CountedTwice, r.Disagrees = from.usage, from.twice, from.disagrees
}

// headerCounts reads the counters that Bedrock puts in the header of InvokeModel responses.
func headerCounts(h http.Header) (counts, error) {
	var c counts
	for _, v := range [...]struct {
		name  string
		field countField
	}{
		{"X-Amzn-Bedrock-Input-Token-Count", countInput},
		{"X-Amzn-Bedrock-Output-Token-Count", countOutput},
		{"X-Amzn-Bedrock-Cache-Read-Input-Token-Count", countRead},
		{"X-Amzn-Bedrock-Cache-Write-Input-Token-Count", countWrite},
	} {
		for _, s := range h.Values(v.name) {
			n, err := jsonscan.Digits(s)
			if err != nil || n > maxCount {
				return counts{}, &request.MalformedError{Field: v.name, Reason: "not a plain non-negative integer"}
			}
			c.set(v.field, n)
		}
	}
	return c, nil
}

// headerServed fills in service tier and latency from the headers where the body did not have them. Label returns nothing for text that is no
// plain name.
func headerServed(h http.Header, r *Reported) {
	if r.ServiceTier == "" {
		r.ServiceTier = request.Label(h.Get("X-Amzn-Bedrock-Service-Tier"))
	}
	if r.Latency == "" {
		r.Latency = request.Label(h.Get("X-Amzn-Bedrock-PerformanceConfig-Latency"))
	}
}

// usageReader finds usage in a response body, or in one event of a stream.
type usageReader struct {
	scanner
	body      counts   // the counters of the model's own dialect
	bedrock   counts   // amazon-bedrock-invocationMetrics
	served    Reported // what is told to the caller: besides usage the model, the tier, the latency mode and guardrails
	embedding bool     // the body holds vectors or rankings: it has no output tokens
	finished  bool     // a stop reason, or the event that ends the answer
	metadata  bool     // Nova's and Converse's event that closes a stream
	choosing  bool     // a chunk of a chat that holds choices: its counters may be a running sum (see streamSum.learn)
	routed    bool     // a prompt router has named the model, which counts more than the name in the body
}

// field reads a field of an object that may hold usage: the body, an event, or an object in it.
func (r *usageReader) field(key string) error {
	switch c := r.Peek(); {
	case (key == "usage" || key == "meta") && c == '{':
		// Cohere has its counters under meta.
		return r.counters(&r.body)
	case key == "amazon-bedrock-invocationMetrics" && c == '{':
		return r.counters(&r.bedrock)
	case (key == "message" || key == "response") && c == '{': // message_start, response.completed
		return r.Object(r.field)
	case key == "metadata" && c == '{':
		return r.Object(r.metadataField)
	case key == "results" && c == '[':
		return r.titanResults()
	case key == "serviceTier" || key == "service_tier":
		return r.tier()
	case key == "performanceConfig" && c == '{':
		return r.latency()
	case key == "model" && c == '"' && !r.routed:
		return r.model()
	case (key == "trace" || key == "amazon-bedrock-trace") && c == '{':
		return r.trace()
	}
	return r.plainField(key)
}

// metadataField reads a field of metadata, in which Nova reports its usage. In OpenAI's answers metadata holds strings of the caller's, which
// are not read.
func (r *usageReader) metadataField(key string) error {
	if r.Peek() != '{' {
		return r.Skip()
	}
	r.metadata = r.metadata || key == "usage"
	return r.field(key)
}

// plainField reads a field of an object that may hold usage, if it is one that field leaves to it: a single counter, a field that tells what kind of
// answer it is, or one that shows that the answer has ended. Any other is passed over.
func (r *usageReader) plainField(key string) error {
	switch key {
	// The counters that Titan and Llama have in the body itself, and not in an object.
	case "inputTextTokenCount", "prompt_token_count", "generation_token_count", "totalOutputTextTokenCount":
		return r.counter(&r.body, key)
	case "embedding", "embeddings", "embeddingsByType":
		// The value itself is skipped at the end.
		r.embedding = true
	case "type":
		return r.eventType()
	case "stop_reason", "stopReason", "completionReason", "finish_reason":
		raw, err := r.Value()
		// Events before the end have the field with null.
		r.finished = r.finished || err == nil && raw != "null"
		return err
	case "delta": // Anthropic's message_delta has the stop reason in it
		if r.Peek() == '{' {
			return r.Object(r.stopReasonField)
		}
	case "choices": // OpenAI's chat has a stop reason in each
		if r.Peek() == '[' {
			return r.Array(r.choice)
		}
	}
	return r.Skip()
}

// choice reads one element of OpenAI's choices, for its stop reason.
func (r *usageReader) choice() error {
	r.choosing = true // in a stream, the counters of a chunk with choices may be a running sum
	if r.Peek() != '{' {
		return r.Skip()
	}
	return r.Object(r.stopReasonField)
}

// stopReasonField reads a field of a delta or a choice, of which only the stop reason matters.
func (r *usageReader) stopReasonField(key string) error {
	if key == "stop_reason" || key == "finish_reason" {
		return r.plainField(key)
	}
	return r.Skip()
}

// eventType reads the type of an event of a stream, or of an answer.
func (r *usageReader) eventType() error {
	if r.Peek() != '"' {
		return r.Skip()
	}
	t, err := r.Text()
	r.noteEnd(t.String())
	return err
}

// noteEnd sets finished if an event ends the answer.
func (r *usageReader) noteEnd(event string) {
	switch event {
	case "message_stop", "response.completed", "response.incomplete", "response.failed":
		r.finished = true
	}
}

// titanResults sums the output tokens of Titan's results, one for each text that was written. If the results are those of a rerank model, it notes
// that there are no output tokens.
func (r *usageReader) titanResults() error {
	var sum int64
	told := false // at least one result has a count
	resultField := func(key string) error {
		switch key {
		case "tokenCount":
			n, ok, err := r.tokenCount(key)
			sum, told = min(sum+n, maxCount), told || ok
			return err
		case "relevance_score", "relevanceScore":
			r.embedding = true
		}
		return r.Skip()
	}
	err := r.Array(func() error {
		if r.Peek() != '{' {
			return r.Skip()
		}
		return r.Object(resultField)
	})
	if told {
		r.body.set(countOutput, sum)
	}
	return err
}

// tier reads the service tier that served the request, as a string or as an object with a type. It is empty for null and for text that is no
// plain name, and "unknown" for a value of another form.
func (r *usageReader) tier() error {
	raw, err := r.Value()
	if err == nil {
		r.served.ServiceTier = request.Label(request.TierName(raw))
	}
	return err
}

// latency reads the latency mode that served the request, from a performanceConfig.
func (r *usageReader) latency() error {
	return r.Object(func(key string) error {
		if key != "latency" || r.Peek() != '"' {
			return r.Skip()
		}
		t, err := r.Text()
		r.served.Latency = request.Label(t.String())
		return err
	})
}

// counters reads an object of counters into c.
func (r *usageReader) counters(c *counts) error {
	return r.Object(func(key string) error { return r.counter(c, key) })
}

// counterField returns the counter that has this name in any dialect, and false if none has.
func counterField(name string) (countField, bool) {
	switch name {
	case "input_tokens", "inputTokens", "inputTokenCount", "prompt_tokens", "inputTextTokenCount", "prompt_token_count":
		return countInput, true
	case "output_tokens", "outputTokens", "outputTokenCount", "completion_tokens", "totalOutputTextTokenCount", "generation_token_count":
		return countOutput, true
	case "cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount":
		return countRead, true
	case "cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount":
		return countWrite, true
	case "ephemeral_5m_input_tokens", "ttl_30m_tokens":
		return countWrite5m, true // thirty minutes have the rate of five
	case "ephemeral_1h_input_tokens":
		return countWrite1h, true
	case "total_tokens", "totalTokens":
		return countTotal, true
	case "cached_tokens", "prompt_cache_hit_tokens":
		return countCached, true
	case "cache_write_tokens":
		return countCachedWrite, true
	case "reasoning_tokens":
		return countReasoning, true
	}
	anthropic := strings.HasPrefix(name, "ephemeral_") && strings.HasSuffix(name, "_input_tokens")
	openai := strings.HasPrefix(name, "ttl_") && strings.HasSuffix(name, "_tokens")
	if anthropic || openai {
		return countWrite1h, true // another lifetime is charged at the highest rate for writes
	}
	return 0, false
}

// counter reads a field of an object of counters into c: a counter, or an object or a list that breaks counters down.
func (r *usageReader) counter(c *counts, key string) error {
	if f, ok := counterField(key); ok {
		n, told, err := r.tokenCount(key)
		if told {
			c.set(f, n)
		}
		return err
	}
	switch b := r.Peek(); {
	case key == "cacheDetails" && b == '[':
		return r.cacheDetails(c)
	case key == "iterations" && b == '[':
		return r.iterations(c)
	case key == "service_tier":
		return r.tier()
	case b == '{' && nestsCounters(key):
		return r.counters(c)
	}
	return r.Skip()
}

// nestsCounters reports whether an object under this key holds counters of the same answer.
func nestsCounters(key string) bool {
	switch key {
	case "cache_creation", "prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "output_tokens_details",
		"cache_write_tokens_details", "billed_units", "tokens":
		return true
	default:
		return false
	}
}

// tokenCount reads a count, and fails above maxCount. It reports false for null.
func (r *usageReader) tokenCount(field string) (int64, bool, error) {
	n, told, err := r.count(field)
	if err == nil && n > maxCount {
		return 0, false, &request.MalformedError{Field: field, Offset: r.Pos(), Reason: "token count out of range"}
	}
	return n, told, err
}

// cacheDetails reads Converse's breakdown of the writes by lifetime. Any lifetime but five minutes counts as an hour, which is dearer.
func (r *usageReader) cacheDetails(c *counts) error {
	var sum [numCounts]int64 // only those of the two lifetimes are used
	err := r.Array(func() error {
		field, n, err := r.cacheDetail()
		sum[field] = min(sum[field]+n, maxCount)
		return err
	})
	// A list without tokens says nothing, so that these counters may still come from elsewhere.
	for _, f := range [...]countField{countWrite5m, countWrite1h} {
		if sum[f] > 0 {
			c.set(f, sum[f])
		}
	}
	return err
}

// cacheDetail reads one element of Converse's breakdown: how many tokens were written, and the counter for their lifetime, which is that of an hour
// unless the element says five minutes.
func (r *usageReader) cacheDetail() (field countField, n int64, err error) {
	field = countWrite1h
	err = r.Object(func(key string) error {
		switch key {
		case "ttl":
			raw, err := r.Value()
			if raw == `"5m"` {
				field = countWrite5m
			}
			return err
		case "inputTokens":
			var err error
			n, _, err = r.tokenCount(key)
			return err
		}
		return r.Skip()
	})
	return field, n, err
}

// iterations sums the steps of one Anthropic response. The counters outside of the list don't include all steps, so that the larger one of
// counter and sum is taken.
func (r *usageReader) iterations(c *counts) error {
	var sum counts
	err := r.Array(func() error {
		var step counts
		err := r.counters(&step)
		for f, has := range step.has {
			if has {
				sum.set(countField(f), min(sum.n[f]+step.n[f], maxCount))
			}
		}
		return err
	})
	c.raise(&sum)
	return err
}
