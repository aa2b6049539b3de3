package sqlitestore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
)

// schemaVersion is stored in PRAGMA user_version.
const schemaVersion = 4

// schemas[i] turns version i of the schema into the next one. All tables are STRICT: otherwise SQLite would turn an integer that overflows
// into a float. All times are in nanoseconds since 1970 UTC.
var schemas = [schemaVersion]string{schema1, schema2, schema3, schema4}

// schema1 makes the first tables.
//
//   - meta has one row about the ledger itself: see guarded.
//   - account has a row for one limit with one set of scope values. Its column fired holds until when each threshold is not reported again.
//   - bucket has the sums of one of an account's windows, or of a part of a rolling window. Its end is when it stops counting, or a later time until
//     which its sums are kept. The CHECK of pending refuses what would take out more than was put in.
//   - reservation has the entries. State 1 is pending.
//   - kill has the kill flags. Its column dims joins the keys, of 16 bytes each, of the values that a flag's scope sets.
const schema1 = `
CREATE TABLE meta (
	one      INTEGER PRIMARY KEY CHECK (one = 1),
	epoch    BLOB NOT NULL,
	sequence INTEGER NOT NULL
) STRICT;
CREATE TABLE account (
	key            BLOB PRIMARY KEY,
	override_max   INTEGER,
	override_until INTEGER,
	latched_until  INTEGER NOT NULL DEFAULT 0,
	fired          BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE bucket (
	account BLOB NOT NULL,
	start   INTEGER NOT NULL,
	"end"   INTEGER NOT NULL,
	settled INTEGER NOT NULL,
	pending INTEGER NOT NULL CHECK (pending >= 0),
	PRIMARY KEY (account, start)
) STRICT, WITHOUT ROWID;
CREATE TABLE reservation (
	id          BLOB PRIMARY KEY,
	owner       BLOB NOT NULL,
	state       INTEGER NOT NULL,
	estimated   INTEGER NOT NULL,
	orphan      INTEGER NOT NULL,
	reserved    BLOB NOT NULL,
	actual      BLOB NOT NULL,
	bookings    BLOB NOT NULL,
	reserved_at INTEGER NOT NULL,
	resolved_at INTEGER NOT NULL,
	expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX reservation_pending ON reservation (expires_at) WHERE state = 1;
CREATE TABLE kill (
	key    BLOB PRIMARY KEY,
	dims   BLOB NOT NULL,
	scope  BLOB NOT NULL,
	reason BLOB NOT NULL,
	at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`

// schema2 adds the audit trail: of each change, object is the key of what was changed, id the change's own, and record the encoded row.
const schema2 = `
CREATE TABLE change (
	revision INTEGER PRIMARY KEY,
	object   BLOB NOT NULL,
	id       BLOB NOT NULL,
	at       INTEGER NOT NULL,
	record   BLOB NOT NULL
) STRICT;
CREATE INDEX change_object ON change (object, revision);
`

// schema3 adds what finds losses and what decides about forgetting, in meta and in triggers: see guarded. Of bucket, forgotten sums up what
// reservations had posted that were dropped since. It makes rows of account for all buckets, because accounts are listed by these rows, and names
// them. Of reservation, whose is the call's scope and operation, and reference the provider's id of the request. Of kill, file says under which key
// calls find the flag: see kill.go; flags that are there are filed under the first key in dims.
var schema3 = `
ALTER TABLE meta ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN accepted BLOB NOT NULL DEFAULT x'';
ALTER TABLE meta ADD COLUMN judged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN reached INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN forgetting INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN name BLOB;
INSERT INTO account (key) SELECT DISTINCT account FROM bucket WHERE account NOT IN (SELECT key FROM account);
ALTER TABLE reservation ADD COLUMN whose BLOB NOT NULL DEFAULT x'';
ALTER TABLE reservation ADD COLUMN reference BLOB NOT NULL DEFAULT x'';
CREATE INDEX reservation_reference ON reservation (reference) WHERE reference <> x'';
ALTER TABLE bucket ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;
CREATE INDEX reservation_old ON reservation (resolved_at) WHERE state <> 1;
CREATE INDEX bucket_end ON bucket ("end");
ALTER TABLE kill ADD COLUMN file BLOB NOT NULL DEFAULT x'';
UPDATE kill SET file = substr(dims, 1, 16);
CREATE INDEX kill_file ON kill (file);
` + guarded("account", "bucket", "reservation", "kill", "change")

