-- Charges reservations whose time is up, those that are due longest first. One whose charge would overflow its account
-- stays pending, where it counts as much, and takes nobody's turn.
CREATE FUNCTION {schema}.expire({memory}, p_now int8, p_max int8, {answer})
LANGUAGE plpgsql {rights} AS $$
DECLARE
	c_most CONSTANT int8 := 9223372036854775807;
	c_none CONSTANT int8[] := '{0,0,0,0,0,0,0,0}';
	e      record;
	v_ids  uuid[];
	v_keys uuid[];
BEGIN
	o_step := {schema}.witness({remember}, true);
	o_clock := coalesce(p_now, {clock});
	o_status := 'done';
	o_value := 0;
	v_ids := ARRAY(
		SELECT r.id FROM {schema}.reservation r
		WHERE r.state = 1 AND r.expires_at <= o_clock AND NOT {schema}.overflows(r.accounts, r.units, r.starts, r.reserved)
		ORDER BY r.expires_at, r.id LIMIT p_max);
	IF cardinality(v_ids) = 0 THEN
		PERFORM {schema}.confirm({remember});
		RETURN;
	END IF;
	v_keys := ARRAY(SELECT DISTINCT k FROM {schema}.reservation r, unnest(r.accounts) AS k WHERE r.id = ANY (v_ids));
	PERFORM FROM {schema}.account a WHERE a.key = ANY (v_keys) ORDER BY a.key FOR UPDATE;
	o_clock := coalesce(p_now, {clock});
	FOR e IN
		SELECT r.* FROM {schema}.reservation r WHERE r.id = ANY (v_ids) AND r.state = 1 ORDER BY r.expires_at, r.id FOR UPDATE
	LOOP
		CONTINUE WHEN {schema}.overflows(e.accounts, e.units, e.starts, e.reserved);
		IF {schema}.post(e.accounts, e.units, e.starts, e.reserved, c_none, e.reserved) < cardinality(e.accounts) THEN
			RAISE EXCEPTION 'sums of a pending reservation are gone' USING ERRCODE = 'BG001';
		END IF;
		UPDATE {schema}.reservation r SET state = 4, estimated = true, actual = r.reserved, resolved_at = o_clock WHERE r.id = e.id;
		o_value := o_value + 1;
	END LOOP;
	o_xid := {schema}.confirm({remember});
END $$;

-- Whether a charge would take a sum out of int8.
CREATE FUNCTION {schema}.overflows(p_accounts uuid[], p_units int4[], p_starts int8[], p_charge int8[]) RETURNS bool LANGUAGE sql VOLATILE AS $$
	SELECT EXISTS (
		SELECT FROM unnest(p_accounts, p_units, p_starts) AS t(account, unit, start)
		JOIN {schema}.bucket b ON b.account = t.account AND b.start = t.start
		WHERE b.settled > 9223372036854775807 - p_charge[t.unit + 1])
$$;

-- Forgets what is past the retention, a batch at a time: resolved reservations, sums without anything pending, accounts
-- with nothing left to say. Whatever somebody is working on waits for the next time. o_value is the largest batch.
CREATE FUNCTION {schema}.forget({memory}, p_now int8, p_retention int8, p_batch int8, {answer})
LANGUAGE plpgsql {rights} AS $$
DECLARE
	v_count int8;
	v_old   int8;
	v_idle  uuid[];
BEGIN
	o_step := {schema}.witness({remember}, true);
	o_clock := coalesce(p_now, {clock});
	v_old := o_clock - p_retention;
	DELETE FROM {schema}.reservation WHERE id IN (
		SELECT r.id FROM {schema}.reservation r WHERE r.state <> 1 AND r.resolved_at <= v_old ORDER BY r.resolved_at LIMIT p_batch FOR UPDATE SKIP LOCKED);
	GET DIAGNOSTICS o_value = ROW_COUNT;
	WITH gone AS (
		SELECT b.account, b.start FROM {schema}.bucket b
		WHERE b."end" < v_old AND b.pending = 0 LIMIT p_batch FOR UPDATE SKIP LOCKED)
	DELETE FROM {schema}.bucket b USING gone g WHERE b.account = g.account AND b.start = g.start;
	GET DIAGNOSTICS v_count = ROW_COUNT;
	o_value := greatest(o_value, v_count);
	-- Two statements, because the second sees what was booked before the first had locked the account.
	v_idle := ARRAY(
		SELECT a.key FROM {schema}.account a
		WHERE coalesce(a.override_until, 0) <= o_clock AND a.latched_until <= o_clock AND o_clock >= ALL (a.fired)
			AND NOT EXISTS (SELECT FROM {schema}.bucket b WHERE b.account = a.key)
		LIMIT p_batch FOR UPDATE SKIP LOCKED);
	DELETE FROM {schema}.account a WHERE a.key = ANY (v_idle) AND NOT EXISTS (SELECT FROM {schema}.bucket b WHERE b.account = a.key);
	GET DIAGNOSTICS v_count = ROW_COUNT;
	o_value := greatest(o_value, v_count);
	o_status := 'done';
	o_xid := {schema}.confirm({remember});
