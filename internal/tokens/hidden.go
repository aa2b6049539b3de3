package tokens

// Hidden counts the parts of a request, besides tools, for which the service adds text of its own to the prompt. The zero value is a plain
// prompt.
type Hidden struct {
	Citations   int   // documents and search results with citations enabled
	CitedBytes  int64 // bytes of their text; for a Document block zero, because Block.Cited makes that count twice
	Schemas     int   // structured outputs and strict tools: the service writes a grammar for each into the prompt
	SchemaBytes int64 // bytes of those schemas
	Unknown     bool  // text of unknown length is added, such as search results: only the context window bounds it
}

// Add adds the counts of another part of the same request.
func (h *Hidden) Add(o Hidden) {
	h.Citations += o.Citations
	h.CitedBytes = addSat(max(h.CitedBytes, 0), max(o.CitedBytes, 0))
	h.Schemas += o.Schemas
	h.SchemaBytes = addSat(max(h.SchemaBytes, 0), max(o.SchemaBytes, 0))
	h.Unknown = h.Unknown || o.Unknown
}

// HiddenLimits bound the text that the service adds, in tokens. The figures are explained at LimitsFor.
type HiddenLimits struct {
	Family        int64 // the text that the model family puts into every prompt
	Tools         int64 // once, if there is any tool
	BuiltinTool   int64 // a tool that the provider defines
	Citations     int64 // once, if citations are enabled
	CitedDocument int64 // a document or search result that can be cited; its text counts once more in addition, for the marks in it
	Schema        int64 // a schema; its bytes count once more in addition
}

// tokens bounds the text that the service adds to a prompt.
func (l *HiddenLimits) tokens(p *Prompt) int64 {
	n := l.Family
	if p.Tools > 0 || p.BuiltinTools > 0 {
		n = addSat(n, l.Tools)
		n = addSat(n, mulSat(int64(max(p.BuiltinTools, 0)), l.BuiltinTool))
	}
	if h := &p.Hidden; h.Citations > 0 {
		n = addSat(n, l.Citations)
		n = addSat(n, mulSat(int64(h.Citations), l.CitedDocument))
		n = addSat(n, max(h.CitedBytes, 0))
	}
	if h := &p.Hidden; h.Schemas > 0 {
		n = addSat(n, mulSat(int64(h.Schemas), l.Schema))
		n = addSat(n, max(h.SchemaBytes, 0))
	}
	return n
}
