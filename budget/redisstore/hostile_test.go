package redisstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// state is everything that a ledger holds.
func state(t *testing.T, s *Store) map[string]string {
	all, rdb := make(map[string]string), s.rdb.(*redis.Client)
	for _, key := range append(s.keys.entries[:], s.keys.ledger, s.keys.due, s.keys.buckets, s.keys.kills) {
		dump, err := rdb.Dump(t.Context(), key).Result()
		if err == nil {
			all[key] = dump
		}
	}
	return all
}

// rightArguments are what the store hands to each script, in the order of the head, for a ledger with one reservation.
func rightArguments(s *Store, r driver.Reservation) map[*script][][]byte {
	now := s.time.now()
	p, _ := s.place(r.Lines, &r.Charge, now, true)
	epoch, seen := s.epoch(), s.seen.Load()
	begin := func(parts ...[]byte) head { return newHead(append([][]byte{epoch}, parts...)...) }
	fresh := driver.NewID()
	shares := []driver.Share{{Amount: r.Charge}}
	change, row := make([]byte, 40), []byte("a row")
	copy(change[16:], fresh[:])
	binary.BigEndian.PutUint64(change[32:], math.MaxInt64)
	return map[*script][][]byte{
		scriptReserve:  {begin(fresh[:], r.Owner[:]).numbers(seen, 0, now, 1000, s.retention, p.hold.from, p.hold.until).flags(false).byte(units).numbers(1, 2).charge(&r.Charge), {}, p.booked, p.terms, {}, encodeNames(r.Lines), make([]byte, 16)},
		scriptSettle:   {begin(r.ID[:], r.Owner[:]).numbers(seen, 0, now, s.retention, 10, 1, 2).flags(false, true).charge(&r.Charge), p.booked, p.terms, p.marks, {}, {}, encodeNames(r.Lines), encodeShares(shares)},
		scriptVoid:     {begin(r.ID[:], r.Owner[:]).numbers(seen, 0, s.retention).flags(false)},
		scriptForestal: {begin(fresh[:], r.Owner[:]).numbers(seen, 0, s.retention).flags(true)},
		scriptCorrect:  {begin(r.ID[:]).numbers(seen, 0, s.retention, 10).charge(&r.Charge), change, row, encodeShares(shares)},
		scriptExpire:   {begin().numbers(seen, 0, s.retention, 10, 10, 10, 10, 1<<50)},
		scriptBalances: {begin().numbers(seen, 0, now, s.retention), p.booked, p.terms},
		scriptAccount:  {append(begin().numbers(seen, 0), 'o').numbers(now+1e12, 5), r.Lines[0].Account[:], change, row},
		scriptKill:     {append(begin().numbers(seen, 0), 'k').numbers(0, 10), r.Lines[0].Account[:], []byte("{}"), []byte("channel"), change, row},
		scriptKills:    {begin().numbers(seen, 0)},
		scriptChanges:  {begin().numbers(seen, 0, 0, 10)},
		scriptAccounts: {begin(make([]byte, 16)).numbers(seen, 0, 10)},
		scriptPeriods:  {begin(make([]byte, 16)).numbers(seen, 0, 0, 10)},
		scriptRows:     {begin(make([]byte, 20)).numbers(seen, 0, 10)},
		scriptPolicy:   {begin().numbers(seen, 0), []byte("channel"), []byte("\x00\x01a\x00\x01bdocument"), change, row},
		scriptEntries:  {append(begin(make([]byte, 16)).numbers(seen, 0, 10, 10), '-', 0, 0)},
	}
}

// payload says that an argument may be any bytes: a flag's payload and channel, a row of the audit trail; dimensions are none.
func payload(sc *script, i int) bool {
	switch sc {
	case scriptKill:
		return i == 2 || i == 3 || i == 5
	case scriptAccount:
		return i == 3
	case scriptCorrect:
		return i == 2
	case scriptPolicy:
		return i == 1 || i == 2 || i == 4
	case scriptSettle:
		return i >= 4 && i != 7 // names are looked at when there is something to name
	case scriptReserve:
		return i == 1 || i >= 4 && i != 6
	default:
		return false
	}
}

// raw runs a script with arguments of the test's own.
func (s *Store) raw(t *testing.T, sc *script, args [][]byte) error {
	all := make([]any, len(args))
	for i := range args {
		all[i] = args[i]
	}
	shard := s.keys.shard[:]
	if sc != scriptExpire && sc != scriptEntries {
		shard = shard[:1]
	}
	_, err := s.send(t.Context(), sc, shard, all)
	return err
}