// schema4 adds usage, which has a row for the calls of a UTC day with the same scope, usage_day, which has how many such rows a day has, and the
// policy. Of reservation, uses is what it has added to rows of usage. The table kill becomes flag.
var schema4 = `
CREATE TABLE usage (
	day     INTEGER NOT NULL,
	key     BLOB NOT NULL,
	scope   BLOB NOT NULL,
	amounts BLOB NOT NULL,
	PRIMARY KEY (day, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE usage_day (
	day  INTEGER PRIMARY KEY,
	rows INTEGER NOT NULL
) STRICT;
CREATE TABLE policy (
	one      INTEGER PRIMARY KEY CHECK (one = 1),
	document BLOB NOT NULL,
	version  INTEGER NOT NULL,
	at       INTEGER NOT NULL,
	operator BLOB NOT NULL,
	reason   BLOB NOT NULL
) STRICT;
ALTER TABLE reservation ADD COLUMN uses BLOB NOT NULL DEFAULT x'';
-- Under another name, because a library that knows neither patterns nor ends must not read it.
ALTER TABLE kill RENAME TO flag;
ALTER TABLE flag ADD COLUMN until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE flag ADD COLUMN patterns INTEGER NOT NULL DEFAULT 0;
` + guarded("usage", "policy")

// guarded returns triggers, one for each table, that record in meta that a row is gone if it is deleted by anything but the store itself. In meta,
// epoch is the ledger's random name, sequence counts the transactions that may write, and
//
//   - lost is 1 once rows are gone, and accepted is the id of the last change in which an operator accepted a loss;
//   - judged is the time by which it is decided what is old enough to be forgotten. It follows the clock, but makes no large jump ahead;
//   - reached is the highest such time at which anything was forgotten;
//   - forgetting is 1 inside of transactions in which the store removes rows.
func guarded(tables ...string) (sql string) {
	for _, table := range tables {
		sql += "CREATE TRIGGER " + table + "_gone AFTER DELETE ON " + table +
			" WHEN NOT EXISTS (SELECT 1 FROM meta WHERE forgetting = 1) BEGIN UPDATE meta SET lost = 1; END;\n"
	}
	return sql
}

// migrate makes the tables, if create allows that, or migrates them, unless another process has done so. A file without a version must be empty. now,
// in nanoseconds since 1970, is where judged begins: the time by which it is decided what is old enough to be forgotten. The caller has begun a
// transaction, so that an error leaves nothing behind.
func migrate(ctx context.Context, conn *sql.Conn, create bool, now int64) error {
	var version int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch {
	case version == schemaVersion:
		return nil
	case version > schemaVersion:
		return fmt.Errorf("sqlitestore: the file has schema version %d, this library knows %d: use a newer library", version, schemaVersion)
	}
	isNew := version == 0
	if isNew {
		if err := vacant(ctx, conn); err != nil {
			return err
		}
		if !create {
			return errNone
		}
	}
	for _, schema := range schemas[version:] {
		if _, err := conn.ExecContext(ctx, schema); err != nil {
			return err
		}
	}
	if isNew {
		if err := insertMeta(ctx, conn); err != nil {
			return err
		}
	}
	// It is 0 in a new file, and in one whose earlier version had no such column.
	if _, err := conn.ExecContext(ctx, "UPDATE meta SET judged = ? WHERE judged = 0", now); err != nil {
		return err
	}
	_, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
	return err
}

// insertMeta makes the one row of meta, with a new random name for the ledger (epoch).
func insertMeta(ctx context.Context, conn *sql.Conn) error {
	var epoch [16]byte
	// Read never fails.
	rand.Read(epoch[:])
	_, err := conn.ExecContext(ctx, "INSERT INTO meta (one, epoch, sequence) VALUES (1, ?, 0)", epoch[:])
	return err
}

// vacant refuses a file with tables of another program.
func vacant(ctx context.Context, conn *sql.Conn) error {
	var tables int
	if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil {
		return err
	}
	if tables > 0 {
		return errors.New("sqlitestore: the file holds a database of something else")
	}
	return nil
}

// From here on are the statements of the steps, each prepared once. All times are in nanoseconds since 1970 UTC, and days are counted from there.
// For the tables and their columns see schema1 and those that follow it.

