package redisstore

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// encodeShares encodes how an amount divides among calls, for each call: <row of usage 16 bytes><amounts 8 each><length 2><the encoded call>. A row
// of usage is the sum of a day's amounts over calls with the same scope; its key within the day is made of that scope. A head is a list of bytes with
// methods that append to it: charge appends a number for each unit.
func encodeShares(shares []driver.Share) head {
	h := head{}
	for i := range shares {
		key, whose := shares[i].Call.UsageKey(), encodeCall(shares[i].Call)
		h = append(h, key[:]...).charge(&shares[i].Amount)
		h = append(binary.BigEndian.AppendUint16(h, uint16(len(whose))), whose...)
	}
	return h
}

// Usage implements driver.Store. A limit out of range is replaced with the nearest valid one.
func (s *Store) Usage(ctx context.Context, from driver.UsageMark, limit int) ([]driver.UsageRow, error) {
	limit = max(1, min(limit, maxEntries))
	all := []driver.UsageRow{}
	// mark is behind which row the next page begins: the row's day, as a number from 1970 on, and its key. The day of the zero time is 0, which is
	// before all rows.
	mark := append(binary.BigEndian.AppendUint32(nil, uint32(account.UsageDay(from.Day))), from.After[:]...)
	// Rows whose amounts have become zero are left out, so that one page of the script may be too few.
	for len(all) < limit {
		_, found, err := s.list(ctx, scriptRows, mark, int64(limit))
		if err != nil {
			return nil, err
		}
		for _, text := range found {
			row, err := parseUsage(text)
			if err != nil {
				return nil, err
			}
			// A second page may have more rows than are still missing.
			if row.Charge != (driver.Charge{}) && len(all) < limit {
				all = append(all, row)
			}
		}
		if len(found) < limit { // a page that is not full is the last one
			break
		}
		mark = []byte(found[len(found)-1][:markBytes]) // each row begins with its own day and key
	}
	return all, nil
}

// markBytes is the length of a day and a key, with which an encoded row of usage begins.
const markBytes = 4 + 16

// parseUsage decodes a row: its day, its key, how many units it counts and their amounts, and the encoded call that it belongs to.
func parseUsage(text string) (row driver.UsageRow, err error) {
	if len(text) < markBytes {
		return row, errReply
	}
	in := reader{text: text}
	row.Day = account.DayStart(in.number(4))
	row.Key = driver.Key([]byte(in.bytes(16)))
	n := in.number(1)
	if err := knows(n); err != nil {
		return row, err
	}
	row.Charge = in.charge(n)
	if in.failed {
		return row, errReply
	}
	// The second value would be the provider's id of a request: encodeCall leaves it empty.
	c, _, err := account.DecodeCall([]byte(in.text))
	row.Scope = c.UsageScope()
	return row, err
}

// SetPolicy implements driver.Store. The script is sent the operator, the reason and the document in one argument, and publishes the change.
func (s *Store) SetPolicy(ctx context.Context, document []byte, c driver.Change) error {
	if err := driver.ValidateDocument(document); err != nil {
		return err
	}
	if err := c.Validate(); err != nil {
		return err
	}
	// change is what the script finds repeats and conflicts by, and row the change's row of the audit trail. The latter has a hash of the document.
	change, row, err := encodeChange(&driver.Record{Change: c, Kind: driver.ChangePolicy, Policy: driver.DocumentSum(document)})
	if err != nil {
		return err
	}
	var sent []byte
	for _, text := range []string{c.Operator, c.Reason} {
		sent = append(binary.BigEndian.AppendUint16(sent, uint16(len(text))), text...)
	}
	sent = append(sent, document...)
	// ask calls this function for each try. The script compares the epoch, the ledger's random name, and the highest sequence seen with its own, to
	// notice a loss.
	return changeError(s.ask(ctx, scriptPolicy, nil, func(_, clock int64) ([]any, error) {
		return []any{[]byte(newHead(s.epoch()).numbers(s.seen.Load(), clock)), s.keys.channel, sent, change, row}, nil
	}))
}

// Policy implements driver.Store. The script of SetPolicy, sent without a document, reads the stored one: <version 8 bytes><set at 8><length
// 2><operator><length 2><reason><document>. The answer is empty if none was ever set.
func (s *Store) Policy(ctx context.Context) (driver.PolicyDocument, error) {
	// The one argument has what every request begins with: the epoch, the highest sequence seen and the clock. See SetPolicy.
	answer, err := s.ask(ctx, scriptPolicy, nil, func(_, clock int64) ([]any, error) {
		return []any{[]byte(newHead(s.epoch()).numbers(s.seen.Load(), clock))}, nil
	})
	in := answer.rest
	if err != nil || in.text == "" {
		return driver.PolicyDocument{}, err
	}
	// A time beyond never, which no script stores, is cut to it, so that it can be converted.
	d := driver.PolicyDocument{Version: in.count(), At: fromMicro(min(in.count(), never))}
	d.Operator = in.bytes(int(in.number(2)))
	d.Reason = in.bytes(int(in.number(2)))
	if in.failed {
		return driver.PolicyDocument{}, errReply
	}
	d.Text = []byte(in.text)
	return d, nil
}

// patterns are the kill flags with patterns that this process knows. It is immutable; nil means none. A script can't match patterns, so the
// process does, and sends the names of the flags that cover the call with the id of the list from which it took them. If the ledger has
// another list by then, the answer contains that one, and the step is sent again.
type patterns struct {
	list driver.Key // the list's id: each change of it gives it another
	all  []knownPattern
}

// knownPattern is one flag of the list.
type knownPattern struct {
	object string // the flag's name in the ledger: the 16 bytes of its Object
	flag   driver.Flag
}

// none, the id of the empty list, is sent by a process that knows no list.
var none = make([]byte, 16)

// matches returns the list's id, and behind that the names of the flags that cover a call. The server decides whether they have ended.
func (p *patterns) matches(c *driver.Call) []byte {
	if p == nil {
		return none
	}
	found := bytes.Clone(p.list[:])
	// Nobody said whose call it is, and no pattern matches what is not known.
	if c == nil {
		return found
	}
	for i := range p.all {
		// Holds reports whether a flag covers calls of a scope.
		if p.all[i].flag.Holds(c.Scope) {
			found = append(found, p.all[i].object...)
		}
	}
	return found
}

// learnPatterns stores the list in an answer: its id, and then of each flag <1 1 byte><name 16><set at 8><until 8><length 4><payload>.
func (s *Store) learnPatterns(r *reply) error {
	in := r.rest
	list := in.bytes(16)
	if in.failed {
		return errReply
	}
	p := &patterns{list: driver.Key([]byte(list))}
	for !in.failed && in.text != "" {
		in.number(1) // how many keys it is found by: a flag with patterns by one, which is its name
		object := in.bytes(16)
		in.bytes(16) // its two times are not needed
		k, err := decodeFlag(in.bytes(int(in.number(4))))
		if err != nil || in.failed {
			return errReply
		}
		p.all = append(p.all, knownPattern{object, k.Flag()})
	}
	// If another answer has brought a newer list meanwhile, this does no harm: the script compares the list's id in each Reserve that a flag may refuse.
	s.flags.Store(p)
	return nil
}
