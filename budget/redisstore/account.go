package redisstore

import (
	"context"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// Balances implements driver.Store. One script reads the accounts of all lines. Windows depend on time zones, which scripts don't know, so they
// are computed here for the server's estimated time, now; ask tries again if the server's clock says that it is in other windows.
func (s *Store) Balances(ctx context.Context, lines []driver.Line) ([]driver.Balance, error) {
	answer, err := s.ask(ctx, scriptBalances, nil, func(now, clock int64) ([]any, error) {
		p, err := s.place(lines, &driver.Charge{}, now, false) // for an amount of zero: nothing is reserved
		if err != nil {
			return nil, err
		}
		// By the epoch, the ledger's random name, and the highest sequence seen, the script notices that the ledger was replaced or set back.
		return []any{[]byte(newHead(s.epoch()).numbers(s.seen.Load(), clock, now, s.retention)), []byte(p.booked), []byte(p.terms)}, nil
	})
	if err != nil {
		return nil, err
	}
	return balances(answer, lines)
}

// balances decodes the answer to Balances: for each line, in order, its standing, which is the account's sums and override.
func balances(answer reply, lines []driver.Line) ([]driver.Balance, error) {
	in, all := answer.rest, make([]driver.Balance, len(lines))
	for i := range lines {
		s := in.standing(len(lines)) // with in.failed if there is none left
		if in.failed || s.line != i {
			return nil, errReply
		}
		all[i] = s.balance(&lines[i], answer.now)
		all[i].ResetAfter = s.wait(lines[i].Window, answer.now, s.settled+s.pending) // until all that is used now has left the window
	}
	if !in.done() || answer.code != codeDone {
		return nil, errReply
	}
	return all, nil
}
