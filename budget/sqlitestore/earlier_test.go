package sqlitestore

import (
	"compress/gzip"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/earlier"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// earlierFile unpacks the file of schema version 1.
func earlierFile(t *testing.T) string {
	packed, err := os.Open("testdata/schema1.db.gz")
	require.NoError(t, err)
	defer packed.Close()
	from, err := gzip.NewReader(packed)
	require.NoError(t, err)
	raw, err := io.ReadAll(from)
	require.NoError(t, err)
	path := tempFile(t)
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	return path
}

// A file that an earlier library wrote keeps what it holds, and refuses what it refused.
func TestAFileOfAnEarlierLibraryGoesOn(t *testing.T) {
	path, clock := earlierFile(t), storetest.NewClock(earlier.Now)
	earlier.Check(t, clock, func() driver.Store {
		s, err := Open(t.Context(), path, Options{Clock: clock.Now})
		require.NoError(t, err)
		return s
	})
}

// A charge in a unit that only a later library knows is not read as one without it.
func TestAFileWithALaterUnitIsRefusedByName(t *testing.T) {
	path, clock := earlierFile(t), storetest.NewClock(earlier.Now)
	s, err := Open(t.Context(), path, Options{Clock: clock.Now})
	require.NoError(t, err)
	defer s.Close()
	_, err = s.conn.ExecContext(t.Context(), "UPDATE reservation SET reserved = CAST(reserved || x'0000000000000007' AS BLOB), actual = CAST(actual || x'0000000000000007' AS BLOB)")
	require.NoError(t, err)
	_, err = s.Entries(t.Context(), driver.Query{Max: 10})
	require.ErrorContains(t, err, "counts 8 units, this library knows 7: use a newer one")
	_, err = s.Settle(t.Context(), driver.Settlement{ID: driver.ID{5}, Owner: driver.Key{9}})
	require.ErrorContains(t, err, "use a newer one")
}
