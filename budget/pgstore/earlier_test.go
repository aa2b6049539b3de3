package pgstore

import (
	"compress/gzip"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/earlier"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// loadEarlier restores a dump of a schema of version 1, its functions included, under another name.
func loadEarlier(t *testing.T) (pool *pgxpool.Pool, schema string) {
	packed, err := os.Open("testdata/schema1.sql.gz")
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
	pool, schema := loadEarlier(t)
	clock := storetest.NewClock(earlier.Now)
	earlier.Check(t, clock, func() budget.Store {
		s, err := Open(t.Context(), pool, func(o *Options) { o.Schema, o.Clock, o.Timeout = schema, clock.Now, waitFor })
		require.NoError(t, err)
		return s
	})
}

// A charge in a unit that only a later library knows is not read as one without it.
func TestALedgerWithALaterUnitIsRefusedByName(t *testing.T) {
	pool, schema := loadEarlier(t)
	clock := storetest.NewClock(earlier.Now)
	s := open(t, pool, schema, func(o *Options) { o.Clock = clock.Now })
	admin(t, dsn(t), "UPDATE "+schema+".reservation SET reserved = reserved || 7::int8, actual = actual || 7::int8")
	_, err := s.Entries(t.Context(), budget.Query{Max: 10})
	require.ErrorContains(t, err, "counts 8 units, this library knows 7: use a newer library")
}
