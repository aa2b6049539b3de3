package bedrockguard

// Drains returns how many answers are read on without a caller.
func (g *Guard) Drains() int {
	g.drains.mu.Lock()
	defer g.drains.mu.Unlock()
	return g.drains.reading
}

// RegionOfEndpoint is the region of a host of AWS's that serves models; empty for any other.
func RegionOfEndpoint(host string) string {
	_, region := endpointOf(host)
	return region
}
