// Package cost reads what a request body tells about its cost, and changes bodies so that they cost less or their answers tell more of it. What is
// not known is counted as text that the model reads, so that a dialect that is not known yet is bounded all the same. What could be read in two ways
// is read in the dearer one. Package jsonbody walks over a body and calls a meter for each part; the meter fills in a Request, whose Prompt is a list
// of tokens.Block: package tokens bounds how many tokens each can have. An Opaque block is content of unknown size.
package cost

import (
	"math"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
	"github.com/bedrockguard/bedrockguard-go/internal/request"
	"github.com/bedrockguard/bedrockguard-go/internal/request/jsonbody"
	"github.com/bedrockguard/bedrockguard-go/internal/tokens"
)

// Request is what a request body tells about its cost.
type Request struct {
	// What the model reads.
	Prompt         tokens.Prompt
	Embedded       int64  // bytes of the body that are media of a measured size, so that their length says nothing about tokens
	ToolPoints     int    // cache points in the place of tools, as Converse has them: no tools there, but Prompt.Tools counts them, too
	StoredPictures []int  // indexes of those Opaque blocks of Prompt that are pictures which the service fetches
	DocumentImages bool   // a field detailLevel, Nova's, is there, by which images may be read as pages of documents
	Unseen         string // a field that makes the service read what is not in the body, or keep the answer; empty when there is none

	// What limits the answer.
	MaxTokens   int64 // the answer's limit: the largest of any field, ExtraTokens included; 0 if no field is set where the dialect has its limit
	ExtraTokens int64 // the largest of the thinking budgets and of the limits in fields that may not be the dialect's, which alone bound no answer
	Thinking    int64 // the largest thinking budget; 0 when there is none
	NoOutput    bool  // max_tokens is 0, by which some models read a prompt into the cache and write nothing
	Choices     int64 // answers asked for, of all prompts together, each up to MaxTokens; at least 1

	// What is billed in another way than by tokens.
	Images       int64    // image blocks, for models that bill them apart
	Videos       int64    // videos, for models that bill them by the second
	Audios       int64    // sounds, for models that bill them by the second
	Queries      int64    // search units that a rerank request can be billed; 0 for other models
	Texts        int64    // how many texts and other inputs there are to embed, one by one
	Unpriced     string   // a feature in use that has no price per token, such as "web_search"; empty when there is none
	AlsoUnpriced []string // further features of that kind

	// What decides the price of a token, and what else costs tokens.
	CacheWrites price.CacheWrites // the dearest writes to the prompt cache that the body can cause
	ServiceTier string            // the tier asked for in the body, in lower case; empty when none or not one known
	OtherTier   string            // another tier that the body asks for in another place, so that either may count; empty when there is none
	Latency     string            // the mode asked for in a performanceConfig, in lower case; empty when none
	Guardrail   bool              // the body names a guardrail
	Compacts    bool              // the service may shorten the history, each time in an inference of its own

	// Where the request goes.
	Model  string // the body's own "model", of visible ASCII and at most 2,048 bytes; empty for none, and for any other
	Stream bool   // the body asks for a stream
}

// ParseRequest reads the body of an InvokeModel request in any dialect. modelID tells rerank models apart. It returns
// request.ErrMalformed for anything that readers may disagree about: duplicate keys, invalid UTF-8, output limits that are not
// non-negative integers, nesting beyond 200 levels. The Prompt does not share memory with body.
func ParseRequest(modelID string, body []byte) (Request, error) {
	return ParseRequestIn(OfModel, modelID, body)
}

// ParseRequestIn is ParseRequest for a body in a given dialect, of which OfModel depends on the model.
func ParseRequestIn(d Dialect, modelID string, body []byte) (Request, error) {
	m := meter{req: Request{Choices: 1}, rerank: strings.Contains(modelID, "rerank"), takesLimit: d.limits(modelID)}
	err := jsonbody.Walk(string(body), &m)
	if m.err != nil {
		err = m.err // the meter's own error, which it found before the walk ended
	}
	if err != nil {
		return Request{}, request.Malformed(err)
	}
	m.finish(d)
	return m.req, nil
}

// finish fills in what is only known at the end of a body.
func (m *meter) finish(d Dialect) {
	m.req.Prompt.OtherBytes = m.other
	if m.prompts > 1 { // each prompt gets as many answers as the body asks for
		m.req.Choices = timesAtMost(m.req.Choices, m.prompts)
	}
	m.req.MaxTokens = m.maxTokens(d)
	if m.rerank {
		m.req.Queries = max((m.chunks+rerankChunksPerQuery-1)/rerankChunksPerQuery, 1) // rounded up
	}
}

// maxTokens returns the largest limit of the body if one of its limits is where the dialect has its limit, in bodies of its form. It returns 0 if
// none is, because a service may ignore limits in other places.
func (m *meter) maxTokens(d Dialect) int64 {
	limit := m.req.MaxTokens // in places that hold for bodies of any form
	ofResponses := d == OfModel && m.responses && !m.messages && !m.prompted
	if ofResponses {
		limit = max(limit, m.responsesLimit)
	}
	if form := formOf(m.messages, m.prompted); form != anyForm { // anyForm is a body of which nobody knows how it is read
		limit = max(limit, m.limitIn[form])
	}
	if limit == 0 {
		return 0
	}
	return max(limit, m.req.ExtraTokens)
}

