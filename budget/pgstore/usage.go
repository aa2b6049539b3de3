package pgstore

import (
	"context"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// A row of usage is the sum of a UTC day's amounts over calls with the same scope; its key within the day is made of that scope. What a settlement
// posts is added to one such row, or, by its shares, to several.

// usageOf returns the key of a call's row of usage; without a call a null, with which the function uses the reservation's row.
func usageOf(c *driver.Call) any {
	if c == nil {
		return nullUUID{}
	}
	return [16]byte(c.UsageKey())
}

// encodeShares encodes how an amount divides among calls: parts with a semicolon between them, each <key of the row of usage>|<call, encoded, in
// hexadecimal digits>|<amounts as an array of bigint, indexed by unit>. The text is empty without shares.
func encodeShares(shares []driver.Share) string {
	var b []byte
	for i := range shares {
		if i > 0 {
			b = append(b, ';')
		}
		key := uuid(shares[i].Call.UsageKey())
		b = append(append(b, key.String()...), '|')
		b = append(hex.AppendEncode(b, encodeCall(shares[i].Call)), '|', '{')
		for unit, n := range shares[i].Amount {
			if unit > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, n, 10)
		}
		b = append(b, '}')
	}
	return string(b)
}

// usageRow is a row of usage in the server's answer.
type usageRow struct {
	Day    int64   // counted from 1970, in UTC
	Key    string  // a uuid
	Whose  []byte  // the scope, as account.EncodeCall encodes a call
	Amount []int64 // by unit
}

// public converts a row into the contract's type.
func (r *usageRow) public() (out driver.UsageRow, err error) {
	out.Day = account.DayStart(r.Day)
	if out.Key, err = parseKey(r.Key); err != nil {
		return out, err
	}
	c, _, err := account.DecodeCall(r.Whose)
	if err != nil {
		return out, problem(err.Error())
	}
	out.Scope = c.UsageScope()
	out.Charge, err = charge(r.Amount)
	return out, err
}

// Usage implements driver.Store. A limit out of range is replaced with the nearest valid one.
func (s *Store) Usage(ctx context.Context, from driver.UsageMark, limit int) ([]driver.UsageRow, error) {
	a, err := s.step(ctx, call{function: "list_usage", moments: true, args: func(*placement) []any {
		return []any{account.UsageDay(from.Day), [16]byte(from.After), int64(max(1, min(limit, maxEntries)))}
	}})
	if err != nil {
		return nil, err
	}
	all := make([]driver.UsageRow, len(a.detail.Usage))
	for i := range all {
		if all[i], err = a.detail.Usage[i].public(); err != nil {
			return nil, failed("usage", err)
		}
	}
	return all, nil
}

// policy is the policy document in the server's answer. Version is the ledger's revision that set it, and At when, in nanoseconds since 1970.
type policy struct {
	Document, Operator, Reason []byte
	Version, At                int64
}

// SetPolicy implements driver.Store. The function also publishes the change on the ledger's channel.
func (s *Store) SetPolicy(ctx context.Context, document []byte, c driver.Change) error {
	if err := driver.ValidateDocument(document); err != nil {
		return err
	}
	r := driver.Record{Change: c, Kind: driver.ChangePolicy, Policy: driver.DocumentSum(document)}
	_, err := s.change(ctx, "set_policy", r, nil, document, []byte(c.Operator), []byte(c.Reason), s.channel)
	return err
}

// Policy implements driver.Store. Without a policy it returns the zero value.
func (s *Store) Policy(ctx context.Context) (driver.PolicyDocument, error) {
	a, err := s.step(ctx, call{function: "read_policy"})
	if err != nil || a.detail.Policy == nil {
		return driver.PolicyDocument{}, err
	}
	p := a.detail.Policy
	return driver.PolicyDocument{
		Text: p.Document, Version: p.Version, At: time.Unix(0, p.At), Operator: string(p.Operator), Reason: string(p.Reason),
	}, nil
}

// patterns are the kill flags with patterns that this process knows. It is immutable; nil means none. The database does not match patterns, so
// the process does, and sends the names of the flags that cover the call with the id of the list from which it took them. If the ledger has
// another list by then, the answer contains that one, and the step is sent again.
type patterns struct {
	list [16]byte // the list's id: each change of it gives it another
	all  []knownPattern
}

// knownPattern is one flag of the list.
type knownPattern struct {
	object [16]byte // the flag's name in the ledger
	flag   driver.Flag
}

// pattern is one of these flags in the server's answer.
type pattern struct {
	Object string // a uuid: knownPattern.object
	Scope  []byte // as account.EncodeScope encodes it
}

// id identifies the list; zero if none is known.
func (p *patterns) id() [16]byte {
	if p == nil {
		return [16]byte{}
	}
	return p.list
}

// matches returns the names of the flags that cover a call, without regard to their ends: the server decides whether they have ended.
func (p *patterns) matches(c *driver.Call) []pgtype.UUID {
	found := []pgtype.UUID{} // not nil, which would become a null
	if p == nil || c == nil {
		return found
	}
	for i := range p.all {
		if p.all[i].flag.Holds(c.Scope) {
			found = append(found, uuid(p.all[i].object))
		}
	}
	return found
}

// learnPatterns takes the list of patterns in an answer in the place of the one that this process knew.
func (s *Store) learnPatterns(a *answer) (err error) {
	p := &patterns{all: make([]knownPattern, len(a.detail.Patterns))}
	if p.list, err = parseKey(a.detail.List); err != nil {
		return err
	}
	for i, raw := range a.detail.Patterns {
		if p.all[i].object, err = parseKey(raw.Object); err != nil {
			return err
		}
		p.all[i].flag.Patterns = true
		if p.all[i].flag.Scope, err = account.DecodeScope(raw.Scope); err != nil {
			return problem(err.Error())
		}
	}
	s.flags.Store(p)
	return nil
}
