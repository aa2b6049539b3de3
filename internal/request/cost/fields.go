package cost

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/jsonbody"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// Field reads those fields, of the body or of Converse's additionalModelRequestFields, that decide by what the request is billed; and those of the body
// that tell its form, or where it goes. raw is the value as it stands.
func (m *meter) Field(object, key, raw string) {
	switch object {
	case "":
		m.ofBody(key, raw)
		m.billing(key, raw)
	case "additionalModelRequestFields":
		m.billing(key, raw)
	}
}

// ofBody reads a field that only has its meaning in the body itself: it tells the form of the body, which decides where the output limit is, or where
// the body goes.
func (m *meter) ofBody(key, raw string) {
	m.responses = m.responses || key == "input"
	m.messages = m.messages || key == "messages"
	m.prompted = m.prompted || isPrompt(key, raw[0])
	if key == "model" || key == "stream" {
		m.routing(key, raw)
	}
}

// billing reads a field that decides by what the request is billed, wherever it stands.
func (m *meter) billing(key, raw string) {
	switch key {
	case "guardrailConfig", "guardrail_config", "amazon-bedrock-guardrailConfig":
		m.req.Guardrail = m.req.Guardrail || raw != "null"
	case "performanceConfig":
		m.performance(raw)
	case "context_management", "contextManagement", "compaction":
		m.compaction(key, raw)
	case "web_search_options", "search_parameters", "mcp_servers", "container", "plugins":
		m.unpricedField(key, raw)
	case "service_tier", "serviceTier":
		m.tier(raw)
	case "speed":
		if raw != "null" && raw != `"standard"` {
			m.unpriced(key) // the fast mode of Claude is billed at a multiple
		}
	case "prompt_cache_retention", "prompt_cache_options":
		m.retention(raw)
	case "background":
		if raw[0] != 'f' && raw[0] != 'n' { // neither false nor null
			m.unseen(key) // the answer is kept, and does not come with its usage
		}
	}
}

// routing reads the fields model and stream, which OpenAI's and Anthropic's APIs have in the body.
func (m *meter) routing(key, raw string) {
	if key == "stream" {
		m.req.Stream = raw == "true"
	} else if raw[0] == '"' {
		m.req.Model = request.Printable(unquoted(raw))
	}
}

// unquoted returns what a JSON string stands for. The walk has checked it, so that this can't fail.
func unquoted(raw string) string {
	s := jsonscan.New(raw)
	t, _ := s.Text()
	return t.String()
}

// performance reads a performanceConfig, such as {"latency": "optimized"}. If a body has two, the optimized mode counts, as the dearer one.
func (m *meter) performance(raw string) {
	s := jsonscan.New(raw)
	if s.Peek() != '{' {
		return
	}
	_ = s.Object(func(key string) error { // the walk has checked it, so that this can't fail
		value, err := s.Value()
		if key == "latency" && len(value) > 2 && m.req.Latency != "optimized" {
			m.req.Latency = request.Label(value[1 : len(value)-1]) // the inside of the string; Label returns nothing for what is no word
		}
		return err
	})
}

// compaction notes that the service may shorten the history, which takes an inference of its own each time. An escape of the form \u may hide the
// word "compact", so it counts as that word.
func (m *meter) compaction(key, raw string) {
	switch raw {
	case "null", "false", "{}", "[]":
		return
	}
	m.req.Compacts = m.req.Compacts || key == "compaction" || strings.Contains(raw, "compact") || strings.Contains(raw, `\u`)
}

// unpricedField notes a feature unless its value switches it off.
func (m *meter) unpricedField(feature, raw string) {
	switch raw {
	case "null", "false", "[]", `""`:
	default:
		m.unpriced(feature)
	}
}

// tier reads a service tier. A body can name it in two places, and two different ones are kept, since either may count. Of three it is unknown which
// one counts, and an unknown tier has no price.
func (m *meter) tier(raw string) {
	r := &m.req
	tier := request.Label(request.TierName(raw))
	switch tier {
	case "": // null, or a text that can't be the name of a tier
		return
	case "auto", "standard_only": // both count as the usual tier
		tier = "default"
	}
	switch {
	case r.ServiceTier == "" || r.ServiceTier == tier:
		r.ServiceTier = tier
	case r.OtherTier == "" || r.OtherTier == tier:
		r.OtherTier = tier
	default: // a third one
		r.ServiceTier = "unknown"
	}
}

