package redisstore

import (
	"context"
	"fmt"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Balances implements budget.Store.
func (s *Store) Balances(ctx context.Context, lines []budget.Line) ([]budget.Balance, error) {
	answer, err := s.ask(ctx, scriptBalances, nil, func(now, clock int64) ([]any, error) {
		p, err := place(lines, &budget.Charge{}, now, false)
		if err != nil {
			return nil, err
		}
		return []any{[]byte(newHead([]byte(s.epoch)).numbers(s.seen.Load(), clock, now)), []byte(p.booked), []byte(p.terms)}, nil
	})
	if err != nil {
		return nil, err
	}
	return balances(answer, lines)
}

// balances reads the answer to Balances.
func balances(answer reply, lines []budget.Line) ([]budget.Balance, error) {
	in, all := answer.rest, make([]budget.Balance, len(lines))
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

// Override implements budget.Store.
func (s *Store) Override(ctx context.Context, account budget.Key, o *budget.Override) error {
	if o == nil {
		return s.change(ctx, 'o', 0, 0, account)
	}
	if o.Max < 0 {
		return fmt.Errorf("%w: an override to %d", budget.ErrInvalidCharge, o.Max)
	}
	return s.change(ctx, 'o', moment(o.Until), o.Max, account)
}

// Unlatch implements budget.Store.
func (s *Store) Unlatch(ctx context.Context, accounts []budget.Key) error {
	return s.change(ctx, 'u', 0, 0, accounts...)
}

// change gives accounts an override, or opens their latches.
func (s *Store) change(ctx context.Context, action byte, until, limit int64, accounts ...budget.Key) error {
	answer, err := s.ask(ctx, scriptAccount, nil, func(_, clock int64) ([]any, error) {
		h := append(newHead([]byte(s.epoch)).numbers(s.seen.Load(), clock), action).numbers(until, limit)
		return []any{appendKeys(h, accounts)}, nil
	})
	if err == nil && answer.code != codeDone {
		err = errReply
	}
	return err
}
