package wire

import (
	"bytes"
	"net/http"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// streamSum is what the events of one stream tell together, however they are framed.
type streamSum struct {
	provider string            // as for ParseUsage: the maker's name in the model id
	writes   price.CacheWrites // as for ParseUsage: the longest lifetime for which the request may write to the cache
	header   Reported          // service tier and latency, from the response's header
	body     counts            // the counters of the model's own dialect
	bedrock  counts            // those that Bedrock adds
	served   Reported          // service tier, latency, model and guardrails, from the events
	damaged  bool              // the usage is unknown, whatever comes
	finished bool              // a stop reason was seen: output counted before it is a partial sum
	complete bool              // the output was counted at the end of the answer, so that the usage is known
	routed   bool              // the model was named by a prompt router
}

// newStreamSum returns the sum of a stream without events. Its arguments are those of ParseUsage.
func newStreamSum(provider string, writes price.CacheWrites, header http.Header) streamSum {
	s := streamSum{provider: provider, writes: writes}
	headerServed(header, &s.header)
	return s
}

// mayTell reports whether an event can hold usage or the end of the answer. Most hold a few words of output and nothing else, and need not be parsed.
// It looks for parts of the keys and values that matter: of usage, tokenCount, stop_reason and message_stop, finish_reason, completionReason,
// invocationMetrics, trace and model. Their first letters are left out where some dialect has a capital there. Any of these may be hidden by an
// escape, so an event with an escape of the form \u may tell, too.
func mayTell(event []byte) bool {
	for _, s := range [...]string{"sage", "oken", "top", "inish_reason", "ompletion", "etrics", "trace", "odel", "\\u"} {
		if bytes.Contains(event, []byte(s)) {
			return true
		}
	}
	return false
}

// learn takes in one event that was read, and notes whether the usage is complete with it. closing says that the event's counters are those of the
// whole answer.
func (s *streamSum) learn(r *usageReader, closing bool) {
	s.note(r)
	if r.bedrock.has[countOutput] { // Bedrock adds its own counters to the last event alone
		s.complete = true
	}
	// The model's own counters may be running sums until a stop reason was seen. A chunk of OpenAI's chat with choices can hold such a sum even then,
	// while other choices go on: the chunk that concludes the chat has no choices.
	ended := s.finished && !r.choosing
	if r.body.has[countOutput] && (closing || ended) {
		s.complete = true
	}
}

// note takes in what an event tells, and draws no conclusion from it.
func (s *streamSum) note(r *usageReader) {
	s.body.raise(&r.body)
	s.bedrock.raise(&r.bedrock)
	if r.served.ServiceTier != "" {
		s.served.ServiceTier = r.served.ServiceTier
	}
	if r.served.Latency != "" {
		s.served.Latency = r.served.Latency
	}
	if r.served.Model != "" && (r.routed || !s.routed) { // no other name replaces one that a prompt router has told
		s.served.Model, s.served.Routed, s.routed = r.served.Model, r.routed, r.routed
	}
	s.served.Guardrails = append(s.served.Guardrails, r.served.Guardrails...)
	s.finished = s.finished || r.finished
}

// usage returns the usage of the whole response, and false where it is not known.
func (s *streamSum) usage() (Reported, bool) {
	hasInput := s.body.has[countInput] || s.bedrock.has[countInput]
	if s.damaged || !s.complete || !hasInput {
		return Reported{}, false
	}
	out := s.served
	if out.ServiceTier == "" {
		out.ServiceTier = s.header.ServiceTier
	}
	if out.Latency == "" {
		out.Latency = s.header.Latency
	}
	out.read(merge(&s.bedrock, &s.body, s.provider, s.writes))
	return out, true
}