// retention reads how long OpenAI's models shall keep what they cache by themselves. Any lifetime but the usual one has no price of
// its own, and counts as the dearest, for which the price of an hour stands.
func (m *meter) retention(raw string) {
	writes := price.CacheWrites1h
	switch raw {
	case "null", "{}", `"in_memory"`, `"in-memory"`:
		writes = price.CacheWrites5m
	}
	m.req.CacheWrites = max(m.req.CacheWrites, writes)
}

// Limit takes in a field that limits the answer. A body can name a limit in several places, and the highest is safe whichever of them the service
// obeys. At least one has to be where the dialect has its limit, because a service may ignore all others. sure says that the field can mean nothing
// else; if it is not, a value that is no plain count is taken for a part of the prompt. within says that the field stands in Converse's
// additionalModelRequestFields.
func (m *meter) Limit(l request.Limit, v jsonbody.Value, sure, within bool) {
	n, ok := m.limitOf(v, sure)
	if !ok {
		return
	}
	r := &m.req
	switch l {
	case request.Choices:
		r.Choices = max(r.Choices, n)
	case request.Thinking:
		r.Thinking = max(r.Thinking, n)
		r.ExtraTokens = max(r.ExtraTokens, n)
	case request.Output:
		m.outputLimit(v, n, sure, within)
	}
}

// outputLimit takes in a limit of the answer's tokens: n, which is 0 if the field sets no limit. Where the dialect has its limit in bodies of any
// form it is a MaxTokens. Anywhere else it is an ExtraTokens, at least until the end of the body tells its form.
func (m *meter) outputLimit(v jsonbody.Value, n int64, sure, within bool) {
	r := &m.req
	// InvokeModel's body may be in Responses, which is only known at its end: ParseRequestIn uses this then.
	if v.Inside == "" && v.Key == "max_output_tokens" {
		m.responsesLimit = max(m.responsesLimit, n)
	}
	form, takes := m.takesLimit(v.Inside, v.Key) // whether the dialect has its limit there, and in bodies of which form
	takes = takes && !within
	if takes && form == anyForm {
		r.MaxTokens = max(r.MaxTokens, n)
		// A max_tokens of 0 asks for no answer; null, and what is no count, asks for nothing.
		isZero := sure && n == 0 && v.Raw != "null"
		r.NoOutput = r.NoOutput || isZero && v.Key == "max_tokens"
		return
	}
	if takes {
		m.limitIn[form] = max(m.limitIn[form], n)
	}
	r.ExtraTokens = max(r.ExtraTokens, n)
}

// limitOf returns the number of a limit. It is 0 if the field sets none: if it is null or, where sure is false, may be content instead, which then
// counts as text. For any other value limitOf makes ParseRequest return an error, and returns false.
func (m *meter) limitOf(v jsonbody.Value, sure bool) (n int64, ok bool) {
	n, err := jsonscan.Count(v.Raw) // it accepts 4096.0 as well as 4096
	switch {
	case err == nil:
		return n, true
	case !sure:
		m.Other(len(v.Raw))
		return 0, true
	case v.Raw == "null":
		return 0, true
	default:
		m.fail(&request.MalformedError{Field: v.Key, Offset: v.Offset, Reason: "not a non-negative integer"})
		return 0, false
	}
}

// fail makes ParseRequest return an error, the first one.
func (m *meter) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

// Form counts a field that says which form the answer has to have: its text, and its schema once more, because the service writes that into the
// prompt as a grammar. Without a schema, as with an effort, there is no grammar. An escape of the form \u may hide the word "schema", so it counts as
// that word.
func (m *meter) Form(raw string) {
	if raw == "null" {
		return
	}
	m.add(tokens.Block{Kind: tokens.JSON, Text: raw})
	if schema, ok := converseSchema(raw); ok {
		m.schema(tokens.WideText(schema)) // the most tokens that the text can have: its bytes, or more if normalising can lengthen it
	} else if strings.Contains(raw, "schema") || strings.Contains(raw, `\u`) {
		m.schema(int64(len(raw)))
	}
}

// converseSchema returns the schema in Converse's outputConfig, which holds it as a text, below textFormat; and false for a config of another form.
func converseSchema(config string) (schema string, ok bool) {
	value := config
	for _, key := range [...]string{"textFormat", "structure", "jsonSchema", "schema"} {
		if value, ok = memberOf(value, key); !ok {
			return "", false
		}
	}
	if value[0] != '"' {
		return "", false
	}
	return unquoted(value), true
}

// memberOf returns the value that an object has under a key, as it stands; and false if it has none, or if the text is no object.
func memberOf(object, key string) (value string, ok bool) {
	p := jsonscan.New(object)
	err := p.Object(func(k string) error {
		raw, err := p.Value()
		if k == key {
			value, ok = raw, true
		}
		return err
	})
	return value, ok && err == nil
}
