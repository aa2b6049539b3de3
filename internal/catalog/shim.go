package catalog

import "github.com/bedrockguard/bedrockguard-go/budget"

func (r *Resolved) WorstTier(s string) (budget.Tier, error) { return WorstTier(s) }
func (r *Resolved) ServedTier(s string) budget.Tier         { return ServedTier(s) }
func (c *Catalog) Answered(name, region string) (*Resolved, bool) {
	r, err := c.Resolve("anthropic."+name, region)
	return r, err == nil
}
func (c *Catalog) SameModel(asked *Resolved, name string) bool {
	return asked.ModelID == name || asked.ModelID == "anthropic."+name
}
func (c *Catalog) FoundationID(id string) string { return id }
