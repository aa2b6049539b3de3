package redisstore

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A server that will soon refuse writes is named, with figures and what to do; one in order has nothing to say.
func TestWarnings(t *testing.T) {
	store := open(t)
	all, err := store.Warnings(t.Context())
	require.NoError(t, err)
	require.Empty(t, all)

	full := found{info: map[string]string{"used_memory": "943718400", "maxmemory": "1073741824", "aof_last_write_status": "err", "aof_last_bgrewrite_status": "err"}}
	require.Equal(t, []string{
		"the server uses 900 MiB of maxmemory's 1024, and refuses writes, so that calls are refused, once that is full: raise it, or shorten Options.Retention",
		"the append-only file could not be written last: see the server's log, and its disk",
		"the append-only file could not be rewritten last: see the server's log, and its disk",
	}, full.warnings())
	silent := found{info: map[string]string{"used_memory": "943718400", "maxmemory": "0"}}
	require.Empty(t, silent.warnings(), "no maximum, and nothing told of a file")
}
