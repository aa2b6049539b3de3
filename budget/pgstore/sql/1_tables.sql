-- Names in braces are filled in by the library: the schema, and the parts that all functions share.

CREATE TABLE {schema}.meta (
	one     bool PRIMARY KEY DEFAULT true CHECK (one),
	version int4 NOT NULL,
	epoch   uuid NOT NULL
);
INSERT INTO {schema}.meta (version, epoch) VALUES (0, gen_random_uuid());

-- Counts steps. A ledger whose count went back has lost some.
CREATE SEQUENCE {schema}.step AS int8;

-- One limit for one value of its scope. Its row is the lock of everything that is booked in it, and changes rarely.
CREATE TABLE {schema}.account (
	key            uuid PRIMARY KEY,
	override_max   int8 CHECK (override_max >= 0),
	override_until int8,
	latched_until  int8 NOT NULL DEFAULT 0,
	fired          int8[] NOT NULL DEFAULT '{}',
	CHECK ((override_max IS NULL) = (override_until IS NULL))
) WITH (fillfactor = 70);

-- The sums of one stretch of an account's time. No index holds a column that a step changes, and half of each page is
-- left free, so that updates stay on their page and are pruned there (HOT) instead of growing the table.
--
-- ceiling is the limit that the last admission was checked against: the constraint refuses an admission beyond it, even
-- if the function that should have refused it did not. A settlement clears it, because the truth may exceed the limit.
CREATE TABLE {schema}.bucket (
	account uuid NOT NULL,
	start   int8 NOT NULL,
	"end"   int8 NOT NULL,
	settled int8 NOT NULL,
	pending int8 NOT NULL,
	ceiling int8,
	PRIMARY KEY (account, start),
	CONSTRAINT within_ceiling CHECK (settled >= 0 AND pending >= 0 AND (ceiling IS NULL OR settled <= ceiling AND pending <= ceiling - settled))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX bucket_end ON {schema}.bucket ("end");

-- States are those of the library: 1 pending, 2 settled, 3 voided, 4 expired. Amounts are indexed by unit, from 0.
CREATE TABLE {schema}.reservation (
	id          uuid PRIMARY KEY,
	owner       uuid NOT NULL,
	state       int2 NOT NULL,
	estimated   bool NOT NULL DEFAULT false,
	orphan      bool NOT NULL DEFAULT false,
	tombstone   bool NOT NULL DEFAULT false,
	reserved    int8[] NOT NULL,
	actual      int8[] NOT NULL,
	accounts    uuid[] NOT NULL,
	units       int4[] NOT NULL,
	starts      int8[] NOT NULL,
	reserved_at int8 NOT NULL,
	resolved_at int8,
	expires_at  int8 NOT NULL,
	CONSTRAINT not_negative CHECK (0 <= ALL (reserved) AND 0 <= ALL (actual))
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX reservation_due ON {schema}.reservation (expires_at) WHERE state = 1;
CREATE INDEX reservation_old ON {schema}.reservation (resolved_at) WHERE state <> 1;

-- scope and reason are bytes, because they need not be valid text.
CREATE TABLE {schema}.kill (
	dims   uuid[] PRIMARY KEY,
	scope  bytea NOT NULL,
	reason bytea NOT NULL,
	at     int8 NOT NULL
);

-- Who empties a table makes another ledger of it: stores that are open must not read "nothing used".
CREATE FUNCTION {schema}.emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE {schema}.meta SET epoch = gen_random_uuid();
	RETURN NULL;
END $$;
CREATE TRIGGER emptied AFTER TRUNCATE ON {schema}.account FOR EACH STATEMENT EXECUTE FUNCTION {schema}.emptied();
CREATE TRIGGER emptied AFTER TRUNCATE ON {schema}.bucket FOR EACH STATEMENT EXECUTE FUNCTION {schema}.emptied();
CREATE TRIGGER emptied AFTER TRUNCATE ON {schema}.reservation FOR EACH STATEMENT EXECUTE FUNCTION {schema}.emptied();
CREATE TRIGGER emptied AFTER TRUNCATE ON {schema}.kill FOR EACH STATEMENT EXECUTE FUNCTION {schema}.emptied();

-- What Open asks first.
CREATE FUNCTION {schema}.about(OUT version int4, OUT epoch uuid, OUT oid int8, OUT step int8, OUT xid int8, OUT clock int8)
LANGUAGE sql {rights} AS $$
	SELECT m.version, m.epoch, m.tableoid::int8, CASE WHEN s.is_called THEN s.last_value ELSE 0 END, 0::int8, {clock}
	FROM {schema}.meta m, {schema}.step s
$$;

-- Compares the database with what the caller knows of it, and counts a step if it will write. What it raises ends the step
-- before it has taken a step's or a transaction's number: those must not catch up with what was lost.
CREATE FUNCTION {schema}.witness({memory}, p_write bool) RETURNS int8 LANGUAGE plpgsql AS $$
BEGIN
	IF pg_is_in_recovery() THEN
		RAISE EXCEPTION 'the server is a standby' USING ERRCODE = 'BG002';
	ELSIF NOT p_volatile AND (current_setting('fsync') = 'off' OR current_setting('synchronous_commit') = 'off') THEN
		RAISE EXCEPTION 'commits are not durable' USING ERRCODE = 'BG003';
	ELSIF NOT ({newer}) THEN
		RAISE EXCEPTION 'the server was set back' USING ERRCODE = 'BG001';
	END IF;
	PERFORM FROM {schema}.meta m WHERE {ours};
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the ledger is another one' USING ERRCODE = 'BG001';
	END IF;
	PERFORM FROM {schema}.step q WHERE q.last_value >= p_step;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the ledger was set back' USING ERRCODE = 'BG001';
	END IF;
	RETURN CASE WHEN p_write THEN nextval('{schema}.step') END;
END $$;

-- Looks at the epoch once more, when the tables that the step reads are locked: whoever emptied them before that changed
-- it, and nobody can any more. Returns the id of the transaction, 0 if it has written nothing.
CREATE FUNCTION {schema}.confirm({memory}) RETURNS int8 LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM {schema}.meta m WHERE {ours};
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the ledger is another one' USING ERRCODE = 'BG001';
	END IF;
	RETURN {writer};
END $$;
