package tokens

// Hidden counts what makes the service add text of its own to a prompt, besides tools. The zero value is a plain prompt.
type Hidden struct {
	Citations   int   // documents and search results whose citations are asked for
	CitedBytes  int64 // of their text, where it is text; of a Document block see Block.Cited
	Schemas     int   // structured outputs and strict tools: the service writes a grammar of each into the prompt
	SchemaBytes int64 // of those schemas
	Unknown     bool  // text of unknown length, such as what a search finds: only the context window bounds it
}

// Add takes in what another part of the same request makes the service add.
func (h *Hidden) Add(o Hidden) {
	h.Citations += o.Citations
	h.CitedBytes = addSat(max(h.CitedBytes, 0), max(o.CitedBytes, 0))
	h.Schemas += o.Schemas
	h.SchemaBytes = addSat(max(h.SchemaBytes, 0), max(o.SchemaBytes, 0))
	h.Unknown = h.Unknown || o.Unknown
}

// HiddenLimits are what the text that a service adds is bounded by, in tokens. They are data, explained at LimitsFor.
type HiddenLimits struct {
	Family        int64 // the family's own text, in every prompt
	Tools         int64 // once, when there is a tool at all
	BuiltinTool   int64 // a tool whose definition the provider supplies
	Citations     int64 // once, when citations are asked for
	CitedDocument int64 // a document or search result that can be cited, besides its text once more for the marks in it
	Schema        int64 // a schema, besides its bytes once more
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