END $$;

CREATE FUNCTION {schema}.entries({memory}, p_state int4, p_estimated bool, p_after uuid, p_max int8, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, false);
	SELECT json_build_object('Entries', coalesce(json_agg(json_build_object(
			'ID', t.id, 'State', t.state, 'Estimated', t.estimated, 'Orphan', t.orphan, 'Reserved', t.reserved, 'Actual', t.actual,
			'ReservedAt', t.reserved_at, 'ResolvedAt', t.resolved_at) ORDER BY t.id), '[]'))
		INTO o_detail
		FROM (
			SELECT r.* FROM {schema}.reservation r
			WHERE r.id > p_after AND (p_state = 0 OR r.state = p_state) AND (NOT p_estimated OR r.estimated)
			ORDER BY r.id LIMIT p_max
		) t;
	PERFORM {schema}.confirm({remember});
	o_status := 'done';
END $$;

-- A null p_max takes the override back.
CREATE FUNCTION {schema}.override({memory}, p_account uuid, p_max int8, p_until int8, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, true);
	IF p_max IS NULL THEN
		UPDATE {schema}.account SET override_max = NULL, override_until = NULL WHERE key = p_account;
	ELSE
		INSERT INTO {schema}.account (key, override_max, override_until) VALUES (p_account, p_max, p_until)
			ON CONFLICT (key) DO UPDATE SET override_max = excluded.override_max, override_until = excluded.override_until;
	END IF;
	o_status := 'done';
	o_xid := {schema}.confirm({remember});
END $$;

CREATE FUNCTION {schema}.unlatch({memory}, p_accounts uuid[], {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, true);
	PERFORM FROM {schema}.account a WHERE a.key = ANY (p_accounts) ORDER BY a.key FOR UPDATE;
	UPDATE {schema}.account SET latched_until = 0 WHERE key = ANY (p_accounts) AND latched_until <> 0;
	o_status := 'done';
	o_xid := {schema}.confirm({remember});
END $$;

CREATE FUNCTION {schema}.set_flag({memory}, p_now int8, p_dims uuid[], p_scope bytea, p_reason bytea, p_channel text, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, true);
	o_clock := coalesce(p_now, {clock});
	INSERT INTO {schema}.kill (dims, scope, reason, at) VALUES (p_dims, p_scope, p_reason, o_clock)
		ON CONFLICT (dims) DO UPDATE SET reason = excluded.reason, at = excluded.at;
	PERFORM pg_notify(p_channel, '');
	o_status := 'done';
	o_xid := {schema}.confirm({remember});
END $$;

-- Which transactions, of some or of all, have looked at the flags and are still under way: they may admit without having seen
-- the newest. A step locks the flags' table before it takes its snapshot and holds the lock to its end, so one that is not
-- named here sees every flag that was committed before. Whoever only reads, such as a backup, has no transaction id; what
-- admits has one before it looks at the flags.
CREATE FUNCTION {schema}.unaware({memory}, p_among text[], {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, false);
	SELECT json_build_object('Unaware', coalesce(json_agg(DISTINCT l.virtualtransaction), '[]')) INTO o_detail
		FROM pg_locks l
		WHERE l.locktype = 'relation' AND l.relation = '{schema}.kill'::regclass AND l.pid <> pg_backend_pid()
			AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
			AND EXISTS (SELECT FROM pg_locks x WHERE x.locktype = 'transactionid' AND x.virtualtransaction = l.virtualtransaction AND x.granted)
			AND (p_among IS NULL OR l.virtualtransaction = ANY (p_among));
	o_status := 'done';
END $$;

CREATE FUNCTION {schema}.remove_flag({memory}, p_dims uuid[], p_channel text, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, true);
	DELETE FROM {schema}.kill WHERE dims = p_dims;
	PERFORM pg_notify(p_channel, '');
	o_status := 'done';
	o_xid := {schema}.confirm({remember});
END $$;

CREATE FUNCTION {schema}.flags({memory}, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, false);
	SELECT json_build_object('Flags', coalesce(json_agg({schema}.flag(f.scope, f.reason, f.at)), '[]')) INTO o_detail FROM {schema}.kill f;
	PERFORM {schema}.confirm({remember});
	o_status := 'done';
END $$;
