package bedrocktest

import (
	"strings"
	"sync"
	"time"
)

// Quota is what an account can ask of a model in a minute. A request holds its input and its maximum of output until it is answered, and
// what it used afterwards: the input that was not read from the cache, and its output times the burndown rate of the model (Amazon
// Bedrock user guide, token burndown, read 2026-11). Retries count.
type Quota struct {
	Model             string // a foundation model's id, or a part of it; empty is every model, each by itself
	RequestsPerMinute int    // 0 is no limit
	TokensPerMinute   int    // 0 is no limit
}

// quotas keep what was asked of each model. They are safe for concurrent use.
type quotas struct {
	limits []Quota
	mu     sync.Mutex
	used   map[string][]*use // by model
}

// use is one request.
type use struct {
	mu     *sync.Mutex
	at     time.Time
	tokens int
}

// take enters a request, or throttles it. Nothing is kept where there is no limit.
func (q *quotas) take(in *inference, now time.Time) (*use, *refusal) {
	if len(q.limits) == 0 {
		return nil, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used == nil {
		q.used = map[string][]*use{}
	}
	id := in.model.ID
	var recent []*use
	held := &use{mu: &q.mu, at: now, tokens: in.request.InputTokens + in.maxTokens}
	total := held.tokens
	for _, u := range q.used[id] {
		if now.Sub(u.at) < time.Minute {
			recent = append(recent, u)
			total += u.tokens
		}
	}
	q.used[id] = recent
	for _, l := range q.limits {
		switch {
		case !strings.Contains(id, l.Model):
		case l.RequestsPerMinute > 0 && len(recent) >= l.RequestsPerMinute:
			return nil, Throttle.status()
		case l.TokensPerMinute > 0 && total > l.TokensPerMinute:
			return nil, &refusal{429, "ThrottlingException", "Too many tokens, please wait before trying again."}
		}
	}
	q.used[id] = append(recent, held)
	return held, nil
}

// settle says what a request came to.
func (u *use) settle(tokens int) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tokens = tokens
}

// burndown is how many tokens of a quota a token of output takes (Amazon Bedrock user guide, read 2026-11).
func (m *model) burndown() int {
	has := func(families ...string) bool {
		for _, f := range families {
			if strings.Contains(m.ID, f) {
				return true
			}
		}
		return false
	}
	switch {
	case has("claude-opus-4-8"):
		return 15
	case has("claude-sonnet-5", "claude-opus-5", "claude-fable", "claude-haiku-5", "gpt-5.6"):
		return 10
	case has("claude-3-haiku", "claude-3-sonnet", "claude-3-opus", "claude-3-5", "claude-v2", "claude-instant"):
		return 1
	case m.Provider == "anthropic":
		return 5
	default:
		return 1
	}
}
