package bedrockguard

// Drains returns how many answers are read on without a caller.
func (g *Guard) Drains() int {
	g.drains.mu.Lock()
	defer g.drains.mu.Unlock()
	return g.drains.reading
}
