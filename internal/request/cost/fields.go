package cost

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/jsonbody"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// Field reads those fields, of the body or of Converse's additionalModelRequestFields, that decide by what the request is billed. raw is the value as
// it stands.
func (m *meter) Field(object, key, raw string) {
	if object != "" && object != "additionalModelRequestFields" {
		return
	}
	r := &m.req
	if object == "" { // these tell the form of the body, which decides where its output limit is
		m.responses = m.responses || key == "input"
		m.messages = m.messages || key == "messages"
		m.prompted = m.prompted || isPrompt(key, raw[0])
	}
	switch key {
	case "guardrailConfig", "guardrail_config", "amazon-bedrock-guardrailConfig":
		r.Guardrail = r.Guardrail || raw != "null"
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
	case "model", "stream":
		if object == "" {
			m.routing(key, raw)
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

// compaction notes that the service may shorten the history. Each time it does is an inference of its own. An escape of the form \u may
// hide the word "compact", so it counts as that word.
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
	n, err := jsonscan.Count(v.Raw) // it accepts 4096.0 as well as 4096
	none := sure && v.Raw == "null"
	switch {
	case err == nil: // a count
	case none: // null stands for no limit
		n = 0
	case !sure: // it may be content instead
		n = 0
		m.Other(len(v.Raw))
	default:
		m.fail(&request.MalformedError{Field: v.Key, Offset: v.Offset, Reason: "not a non-negative integer"})
		return
	}
	r := &m.req
	// InvokeModel's body may be in Responses, which is only known at its end: ParseRequestIn uses this then.
	if l == request.Output && v.Inside == "" && v.Key == "max_output_tokens" {
		m.responsesLimit = max(m.responsesLimit, n)
	}
	in, bounds := m.takesLimit(v.Inside, v.Key) // whether the dialect has its limit there, and in bodies of which form
	bounds = bounds && l == request.Output && !within
	if bounds && in != anyForm {
		m.limitIn[in] = max(m.limitIn[in], n)
		bounds = false // the form of the body is only known at its end, so for now it is an ExtraTokens
	}
	switch {
	case l == request.Choices:
		r.Choices = max(r.Choices, n)
	case bounds:
		r.MaxTokens = max(r.MaxTokens, n)
		// A max_tokens of 0 asks for no answer; one that is null or no count is 0 here as well, and asks for nothing.
		r.NoOutput = r.NoOutput || sure && !none && n == 0 && v.Key == "max_tokens"
	case l == request.Thinking:
		r.Thinking = max(r.Thinking, n)
		r.ExtraTokens = max(r.ExtraTokens, n)
	default:
		r.ExtraTokens = max(r.ExtraTokens, n)
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

// converseSchema returns the schema in Converse's outputConfig, which holds it as a text, under the keys of path; and false for a config of another
// form.
func converseSchema(config string) (schema string, ok bool) {
	p := jsonscan.New(config)
	path := []string{"textFormat", "structure", "jsonSchema", "schema"}
	var inside func(depth int) func(string) error
	inside = func(depth int) func(string) error {
		return func(key string) error {
			switch c := p.Peek(); {
			case key != path[depth]: // passed over
			case depth == len(path)-1 && c == '"':
				t, err := p.Text()
				schema, ok = t.String(), err == nil
				return err
			case depth < len(path)-1 && c == '{':
				return p.Object(inside(depth + 1))
			}
			return p.Skip()
		}
	}
	if p.Peek() != '{' || p.Object(inside(0)) != nil {
		return "", false
	}
	return schema, ok
}
