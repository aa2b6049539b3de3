package bedrockguard

// RegionOfEndpoint is the region of a host of AWS's that serves models; empty for any other.
func RegionOfEndpoint(host string) string {
	_, region := endpointOf(host)
	return region
}
