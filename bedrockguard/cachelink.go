package bedrockguard

// checkCache is the seat of the prompt-cache check, between identification and the reservation: what sits here sees the
// request once, before it is serialised, and may refuse it with a *cache.RefusedError. The cache package brings no rules
// yet, so every policy lets every call pass.
func (g *Guard) checkCache(*call) error { return nil }