// The one row of meta: see guarded for its columns. Transactions that may write begin with sqlSequence, which counts them, others with
// sqlSequenceNow. sqlAccept accepts a loss: it makes the row if that is missing, and otherwise keeps its epoch. It sets judged to
// the present time and reached to 0, as if nothing had been forgotten.
const (
	sqlSequence    = `UPDATE meta SET sequence = sequence + 1 WHERE one = 1 RETURNING epoch, sequence, accepted, lost, judged, reached`
	sqlSequenceNow = `SELECT epoch, sequence, accepted, lost, judged, reached FROM meta WHERE one = 1`
	sqlAccept      = `INSERT INTO meta (one, epoch, sequence, accepted, judged) VALUES (1, ?1, 1, ?2, ?3)
		ON CONFLICT DO UPDATE SET sequence = sequence + 1, accepted = ?2, judged = ?3, reached = 0, lost = 0`
	sqlForgetting = `UPDATE meta SET forgetting = 1`
	sqlForgot     = `UPDATE meta SET forgetting = 0, reached = max(reached, ?)`
	sqlJudged     = `UPDATE meta SET judged = ?`
)

// Reservations. State 1 is pending, all others are resolved. sqlInsert replaces a voided reservation with an orphan, which is spend that was
// posted without a pending reservation; the owner is then the same. sqlUpdate resolves a reservation, or corrects a resolved one.
const (
	sqlEntry  = `SELECT owner, state, estimated, orphan, reserved, actual, bookings, reserved_at, resolved_at, expires_at, whose, reference, uses FROM reservation WHERE id = ?`
	sqlInsert = `INSERT INTO reservation (id, owner, state, estimated, orphan, reserved, actual, bookings, reserved_at, resolved_at, expires_at, whose, reference, uses)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT DO UPDATE SET state = ?3, estimated = ?4, orphan = ?5, reserved = ?6,
		actual = ?7, bookings = ?8, reserved_at = ?9, resolved_at = ?10, expires_at = ?11, whose = ?12, reference = ?13, uses = ?14`
	sqlUpdate  = `UPDATE reservation SET state = ?, estimated = ?, orphan = ?, actual = ?, bookings = ?, resolved_at = ?, whose = ?, reference = ?, uses = ? WHERE id = ?`
	sqlExpired = `SELECT id, owner, state, estimated, orphan, reserved, actual, bookings, reserved_at, resolved_at, expires_at, whose, reference, uses FROM reservation WHERE state = 1 AND expires_at <= ? ORDER BY expires_at LIMIT ?`
	sqlDue     = `SELECT EXISTS (SELECT 1 FROM reservation WHERE state = 1 AND expires_at <= ?)`
)

// Lists of reservations, in pages: a filter that is 0 selects all of them. The reference is compared with an empty one because without that SQLite
// would not use the index, which only has the rows with a reference.
const (
	sqlEntries = `SELECT id, owner, state, estimated, orphan, reserved, actual, bookings, reserved_at, resolved_at, expires_at, whose, reference, uses FROM reservation
		WHERE id > ?1 AND (?2 = 0 OR state = ?2) AND (?3 = 0 OR estimated = 1) AND reserved_at >= ?5 AND reserved_at < ?6 ORDER BY id LIMIT ?4`
	sqlReferred = `SELECT id, owner, state, estimated, orphan, reserved, actual, bookings, reserved_at, resolved_at, expires_at, whose, reference, uses FROM reservation
		WHERE reference = ?1 AND reference <> x'' AND id > ?2 ORDER BY id LIMIT ?3`
)

// Accounts, and the sums of their windows. Null in both columns of an override means that there is none. A name, once stored, stays.
const (
	sqlLatch    = `INSERT INTO account (key, latched_until) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET latched_until = ?2`
	sqlMark     = `INSERT INTO account (key, fired) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET fired = ?2`
	sqlOverride = `INSERT INTO account (key, override_max, override_until) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET override_max = ?2, override_until = ?3`
	sqlName     = `INSERT INTO account (key, name) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET name = coalesce(name, ?2)`
	sqlAccounts = `SELECT key, name, override_max, override_until, latched_until FROM account WHERE key > ? ORDER BY key LIMIT ?`
	sqlPeriods  = `SELECT start, settled, pending, forgotten FROM bucket WHERE account = ? AND start > ? ORDER BY start LIMIT ?`
)