// Scripts check what they are handed: arguments that are cut, lengthened or out of range change nothing.
func TestHostileArgumentsChangeNothing(t *testing.T) {
	s := open(t)
	r := reservation(3, append(daily(1, 10), driver.Line{Account: driver.Key{2}, Unit: driver.UnitUSD, Window: driver.Rolling(time.Hour), Max: 10, Notify: []float64{0.2}}))
	r.ID[0] = 0 // the first shard
	_, err := s.Reserve(t.Context(), r)
	require.NoError(t, err)
	before := state(t, s)
	for sc, right := range rightArguments(s, r) {
		for i := range right {
			if payload(sc, i) {
				continue
			}
			for _, bad := range [][]byte{right[i][:max(len(right[i])-1, 0)], append(bytes.Clone(right[i]), 'x'), []byte("9"), []byte("nan"), []byte("0x10"), []byte("1e3"), []byte("-5")} {
				if len(right[i]) == 0 && len(bad) == 0 {
					continue
				}
				args := append([][]byte{}, right...)
				args[i] = bad
				require.Error(t, s.raw(t, sc, args), "%s, argument %d: %q", sc.op, i, bad)
				require.True(t, maps.Equal(before, state(t, s)), "%s, argument %d: %q", sc.op, i, bad)
			}
		}
	}

	// Numbers that no sum may hold, or that are below zero, at each place of a number in what is booked and posted.
	for _, n := range []int64{-1, math.MinInt64, maxSum + 1, math.MaxInt64} {
		for _, tc := range []struct {
			sc      *script
			arg, at int
		}{
			{scriptReserve, 2, 16},
			{scriptReserve, 2, 26},
			{scriptReserve, 2, bookedWidth + 26},
			{scriptReserve, 0, 56},
			{scriptReserve, 0, 72},
			{scriptReserve, 0, 80},
			{scriptSettle, 0, 106},
			{scriptSettle, 0, 154},
			{scriptSettle, 1, 16},
			{scriptSettle, 2, 9},
			{scriptSettle, 2, termsWidth + 9},
			{scriptCorrect, 0, 64},
			{scriptCorrect, 0, 112},
			{scriptCorrect, 3, 16},
			{scriptVoid, 0, 64},
		} {
			args := append([][]byte{}, rightArguments(s, r)[tc.sc]...)
			args[tc.arg] = bytes.Clone(args[tc.arg])
			binary.BigEndian.PutUint64(args[tc.arg][tc.at:], uint64(n))
			_ = s.raw(t, tc.sc, args) // a line for another time is turned down without an error
			require.True(t, maps.Equal(before, state(t, s)), "%s, argument %d at %d: %d", tc.sc.op, tc.arg, tc.at, n)
		}
	}
	for sc, right := range rightArguments(s, r) {
		require.NoError(t, s.raw(t, sc, right), "the right arguments of %s are right", sc.op)
	}
}

// Whatever bytes arrive, sums never leave their range and the store goes on.
func TestGarbledArgumentsKeepTheLedgerWhole(t *testing.T) {
	s := open(t)
	r := reservation(3, append(daily(1, 1<<40), driver.Line{Account: driver.Key{2}, Unit: driver.UnitUSD, Window: driver.Rolling(time.Hour), Max: 1 << 40, Notify: []float64{1.0 / (1 << 39)}}))
	r.ID[0] = 0
	_, err := s.Reserve(t.Context(), r)
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(11, 12))
	for range 3000 {
		for sc, right := range rightArguments(s, r) {
			if random.IntN(8) > 0 {
				continue
			}
			args := make([][]byte, len(right))
			for i := range right {
				args[i] = bytes.Clone(right[i])
			}
			i := random.IntN(len(args))
			if len(args[i]) < 18 {
				continue
			}
			for range 1 + random.IntN(3) {
				args[i][16+random.IntN(len(args[i])-16)] = byte(random.Uint32())
			}
			_ = s.raw(t, sc, args)
		}
	}
	sums, err := s.rdb.HGetAll(t.Context(), s.keys.ledger).Result()
	require.NoError(t, err)
	for field, value := range maps.All(sums) {
		if len(field) != 24 {
			continue
		}
		in := reader{text: value}
		settled, pending := in.count(), in.count()
		if in.text != "" {
			in.count() // what entries had posted that were forgotten
		}
		require.True(t, in.done(), "%x holds %x", field, value)
		require.LessOrEqual(t, max(settled, pending), int64(maxSum))
	}
	require.NoError(t, s.AcceptLoss(t.Context(), storetest.NewChange())) // a clock in the far future may have made it forget
	require.NoError(t, s.Revive(t.Context(), driver.Flag{Scope: driver.Scope{}}, storetest.NewChange()))
	_, err = s.Balances(t.Context(), r.Lines)
	require.NoError(t, err)
}

