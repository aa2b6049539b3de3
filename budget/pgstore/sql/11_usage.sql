-- What was charged, by UTC day and by whose it was. whose is that of one of the calls: see 9_names.sql. Amounts are indexed by unit,
-- as in reservation, and are as long as the unit that the library knew last.
CREATE TABLE {schema}.usage (
	day    int8 NOT NULL,
	key    uuid NOT NULL,
	whose  bytea NOT NULL,
	amount int8[] NOT NULL,
	PRIMARY KEY (day, key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- How many rows of usage a day has. Whoever makes one locks this row first.
CREATE TABLE {schema}.usage_day (
	day  int8 PRIMARY KEY,
	rows int8 NOT NULL
);

-- Of a reservation: which row of usage it is added to, null if a library has written it that kept none, and then nothing of it was; and
-- how its amount divides among several, see uses.
ALTER TABLE {schema}.reservation
	ADD COLUMN usage  uuid,
	ADD COLUMN shares text;

-- until is null for a flag without an end.
ALTER TABLE {schema}.kill ADD COLUMN until int8;

-- Flags whose values are patterns. The library matches them: meta.patterns, the change that made the list what it is, or zero
-- while none is set, tells a step whether that was done with the list of now.
CREATE TABLE {schema}.pattern (
	object uuid PRIMARY KEY,
	scope  bytea NOT NULL,
	reason bytea NOT NULL,
	at     int8 NOT NULL,
	until  int8
);
ALTER TABLE {schema}.meta ADD COLUMN patterns uuid NOT NULL DEFAULT '{zero}';

CREATE TABLE {schema}.policy (
	one      bool PRIMARY KEY DEFAULT true CHECK (one),
	document bytea NOT NULL,
	version  int8 NOT NULL,
	at       int8 NOT NULL,
	operator bytea NOT NULL,
	reason   bytea NOT NULL
);

CREATE TRIGGER emptied AFTER TRUNCATE ON {schema}.usage FOR EACH STATEMENT EXECUTE FUNCTION {schema}.emptied();
CREATE TRIGGER emptied AFTER TRUNCATE ON {schema}.usage_day FOR EACH STATEMENT EXECUTE FUNCTION {schema}.emptied();
CREATE TRIGGER emptied AFTER TRUNCATE ON {schema}.pattern FOR EACH STATEMENT EXECUTE FUNCTION {schema}.emptied();
CREATE TRIGGER emptied AFTER TRUNCATE ON {schema}.policy FOR EACH STATEMENT EXECUTE FUNCTION {schema}.emptied();
CREATE TRIGGER gone AFTER DELETE ON {schema}.usage REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION {schema}.gone();
CREATE TRIGGER gone AFTER DELETE ON {schema}.usage_day REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION {schema}.gone();
CREATE TRIGGER gone AFTER DELETE ON {schema}.pattern REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION {schema}.gone();
CREATE TRIGGER gone AFTER DELETE ON {schema}.policy REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION {schema}.gone();

-- Functions of the version before are made again with more arguments, which may be left out, so that its processes go on. Those of
-- the versions before it know neither ends of flags nor patterns nor usage: their processes are told so.
DO $$
DECLARE
	f record;
BEGIN
	FOR f IN
		SELECT p.oid::regprocedure AS name, pg_get_functiondef(p.oid) AS definition,
			p.proname IN ('expire', 'flags') OR 'p_names' = ANY (p.proargnames) OR 'p_object' = ANY (p.proargnames) AS latest
		FROM pg_proc p
		WHERE p.pronamespace = to_regnamespace('{schema}')
			AND p.proname IN ('reserve', 'settle', 'correct', 'set_flag', 'remove_flag', 'expire', 'flags')
	LOOP
		IF f.latest THEN
			EXECUTE 'DROP FUNCTION ' || f.name;
		ELSE
			EXECUTE regexp_replace(f.definition, '\$function\$.*\$function\$',
				'$function$BEGIN RAISE EXCEPTION ''the ledger keeps what this library does not know: use a newer library'' USING ERRCODE = ''BG006''; END$function$');
		END IF;
	END LOOP;
END $$;
DROP FUNCTION {schema}.flag(bytea, bytea, int8);

-- The end of a flag is 0 when it has none.
CREATE FUNCTION {schema}.flag(p_scope bytea, p_reason bytea, p_at int8, p_until int8, p_patterns bool) RETURNS json LANGUAGE sql IMMUTABLE AS $$
	SELECT json_build_object('Scope', encode(p_scope, 'base64'), 'Reason', encode(p_reason, 'base64'), 'At', p_at, 'Until', coalesce(p_until, 0), 'Patterns', p_patterns)
$$;

-- The patterns as those who match them are told.
CREATE FUNCTION {schema}.pattern_list(p_list uuid) RETURNS json LANGUAGE sql STABLE AS $$
	SELECT json_build_object('List', p_list, 'Patterns', coalesce(json_agg(json_build_object('Object', f.object, 'Scope', encode(f.scope, 'base64'))), '[]'))
	FROM {schema}.pattern f
$$;

-- An amount may be shorter than another, of a library that knew fewer units.
CREATE OR REPLACE FUNCTION {schema}.post(p_accounts uuid[], p_units int4[], p_starts int8[], p_held int8[], p_before int8[], p_actual int8[])
RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
	v_count int8;
BEGIN
	UPDATE {schema}.bucket b
		SET settled = b.settled + (coalesce(p_actual[t.unit + 1], 0) - coalesce(p_before[t.unit + 1], 0)), pending = b.pending - coalesce(p_held[t.unit + 1], 0), ceiling = NULL
		FROM unnest(p_accounts, p_units, p_starts) AS t(account, unit, start)
		WHERE b.account = t.account AND b.start = t.start;
	GET DIAGNOSTICS v_count = ROW_COUNT;
	IF v_count < cardinality(p_accounts) THEN
		v_count := v_count + (SELECT count(*) FROM unnest(p_accounts, p_units, p_starts) AS t(account, unit, start)
			WHERE coalesce(p_held[t.unit + 1], 0) = 0 AND NOT EXISTS (SELECT FROM {schema}.bucket b WHERE b.account = t.account AND b.start = t.start));
	END IF;
	RETURN v_count;
END $$;

CREATE FUNCTION {schema}.same_amount(a int8[], b int8[]) RETURNS bool LANGUAGE sql IMMUTABLE AS $$
	SELECT NOT EXISTS (SELECT FROM unnest(a, b) AS t(x, y) WHERE coalesce(x, 0) <> coalesce(y, 0))
$$;

-- Whoever counts fewer units than an entry has would take the others out of it.
CREATE FUNCTION {schema}.knows(p_actual int8[], p_entry int8[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF cardinality(p_entry) > cardinality(p_actual) THEN
		RAISE EXCEPTION 'a stored charge counts % units, this library knows %: use a newer library', cardinality(p_entry) - 1, cardinality(p_actual) - 1 USING ERRCODE = 'BG006';
	END IF;
END $$;

-- How an amount divides is text, one part after the other with a semicolon between them, each <key>|<whose, in hexadecimal>|<amount>. In
-- uses each is <1 or -1>|<day>| and such a part: what is added to rows of usage, or taken out of them.
CREATE FUNCTION {schema}.use(p_key uuid, p_whose bytea, p_amount int8[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT p_key::text || '|' || CASE WHEN p_key = '{nobody}' THEN '' ELSE encode(p_whose, 'hex') END || '|' || p_amount::text
$$;

CREATE FUNCTION {schema}.uses(p_sign int4, p_day int8, p_shares text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT string_agg(p_sign || '|' || p_day || '|' || s, ';') FROM unnest(string_to_array(p_shares, ';')) AS s
$$;

CREATE FUNCTION {schema}.each_use(p_uses text, OUT sign int4, OUT day int8, OUT key uuid, OUT whose bytea, OUT amount int8[]) RETURNS SETOF record
LANGUAGE sql IMMUTABLE ROWS 4 AS $$
	SELECT split_part(s, '|', 1)::int4, split_part(s, '|', 2)::int8, split_part(s, '|', 3)::uuid, decode(split_part(s, '|', 4), 'hex'), split_part(s, '|', 5)::int8[]
	FROM unnest(string_to_array(p_uses, ';')) AS s
$$;

-- The day of a moment.
CREATE FUNCTION {schema}.day(p_at int8) RETURNS int8 LANGUAGE sql IMMUTABLE AS $$
	SELECT greatest(p_at, 0) / 86400000000000
$$;

-- The row that a key has on a day: once there is one for the others, no further one is made, so that what was added is always found.
CREATE FUNCTION {schema}.usage_row(p_day int8, p_key uuid) RETURNS uuid LANGUAGE sql VOLATILE AS $$
	SELECT CASE WHEN EXISTS (SELECT FROM {schema}.usage u WHERE u.day = p_day AND u.key = p_key) THEN p_key ELSE '{other}'::uuid END
$$;

-- Makes the rows that uses need and locks all of them, in the order of days and keys: behind whatever else its transaction locks,
-- so that transactions never wait for each other in a circle.
CREATE FUNCTION {schema}.lock_usage(p_uses text, p_rows int8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	u record;
BEGIN
	FOR u IN
		SELECT DISTINCT t.day FROM {schema}.each_use(p_uses) t
		WHERE t.sign > 0 AND NOT EXISTS (SELECT FROM {schema}.usage o WHERE o.day = t.day AND o.key = t.key) ORDER BY t.day
	LOOP
		INSERT INTO {schema}.usage_day (day, rows) VALUES (u.day, 0) ON CONFLICT DO NOTHING;
		PERFORM FROM {schema}.usage_day d WHERE d.day = u.day FOR UPDATE;
	END LOOP;
	FOR u IN
		SELECT DISTINCT ON (t.day, t.key) t.* FROM {schema}.each_use(p_uses) t
		WHERE t.sign > 0 AND NOT EXISTS (SELECT FROM {schema}.usage o WHERE o.day = t.day AND o.key = t.key) ORDER BY t.day, t.key
	LOOP
		IF NOT EXISTS (SELECT FROM {schema}.usage o WHERE o.day = u.day AND o.key = '{other}') THEN
			INSERT INTO {schema}.usage (day, key, whose, amount)
				SELECT u.day, CASE WHEN d.rows < p_rows THEN u.key ELSE '{other}' END, CASE WHEN d.rows < p_rows THEN u.whose ELSE '' END, '{0,0,0,0,0,0,0,0}'
				FROM {schema}.usage_day d WHERE d.day = u.day;
			UPDATE {schema}.usage_day d SET rows = d.rows + 1 WHERE d.day = u.day;
		END IF;
	END LOOP;
	PERFORM FROM {schema}.usage o
		WHERE (o.day, o.key) IN (SELECT t.day, {schema}.usage_row(t.day, t.key) FROM {schema}.each_use(p_uses) t)
		ORDER BY o.day, o.key FOR UPDATE;
END $$;

-- Adds uses to rows that are locked. A sum that leaves int8 is an error of the server, and nothing changes. A row that something else
-- took away has nothing left to be taken out of.
CREATE FUNCTION {schema}.add_usage(p_uses text) RETURNS void LANGUAGE sql VOLATILE AS $$
	UPDATE {schema}.usage o SET amount = ARRAY(
			SELECT greatest(coalesce(t.has, 0) + coalesce(t.more, 0), 0) FROM unnest(o.amount, w.amount) WITH ORDINALITY AS t(has, more, i) ORDER BY t.i)
	FROM (
		SELECT s.day, s.key, array_agg(s.n::int8 ORDER BY s.i) AS amount
		FROM (
			SELECT t.day, {schema}.usage_row(t.day, t.key) AS key, x.i, sum(t.sign * x.n::numeric) AS n
			FROM {schema}.each_use(p_uses) t, unnest(t.amount) WITH ORDINALITY AS x(n, i) GROUP BY 1, 2, 3
		) s
		GROUP BY s.day, s.key
	) w
	WHERE o.day = w.day AND o.key = w.key
$$;

CREATE FUNCTION {schema}.charge_usage(p_uses text, p_rows int8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF p_uses <> '' THEN
		PERFORM {schema}.lock_usage(p_uses, p_rows);
		PERFORM {schema}.add_usage(p_uses);
	END IF;
END $$;

-- Settlements that share a transaction leave what they add to usage to the end of it, because one after the other they would lock rows in
-- their own order. They are those of p_ids that this transaction has written; one that takes anything out of a row, or divides, is never among
-- them. Rows are made before any is locked, so that those who find one missing later are tried alone.
CREATE FUNCTION {schema}.flush_usage(p_ids uuid[], p_rows int8) RETURNS void LANGUAGE plpgsql {rights} AS $$
DECLARE
	s      record;
	v_held bool := false;
BEGIN
	FOR s IN
		SELECT greatest(r.reserved_at, 0) / 86400000000000 AS day, r.usage AS key, max(cardinality(r.actual)) AS units,
			sum(r.actual[1])::int8 AS a, sum(r.actual[2])::int8 AS b, sum(r.actual[3])::int8 AS c, sum(r.actual[4])::int8 AS d,
			sum(r.actual[5])::int8 AS e, sum(r.actual[6])::int8 AS f, sum(r.actual[7])::int8 AS g, sum(r.actual[8])::int8 AS h
		FROM {schema}.reservation r
		WHERE r.id = ANY (p_ids) AND r.state = 2 AND r.xmin = pg_current_xact_id()::xid AND r.shares IS NULL AND NOT (0 = ALL (r.actual))
		GROUP BY 1, 2 ORDER BY 1, 2
	LOOP
		UPDATE {schema}.usage u SET amount = ARRAY[
				u.amount[1] + s.a, u.amount[2] + s.b, u.amount[3] + s.c, u.amount[4] + s.d, u.amount[5] + s.e, u.amount[6] + s.f, u.amount[7] + s.g, u.amount[8] + s.h]
			WHERE u.day = s.day AND u.key = s.key AND cardinality(u.amount) = 8 AND s.units = 8;
		IF FOUND THEN
			v_held := true;
			CONTINUE;
		ELSIF v_held THEN
			RAISE EXCEPTION 'a row of usage is missing' USING ERRCODE = 'BG004';
		END IF;
		PERFORM {schema}.charge_usage(string_agg({schema}.uses(1, {schema}.day(r.reserved_at), {schema}.use(r.usage, r.whose, r.actual)), ';'), p_rows)
			FROM {schema}.reservation r
			WHERE r.id = ANY (p_ids) AND r.state = 2 AND r.xmin = pg_current_xact_id()::xid AND r.shares IS NULL AND NOT (0 = ALL (r.actual));
		RETURN;
	END LOOP;
END $$;

-- What a reservation has added to rows of usage.
CREATE FUNCTION {schema}.used(p_usage uuid, p_whose bytea, p_shares text, p_actual int8[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE
		WHEN p_usage IS NULL OR 0 = ALL (p_actual) THEN ''
		WHEN p_shares <> '' THEN p_shares
		ELSE {schema}.use(p_usage, p_whose, p_actual)
	END
$$;

CREATE FUNCTION {schema}.same_shares(a text, b text) RETURNS bool LANGUAGE sql IMMUTABLE AS $$
	SELECT NOT EXISTS (
		SELECT FROM {schema}.each_use({schema}.uses(1, 0, nullif(a, ''))) x FULL JOIN {schema}.each_use({schema}.uses(1, 0, nullif(b, ''))) y USING (key)
		WHERE NOT {schema}.same_amount(coalesce(x.amount, '{}'), coalesce(y.amount, '{}')))
$$;

-- Whether a charge would take the sum of a row out of int8.
CREATE FUNCTION {schema}.usage_overflows(p_day int8, p_key uuid, p_charge int8[]) RETURNS bool LANGUAGE sql VOLATILE AS $$
	SELECT EXISTS (
		SELECT FROM {schema}.usage u, unnest(u.amount, p_charge) AS t(has, more)
		WHERE u.day = p_day AND u.key = {schema}.usage_row(p_day, p_key) AND t.has > 9223372036854775807 - coalesce(t.more, 0))
$$;

-- Behind is a key of a day. Rows of nothing are not told, nor those whose time is past.
CREATE FUNCTION {schema}.list_usage({memory}, p_now int8, p_day int8, p_behind uuid, p_max int8, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, false);
	o_clock := coalesce(p_now, {clock});
	SELECT json_build_object('Usage', coalesce(json_agg(json_build_object(
			'Day', t.day, 'Key', t.key, 'Whose', encode(t.whose, 'base64'), 'Amount', t.amount) ORDER BY t.day, t.key), '[]'))
		INTO o_detail
		FROM (
			SELECT u.* FROM {schema}.usage u
			WHERE (u.day, u.key) > (p_day, p_behind) AND u.day >= {schema}.day(o_clock - {kept}) AND NOT (0 = ALL (u.amount))
			ORDER BY u.day, u.key LIMIT p_max
		) t;
	PERFORM {schema}.confirm({remember});
	o_status := 'done';
END $$;
