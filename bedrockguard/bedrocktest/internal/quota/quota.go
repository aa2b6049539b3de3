// Package quota counts what an account asks of each model in a minute, and throttles what is beyond its quotas.
package quota

import (
	"strings"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// Limit is what an account can ask of a model in a minute; 0 means no limit.
type Limit struct {
	Model             string // a foundation model's id, or a part of it; empty means every model, each with its own quota
	RequestsPerMinute int
	TokensPerMinute   int
}

// Book remembers what was asked of each model within the last minute. It is safe for concurrent use. The zero value has no limits.
type Book struct {
	Limits []Limit // not changed any more once the book is in use

	mu   sync.Mutex
	used map[string][]*Use // by model
}

// Use is what one request uses of a quota.
type Use struct {
	mu     *sync.Mutex // of the book
	at     time.Time
	tokens int // input and maximum output; after Settle, what was consumed
}

// Take adds a request for a model, which may use so many tokens, to what was used within the last minute, or refuses it. Without any limit it
// remembers nothing and returns nil, which Settle accepts. A request that is refused does not count as used.
func (b *Book) Take(modelID string, tokens int, now time.Time) (*Use, *refusal.Error) {
	if len(b.Limits) == 0 {
		return nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used == nil {
		b.used = map[string][]*Use{}
	}
	var recent []*Use
	added := &Use{mu: &b.mu, at: now, tokens: tokens}
	total := added.tokens // of this request and of all within the last minute
	for _, u := range b.used[modelID] {
		if now.Sub(u.at) < time.Minute {
			recent = append(recent, u)
			total += u.tokens
		}
	}
	b.used[modelID] = recent
	for _, l := range b.Limits {
		switch {
		case !strings.Contains(modelID, l.Model): // the limit is for other models
		case l.RequestsPerMinute > 0 && len(recent) >= l.RequestsPerMinute:
			return nil, refusal.TooManyRequests()
		case l.TokensPerMinute > 0 && total > l.TokensPerMinute:
			return nil, refusal.New(429, "ThrottlingException", "Too many tokens, please wait before trying again.")
		}
	}
	b.used[modelID] = append(recent, added)
	return added, nil
}

// Settle replaces what a request may use by what it consumed.
func (u *Use) Settle(tokens int) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tokens = tokens
}
