package bedrocktest

import "github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/quota"

// Quota is how much an account can ask of a model in a minute. Until a request is answered it uses its input and its maximum output, and
// afterwards what it consumed: the input that was not read from the cache, and its output times the burndown rate of the model (Amazon
// Bedrock user guide, token burndown, read 2026-11). Retries count.
type Quota struct {
	Model             string // a foundation model's id, or a part of it; empty means every model, each with its own quota
	RequestsPerMinute int    // 0 means no limit
	TokensPerMinute   int    // 0 means no limit
}

// newQuotaBook returns a book with these quotas.
func newQuotaBook(all []Quota) *quota.Book {
	b := &quota.Book{}
	for _, q := range all {
		b.Limits = append(b.Limits, quota.Limit(q))
	}
	return b
}
