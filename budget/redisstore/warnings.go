package redisstore

import (
	"context"
	"fmt"
	"strconv"
)

// nearlyFull is the percentage of maxmemory above which Warnings reports used memory.
const nearlyFull = 80

// Warnings reports what will soon make the server refuse or lose writes, as far as it is known: memory that is nearly used up, and an
// append-only file that could not be written. Limits hold in any case: a server that is full refuses calls.
func (s *Store) Warnings(ctx context.Context) (all []string, err error) {
	// look asks the server about itself and the ledger, and changes nothing with this action.
	f, err := s.look(ctx, scriptInspect, actionInspect)
	if err != nil {
		return nil, err
	}
	return f.warnings(), nil
}

// warnings reads the server's INFO. A field that the server does not report causes no warning.
func (f *found) warnings() (all []string) {
	used, _ := strconv.ParseInt(f.info["used_memory"], 10, 64)
	most, _ := strconv.ParseInt(f.info["maxmemory"], 10, 64)
	if most > 0 && float64(used) > float64(most)*nearlyFull/100 {
		all = append(all, fmt.Sprintf("the server uses %d MiB of maxmemory's %d, and refuses writes, so that calls are refused, once that is full: raise it, or shorten Options.Retention", used>>20, most>>20))
	}
	for _, last := range []struct{ field, done string }{{"aof_last_write_status", "written"}, {"aof_last_bgrewrite_status", "rewritten"}} {
		if status, told := f.info[last.field]; told && status != "ok" {
			all = append(all, "the append-only file could not be "+last.done+" last: see the server's log, and its disk")
		}
	}
	return all
}
