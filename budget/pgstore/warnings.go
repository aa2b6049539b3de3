package pgstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// thresholds are the values from which Warnings reports something.
type thresholds struct {
	snapshot time.Duration // how long a snapshot is held
	log      int64         // bytes of the server's log that are kept
	dead     int64         // dead rows of a table
	entries  int64         // remembered reservations
}

var defaultThresholds = thresholds{snapshot: 10 * time.Minute, log: 1 << 30, dead: 100_000, entries: 1_000_000}

// warningQueries return one text for each problem. $1 is the ledger's schema, $2 the threshold. Queries that are not about the schema still name
// $1, as in "$1::text IS NOT NULL", because all get the same two arguments.
var warningQueries = []struct {
	text      string
	threshold func(*thresholds) int64 // $2
}{
	{`SELECT format('a transaction of %s (process %s) has held a snapshot for %s: dead rows of the ledger pile up until it ends', coalesce(nullif(application_name, ''), 'an unnamed program'), pid, date_trunc('second', now() - xact_start))
		FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND xact_start < now() - $2::bigint * interval '1 second' AND $1::text IS NOT NULL ORDER BY xact_start LIMIT 10`, func(t *thresholds) int64 { return int64(t.snapshot / time.Second) }},
	{`SELECT format('prepared transaction %s has been open since %s: dead rows of the ledger pile up until it is committed or rolled back', quote_literal(gid), date_trunc('second', prepared))
		FROM pg_prepared_xacts WHERE prepared < now() - $2::bigint * interval '1 second' AND $1::text IS NOT NULL ORDER BY prepared LIMIT 10`, func(t *thresholds) int64 { return int64(t.snapshot / time.Second) }},
	{`SELECT format('nobody reads replication slot %s, for which the server keeps %s of its log: drop it', quote_ident(slot_name), pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)))
		FROM pg_replication_slots WHERE NOT active AND pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) > $2::bigint AND $1::text IS NOT NULL ORDER BY slot_name LIMIT 10`, func(t *thresholds) int64 { return t.log }},
	{`SELECT format('table %s has %s dead rows beside %s that live: autovacuum does not keep up, or something holds a snapshot', relname, n_dead_tup, n_live_tup)
		FROM pg_stat_user_tables WHERE schemaname = $1 AND n_dead_tup > $2::bigint AND n_dead_tup > n_live_tup ORDER BY relname`, func(t *thresholds) int64 { return t.dead }},
	{`SELECT format('about %s reservations are remembered, in %s: a shorter Options.Retention of the processes that spend makes the table smaller', c.reltuples::bigint, pg_size_pretty(pg_total_relation_size(c.oid)))
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'reservation' AND c.reltuples > $2::bigint`, func(t *thresholds) int64 { return t.entries }},
}

// Warnings reports what makes the ledger slow or large before it causes failures: snapshots that are held for long, so that dead rows cannot
// be removed; a log that grows because a replication slot is not read; and very many remembered reservations. It sees what its role may see.
// Limits hold in any case.
func (s *Store) Warnings(ctx context.Context) ([]string, error) {
	return s.warnings(ctx, &defaultThresholds)
}

// warnings is Warnings with thresholds, which tests make smaller.
func (s *Store) warnings(ctx context.Context, from *thresholds) (all []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	for _, q := range warningQueries {
		rows, err := s.pool.Query(ctx, q.text, s.opts.Schema, q.threshold(from))
		if err != nil {
			return nil, fmt.Errorf("pgstore: warnings: %w", err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, fmt.Errorf("pgstore: warnings: %w", err)
		}
		all = append(all, found...)
	}
	return all, nil
}
