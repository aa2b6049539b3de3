package pgstore

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/earlier"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// loadEarlier restores a dump of a schema of an earlier version, its functions included, under another name. That of version 4 is that of
// version 1, brought up to date by the library of its time.
func loadEarlier(t *testing.T, version int) (pool *pgxpool.Pool, schema string) {
	packed, err := os.Open(fmt.Sprintf("testdata/schema%d.sql.gz", version))
	require.NoError(t, err)
	defer packed.Close()
	from, err := gzip.NewReader(packed)
	require.NoError(t, err)
	raw, err := io.ReadAll(from)
	require.NoError(t, err)
	schema = newSchema()
	dump := strings.NewReplacer(`"earlier".`, schema+".", "earlier.", schema+".", "SCHEMA earlier", "SCHEMA "+schema).Replace(string(raw))
	admin(t, dsn(t), dump)
	return newPool(t, dsn(t)), schema
}

// A ledger that an earlier library wrote keeps what it holds, and refuses what it refused.
func TestALedgerOfAnEarlierLibraryGoesOn(t *testing.T) {
	for _, version := range []int{1, 4} {
		pool, schema := loadEarlier(t, version)
		clock := storetest.NewClock(earlier.Now)
		earlier.Check(t, clock, func() driver.Store {
			s, err := Open(t.Context(), pool, Options{Schema: schema, Clock: clock.Now, Timeout: waitFor})
			require.NoError(t, err)
			return s
		})
		// Of what was posted before nothing is taken out of usage; what is posted since is nobody's.
		s := open(t, pool, schema, func(o *Options) { o.Clock = clock.Now })
		rows, err := s.Usage(t.Context(), driver.UsageMark{}, 10)
		require.NoError(t, err)
		require.Len(t, rows, 1)
		require.Equal(t, (*driver.Call)(nil).UsageKey(), rows[0].Key)
		require.Equal(t, driver.UsageDay(earlier.Now), rows[0].Day)
		require.Equal(t, int64(1+6+4+55+2), rows[0].Charge[driver.UnitUSD])
	}
}

// A process with the library before goes on where it is safe: what it charges is usage, flags end for it, too, and where flags with
// patterns are set, which it can't judge, it is told so. Those with older ones are told at once.
func TestProcessesOfEarlierLibraries(t *testing.T) {
	s := fresh(t)
	l := line(1, driver.Monthly, 100)
	run := func(function string, lines []driver.Line, args func(r *driver.Reservation, at *placement) []any, r driver.Reservation) (answer, error) {
		return s.do(t.Context(), call{function: function, moments: true, lines: lines, makes: lines != nil, args: func(at *placement) []any { return args(&r, at) }})
	}
	reserve := func(r *driver.Reservation, at *placement) []any {
		return []any{
			[16]byte(r.ID), [16]byte(r.Owner), r.Charge[:], int64(r.TTL), false, false, uuids(r.Dims),
			at.accounts, at.units, at.starts, at.widths, at.ends, at.steps, at.maxes, at.observe, at.latch, encodeCall(r.Call), at.names,
		}
	}
	settle := func(r *driver.Reservation, at *placement) []any {
		return []any{
			[16]byte(r.ID), [16]byte(r.Owner), r.Charge[:], false,
			at.accounts, at.units, at.starts, at.widths, at.ends, at.steps, at.maxes, at.markLines, at.markNumber, at.marks, encodeCall(r.Call),
			[]byte{},
			at.names,
		}
	}
	mine := &driver.Call{Scope: driver.Scope{Workflow: "w"}}
	r := hold(3, l)
	r.Call, r.Dims = mine, mine.Scope.Dims()
	a, err := run("reserve", r.Lines, reserve, r)
	require.NoError(t, err)
	require.Equal(t, "admitted", a.status)
	a, err = run("settle", r.Lines, settle, r)
	require.NoError(t, err)
	require.Equal(t, "done", a.status)
	rows, err := s.Usage(t.Context(), driver.UsageMark{}, 10)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, usd(3), rows[0].Charge)

	for function, own := range map[string][]any{
		"expire": {nil, int64(10)}, "flags": {}, "set_flag": {nil, uuids(mine.Scope.Dims()), []byte("{}"), []byte("r"), "channel"},
		"remove_flag": {nil, uuids(mine.Scope.Dims()), "channel"}, "correct": {nil, [16]byte(r.ID), r.Charge[:]},
	} {
		if fresh := driver.NewID(); function != "expire" && function != "flags" {
			own = append(own, [16]byte(fresh), [16]byte(fresh), int64(1<<40), []byte("{}"))
		}
		_, err := s.step(t.Context(), call{function: function, args: func(*placement) []any { return own }})
		require.NoError(t, err, function)
	}
	require.NoError(t, s.Revive(t.Context(), driver.Flag{Scope: mine.Scope}, storetest.NewChange()))
	require.NoError(t, s.Kill(t.Context(), driver.Kill{Scope: mine.Scope, Until: time.Unix(1, 0)}, storetest.NewChange()))
	r.ID = driver.NewID()
	a, err = run("reserve", r.Lines, reserve, r)
	require.NoError(t, err)
	require.Equal(t, "admitted", a.status, "the flag has ended")
	star := driver.Kill{Scope: driver.Scope{Workflow: "x*"}, Patterns: true}
	require.NoError(t, s.Kill(t.Context(), star, storetest.NewChange()))
	r.ID = driver.NewID()
	_, err = run("reserve", r.Lines, reserve, r)
	require.ErrorContains(t, err, "use a newer library")
	require.NoError(t, s.Revive(t.Context(), star.Flag(), storetest.NewChange()))
	a, err = run("reserve", r.Lines, reserve, r)
	require.NoError(t, err)
	require.Equal(t, "admitted", a.status)

	pool, schema := loadEarlier(t, 1)
	clock := storetest.NewClock(earlier.Now)
	oldest := open(t, pool, schema, func(o *Options) { o.Clock = clock.Now })
	_, err = oldest.step(t.Context(), call{function: "correct", moments: true, args: func(*placement) []any {
		c := usd(1)
		return []any{[16]byte{1}, c[:]}
	}})
	require.ErrorContains(t, err, "use a newer library")
}

// A charge in a unit that only a later library knows is not read as one without it.
func TestALedgerWithALaterUnitIsRefusedByName(t *testing.T) {
	pool, schema := loadEarlier(t, 4)
	clock := storetest.NewClock(earlier.Now)
	s := open(t, pool, schema, func(o *Options) { o.Clock = clock.Now })
	ended := driver.Settlement{ID: driver.NewID(), Actual: usd(1)}
	_, err := s.Settle(t.Context(), ended)
	require.NoError(t, err)
	admin(t, dsn(t), "UPDATE "+schema+".reservation SET reserved = reserved || 7::int8, actual = actual || 7::int8", "UPDATE "+schema+".usage SET amount = amount || 7::int8")
	const named = "counts 8 units, this library knows 7: use a newer library"
	_, err = s.Entries(t.Context(), driver.Query{Max: 10})
	require.ErrorContains(t, err, named)
	_, err = s.Usage(t.Context(), driver.UsageMark{}, 10)
	require.ErrorContains(t, err, named)
	_, err = s.Correct(t.Context(), driver.Correction{ID: ended.ID, Actual: usd(2), Change: storetest.NewChange()})
	require.ErrorContains(t, err, named)
	_, err = s.Settle(t.Context(), driver.Settlement{ID: driver.ID{5}, Owner: driver.Key{9}, Actual: usd(2)})
	require.ErrorContains(t, err, named)
}
