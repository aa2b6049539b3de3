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
// The texts are parts of the keys and values that matter, without a first letter that may be a capital, and the beginning of an escape that may hide
// one.
func mayTell(event []byte) bool {
	for _, s := range [...]string{"sage", "oken", "top", "inish_reason", "ompletion", "etrics", "trace", "odel", "\\u"} {
		if bytes.Contains(event, []byte(s)) {
			return true
		}
	}
	return false
}

// learn takes in one event that was read. closing says that its counters are those of the whole answer. A chunk of a chat with choices can hold
// a running sum, also while other choices go on: the chunk that concludes the chat has no choices, or has Bedrock's own counters.
func (s *streamSum) learn(r *usageReader, closing bool) {
	s.note(r)
	switch {
	// Bedrock adds its counters to the last event; other counters may be running sums until the end is known.
	case r.bedrock.has[countOutput],
		closing && r.body.has[countOutput],
		s.finished && r.body.has[countOutput] && !r.choosing:
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
	if r.served.Model != "" && (r.routed || !s.routed) {
		s.served.Model, s.served.Routed, s.routed = r.served.Model, r.routed, r.routed
	}
	s.served.Guardrails = append(s.served.Guardrails, r.served.Guardrails...)
	s.finished = s.finished || r.finished
}

// usage returns the usage of the whole response, and false where it is not known.
func (s *streamSum) usage() (Reported, bool) {
	if s.damaged || !s.complete || !s.body.has[countInput] && !s.bedrock.has[countInput] {
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
