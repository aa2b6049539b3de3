package bedrocktest

// insertedSystem parses a system message between the other messages, and the tools that it adds and removes. It is not a turn: the message
// after it must be the one that would have followed without it.
func (s *Server) insertedSystem(m *node, in *inference) *refusal {
	content := m.get("content").list()
	if len(content) == 0 {
		return invalid("the content of a message must not be empty")
	}
	in.open(system)
	for _, b := range content {
		switch text, point := b.get("text"), b.get("cachePoint"); {
		case text != nil && text.text() == "":
			return invalid("messages: text content blocks must be non-empty")
		case text != nil:
			in.addText(s, messages, b, text)
		case point != nil:
			if err := in.conversePoint(messages, point); err != nil {
				return err
			}
		case b.get("toolAddition") != nil, b.get("toolRemoval") != nil:
			in.addJSON(s, messages, b.raw)
		default:
			return invalid("a system message between the others holds texts, and additions and removals of tools")
		}
	}
	return nil
}