// Two lines of one account would be booked once: they are refused.
func TestAnAccountIsNamedOnce(t *testing.T) {
	s := open(t)
	twice := append(daily(1, 10), daily(1, 10)...)
	_, err := s.Reserve(t.Context(), reservation(3, twice))
	require.ErrorContains(t, err, "account of another line")
	_, err = s.Settle(t.Context(), driver.Settlement{ID: driver.NewID(), Actual: usd(1), Lines: append(daily(2, 1), twice...)})
	require.ErrorContains(t, err, "account of another line")
	_, err = s.Reserve(t.Context(), reservation(3, append(daily(2, 10), daily(1, 10)...)))
	require.NoError(t, err, "any order will do")
	stands(t, s, daily(1, 10), 0, 3)
}

// Amounts beyond what a sum can hold are an overflow, wherever they come.
func TestAmountsBeyondTheRange(t *testing.T) {
	s := open(t)
	lines := daily(1, math.MaxInt64)
	for _, n := range []int64{maxSum + 1, math.MaxInt64} {
		_, err := s.Reserve(t.Context(), reservation(n, lines))
		require.ErrorIs(t, err, driver.ErrOverflow)
		_, err = s.Settle(t.Context(), driver.Settlement{ID: driver.NewID(), Actual: usd(n), Lines: lines})
		require.ErrorIs(t, err, driver.ErrOverflow)
		_, err = s.Correct(t.Context(), driver.Correction{ID: driver.NewID(), Actual: usd(n), Change: storetest.NewChange()})
		require.ErrorIs(t, err, driver.ErrOverflow)
	}
	// The largest sum is exact to the unit, and so are limits beyond it.
	r := reservation(maxSum, lines)
	_, err := s.Reserve(t.Context(), r)
	require.NoError(t, err)
	stands(t, s, lines, 0, maxSum)
	_, err = s.Settle(t.Context(), driver.Settlement{ID: r.ID, Owner: r.Owner, Actual: usd(maxSum - 1), Lines: lines})
	require.NoError(t, err)
	stands(t, s, lines, maxSum-1, 0)
	require.NoError(t, s.Override(t.Context(), lines[0].Account, &driver.Override{Max: math.MaxInt64 - 1, Until: time.Now().Add(time.Hour)}, storetest.NewChange()))
	all, err := s.Balances(t.Context(), lines)
	require.NoError(t, err)
	require.Equal(t, int64(math.MaxInt64-1), all[0].Max)
	d, err := s.Reserve(t.Context(), reservation(1, lines))
	require.NoError(t, err)
	require.True(t, d.Admitted)
}

// FuzzDecode reads what a server may send, whoever it is.
func FuzzDecode(f *testing.F) {
	lines := append(daily(1, 10), driver.Line{Account: driver.Key{2}, Unit: driver.UnitUSD, Window: driver.Rolling(time.Hour), Max: 10, Notify: []float64{0.2}})
	r := reservation(3, lines)
	answer := func(code byte) head { return append(head{code}, head(nil).numbers(5, 1_767_225_600_000_000)...) }
	stand := append(append(head{0, 1, 1}, head(nil).numbers(1, 2, 3, 4)...), append(head{0, 1}, head(nil).numbers(29_000_000, 7)...)...)
	f.Add([]byte(answer('A').numbers(1_767_225_600_000_001)))
	f.Add([]byte(append(answer('A').numbers(1_767_225_600_000_001), stand...)))
	f.Add([]byte(append(answer('D'), stand...)))
	f.Add([]byte(append(answer('A'), 'p', 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0, 0, 0, 0, 0, 5)))
	payload, _ := encodeFlag(driver.Kill{Scope: driver.Scope{Principal: "\xff", Tags: map[string]string{"a": "b"}}, Reason: "x"})
	f.Add([]byte(append(answer('K').numbers(7), payload...)))
	f.Add([]byte(append(append(append(answer('A'), 0), append(head(nil).numbers(7), 0, 0, 0, byte(len(payload)))...), payload...)))
	f.Add(append(append(make([]byte, 16), 'x', 1), make([]byte, 136)...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if e, err := parseEntry(string(make([]byte, 16)), string(raw), nil); err == nil {
			require.NoError(t, e.Reserved.Validate())
			require.NoError(t, e.Actual.Validate())
			require.NotEmpty(t, e.State)
		}
		_, _ = parseFound([]any{string(raw), "1", layout, "1", string(raw)})
		_, entries, err := parsePage([]any{string(raw), string(make([]byte, 16)), string(raw)})
		require.True(t, err == nil || len(entries) == 0)
		answer, err := parseReply(string(raw))
		if err != nil {
			return
		}
		if d, err := decision(answer, &r); err == nil {
			require.True(t, d.Admitted != (len(d.Denied) > 0 || d.Killed != nil), fmt.Sprint(d))
		}
		if p, err := posting(answer, lines); err == nil {
			for _, c := range p.Crossed {
				require.Less(t, c.Mark, len(lines[c.Line].Notify))
			}
		}
		if all, err := balances(answer, lines); err == nil {
			require.Len(t, all, len(lines))
		}
		_, _ = parseFlags(answer.rest, answer.now)
		_, _ = parseUsage(string(raw))
	})
}
