package redisstore

import (
	"context"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Balances implements driver.Store. One script reads all lines, for the windows of a guessed time.
func (s *Store) Balances(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
	answer, err := s.ask(ctx, scriptBalances, nil, func(now, clock int64) ([]any, error) {
		p, err := s.place(lines, &driver.Charge{}, now, false)
		if err != nil {
			return nil, err
		}
		return []any{[]byte(newHead(s.epoch()).numbers(s.seen.Load(), clock, now, s.retention)), []byte(p.booked), []byte(p.terms)}, nil
	})
	if err != nil {
		return nil, err
	}
	return balances(answer, lines)
}

// balances decodes the answer to Balances.
func balances(answer reply, lines []driver.Line) ([]driver.Balance, error) {
	in, all := answer.rest, make([]driver.Balance, len(lines))
	for i := range lines {
		s := in.standing(len(lines))
		if in.failed || s.line != i {
			return nil, errReply
		}
		all[i] = s.balance(&lines[i], answer.now)
		all[i].ResetAfter = s.wait(lines[i].Window, answer.now, s.settled+s.pending)
	}
	if !in.done() || answer.code != codeDone {
		return nil, errReply
	}
	return all, nil
}