// timesAtMost returns a*b of two positive numbers, at most math.MaxInt64.
func timesAtMost(a, b int64) int64 {
	if a > math.MaxInt64/b {
		return math.MaxInt64
	}
	return a * b
}

// ParseExtra reads Converse's additional model request fields, a JSON object or nothing, by the same rules.
func ParseExtra(fields []byte) (Request, error) {
	if len(fields) == 0 || string(fields) == "null" {
		return Request{Choices: 1}, nil
	}
	return ParseRequest("", fields)
}

// How rerank models are billed, by Amazon Bedrock's pricing page (2026-11): a query covers up to 100 chunks of documents, and a document of more than
// 512 tokens, with those of the query, is several chunks.
const (
	rerankChunksPerQuery = 100
	rerankChunkBytes     = 256 // of a document: a token has at least one byte, and a long query takes half of the 512 tokens
)

// meter is the sink that bounds what a body can cost. What it does not understand it counts as text, or as content of unknown size.
type meter struct {
	req    Request // what was found so far
	other  int64   // bytes of text that are in no block, such as keys and short strings
	chunks int64   // how many chunks the documents to rerank have
	rerank bool    // the model reranks documents
	err    error   // the first error of the meter's own

	prompts        int64                                     // how many a list of prompts has, each of which is answered for itself
	takesLimit     func(inside, key string) (bodyForm, bool) // whether a field is the output limit of the body's dialect, and in which bodies
	limitIn        [promptForm + 1]int64                     // the output limit in places that hold for one form of bodies
	responsesLimit int64                                     // the output limit by its name in Responses, which InvokeModel's body may be in
	responses      bool                                      // the body has the field "input", as Responses' bodies do
	messages       bool                                      // the body has the messages of another dialect
	prompted       bool                                      // the body has a text to go on with
}

// These methods of jsonbody.Meter do nothing: where content stands does not matter to the cost.
func (m *meter) Enter(request.Section) {}
func (m *meter) Leave()                {}
func (m *meter) MessageField(string)   {}
func (m *meter) EndMessage(string)     {}
func (m *meter) Block(int)             {}
func (m *meter) Cited()                {}
func (m *meter) Misshapen(int, string) {}

// These methods note what they are told in one line each. Blocks returns how many blocks the prompt has so far.
func (m *meter) Message(int)     { m.req.Prompt.Messages++ }
func (m *meter) Input()          { m.req.Texts++ }
func (m *meter) Prompt()         { m.prompts++ }
func (m *meter) Detail()         { m.req.DocumentImages = true }
func (m *meter) Other(bytes int) { m.other += int64(bytes) }
func (m *meter) Blocks() int     { return len(m.req.Prompt.Blocks) }

// Document counts a document as a turn, because each is rendered with a frame of its own, or as what a rerank model is billed by.
func (m *meter) Document(bytes int) {
	if m.rerank {
		m.chunks += max((int64(bytes)+rerankChunkBytes-1)/rerankChunkBytes, 1)
	} else {
		m.req.Prompt.Messages++
	}
}

// Point takes any lifetime but the usual ones for the dearest, also one that nobody knows. Half an hour is OpenAI's, which costs no more than
// five minutes.
func (m *meter) Point(p jsonbody.Point) {
	writes := price.CacheWrites1h // the dearest: a later value of the type is a dearer one
	// Breakpoint is OpenAI's form of a cache point.
	if p.TTL == request.FiveMinutes || p.Form == request.Breakpoint && p.TTL == request.HalfHour {
		writes = price.CacheWrites5m
	}
	m.req.CacheWrites = max(m.req.CacheWrites, writes)
}

// add adds content to the prompt.
func (m *meter) add(b tokens.Block) {
	m.req.Prompt.Blocks = append(m.req.Prompt.Blocks, b)
	if b.Kind == tokens.Image {
		m.req.Images++
	}
}

// unpriced notes a feature that has no price per token. The last one is Unpriced, and those before it go to AlsoUnpriced: each may have a flat price,
// so all have to be known.
func (m *meter) unpriced(feature string) {
	r := &m.req
	if r.Unpriced != "" && r.Unpriced != feature && !slices.Contains(r.AlsoUnpriced, r.Unpriced) {
		r.AlsoUnpriced = append(r.AlsoUnpriced, r.Unpriced)
	}
	r.Unpriced = feature
}

// StoredElsewhere is the Unseen of a body of which nothing else is unseen but content in S3.
const StoredElsewhere = "s3Location"

// unseen notes a field by which the service reads what is not in the body. The first one counts, except that any other replaces StoredElsewhere.
func (m *meter) unseen(name string) {
	if m.req.Unseen == "" || m.req.Unseen == StoredElsewhere {
		m.req.Unseen = name
	}
}

// Unseen counts content that is not in the body, and so has an unknown size.
func (m *meter) Unseen(name string) {
	m.add(tokens.Block{Kind: tokens.Opaque})
	m.unseen(name)
}

// Kept counts content of which the body only has the name. An empty name is none.
func (m *meter) Kept(key, raw string) {
	if raw != "null" && raw != `""` {
		m.Unseen(key)
	}
}

// ModelOf returns what ParseRequest returns as Model, at a fraction of its cost: nothing else is looked into.
func ModelOf(body []byte) (model string, err error) {
	var s jsonscan.Scanner
	err = s.Document(string(body), func(key string) error {
		raw, err := s.Value()
		if err == nil && key == "model" && raw[0] == '"' {
			model = request.Printable(unquoted(raw))
		}
		return err
	})
	return model, request.Malformed(err)
}
