package bedrocktest

import (
	"strings"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// Quota is how much an account can ask of a model in a minute. Until a request is answered it uses its input and its maximum output, and
// afterwards what it consumed: the input that was not read from the cache, and its output times the burndown rate of the model (Amazon
// Bedrock user guide, token burndown, read 2026-11). Retries count.
type Quota struct {
	Model             string // a foundation model's id, or a part of it; empty means every model, each with its own quota
	RequestsPerMinute int    // 0 means no limit
	TokensPerMinute   int    // 0 means no limit
}

// quotas remember what was asked of each model. They are safe for concurrent use.
type quotas struct {
	limits []Quota
	mu     sync.Mutex
	used   map[string][]*use // by model
}

// use is what one request uses of a quota.
type use struct {
	mu     *sync.Mutex // of the quotas
	at     time.Time
	tokens int // input and maximum output; after settle, what was consumed
}

// take adds a request to what was used within the last minute, or throttles it. Without any quota it remembers nothing and returns nil, which settle
// accepts. A request that is throttled does not count as used.
func (q *quotas) take(in *inference, now time.Time) (*use, *refusal.Error) {
	if len(q.limits) == 0 {
		return nil, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used == nil {
		q.used = map[string][]*use{}
	}
	id := in.Model.ID
	var recent []*use
	added := &use{mu: &q.mu, at: now, tokens: in.request.InputTokens + in.MaxTokens}
	total := added.tokens
	for _, u := range q.used[id] {
		if now.Sub(u.at) < time.Minute {
			recent = append(recent, u)
			total += u.tokens
		}
	}
	q.used[id] = recent
	for _, l := range q.limits {
		switch {
		// The quota is for other models.
		case !strings.Contains(id, l.Model):
		case l.RequestsPerMinute > 0 && len(recent) >= l.RequestsPerMinute:
			return nil, Throttle.status() // the refusal of the fault Throttle
		case l.TokensPerMinute > 0 && total > l.TokensPerMinute:
			return nil, refusal.New(429, "ThrottlingException", "Too many tokens, please wait before trying again.")
		}
	}
	q.used[id] = append(recent, added)
	return added, nil
}

// settle replaces what a request may use by what it consumed.
func (u *use) settle(tokens int) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tokens = tokens
}