// Kill flags. A flag without patterns has in file one of its dimensions, which are the keys of the values that its scope sets; one with patterns has
// '*', which is x'2a', and one that covers every call has an empty text. A flag without an end has 0 in until. Where ?2 is 0, ended flags of all
// kinds are meant, else only those with patterns. sqlPatterns counts the flags with patterns besides the one that is to be set, because their number
// is bounded; sqlFiled counts the flags under a dimension, because a new flag is filed under the dimension that has the fewest.
const (
	sqlKills = `SELECT dims, scope, reason, at, until, patterns FROM flag WHERE until = 0 OR until > ?`
	sqlKill  = `INSERT INTO flag (key, dims, scope, reason, at, file, until, patterns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
		ON CONFLICT DO UPDATE SET reason = ?4, at = ?5, until = ?7`
	sqlPatterns  = `SELECT count(*) FROM flag WHERE file = x'2a' AND key <> ?`
	sqlEnded     = `SELECT EXISTS (SELECT 1 FROM flag WHERE until <> 0 AND until <= ?1 AND (?2 = 0 OR patterns = 1))`
	sqlDropEnded = `DELETE FROM flag WHERE until <> 0 AND until <= ?1 AND (?2 = 0 OR patterns = 1)`
	sqlFiled     = `SELECT count(*) FROM flag WHERE file = ?`
	sqlRevive    = `DELETE FROM flag WHERE key = ?`
)

// The audit trail. SQLite numbers its rows: a new one gets the highest revision plus one.
const (
	sqlLastChange = `SELECT revision, id FROM change WHERE object = ? ORDER BY revision DESC LIMIT 1`
	sqlNoteChange = `INSERT INTO change (object, id, at, record) VALUES (?, ?, ?, ?)`
	sqlRevision   = `SELECT coalesce(max(revision), 0) FROM change`
	sqlChanges    = `SELECT revision, at, record FROM change WHERE revision > ? ORDER BY revision LIMIT ?`
)

// Rows of usage, and how many of them a day has. The scope of a row is only written when the row is made.
const (
	sqlUsageRow     = `SELECT amounts FROM usage WHERE day = ? AND key = ?`
	sqlUsageRows    = `SELECT rows FROM usage_day WHERE day = ?`
	sqlPutUsage     = `INSERT INTO usage (day, key, scope, amounts) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET amounts = ?4`
	sqlPutUsageRows = `INSERT INTO usage_day (day, rows) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET rows = ?2`
	sqlUsage        = `SELECT day, key, scope, amounts FROM usage WHERE (day, key) > (?1, ?2) ORDER BY day, key LIMIT ?3`
)

// The policy: one row, or none.
const (
	sqlSetPolicy = `INSERT INTO policy (one, document, version, at, operator, reason) VALUES (1, ?1, ?2, ?3, ?4, ?5)
		ON CONFLICT DO UPDATE SET document = ?1, version = ?2, at = ?3, operator = ?4, reason = ?5`
	sqlPolicy = `SELECT document, version, at, operator, reason FROM policy`
)

// What is older than its retention, and how it is forgotten. sqlForgetSum notes in a bucket what a reservation has posted there that is about to
// be forgotten. sqlForgetDays keeps the number of rows of a day until all these rows are gone.
const (
	sqlOld         = `SELECT id, owner, state, estimated, orphan, reserved, actual, bookings, reserved_at, resolved_at, expires_at, whose, reference, uses FROM reservation WHERE state <> 1 AND resolved_at < ? ORDER BY resolved_at LIMIT ?`
	sqlOldSums     = `SELECT EXISTS (SELECT 1 FROM bucket WHERE "end" < ? AND pending = 0)`
	sqlForget      = `DELETE FROM reservation WHERE id = ?`
	sqlForgetSum   = `UPDATE bucket SET forgotten = forgotten + ?3 WHERE account = ?1 AND start = ?2`
	sqlForgetSums  = `DELETE FROM bucket WHERE (account, start) IN (SELECT account, start FROM bucket WHERE "end" < ?1 AND pending = 0 ORDER BY "end" LIMIT ?2)`
	sqlOldUsage    = `SELECT EXISTS (SELECT 1 FROM usage_day WHERE day < ?)`
	sqlForgetUsage = `DELETE FROM usage WHERE (day, key) IN (SELECT day, key FROM usage WHERE day < ?1 ORDER BY day, key LIMIT ?2)`
	sqlForgetDays  = `DELETE FROM usage_day WHERE day < ?1 AND day < (SELECT coalesce(min(day), ?1) FROM usage)`
)
