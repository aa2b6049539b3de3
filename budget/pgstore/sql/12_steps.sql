-- Steps that count usage, or know patterns and ends of flags. What a process of the version before leaves out has a default.

-- Waits until no step is under way that has looked at the flags, and lets none look before the transaction ends: so that nobody can see a
-- flag, or that there is one, before a step is admitted that has not seen it. A step takes a few milliseconds. What takes longer, such as a
-- backup that reads the table, is not waited for: then Kill returns only once unaware names nobody, which is late enough for those who know
-- that the flag was set.
CREATE FUNCTION {schema}.await_steps() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_before CONSTANT text := current_setting('lock_timeout');
BEGIN
	PERFORM set_config('lock_timeout', '250', true);
	LOCK TABLE {schema}.kill IN ACCESS EXCLUSIVE MODE;
	PERFORM set_config('lock_timeout', v_before, true);
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
	NULL;
END $$;

-- Locks the table of flags as writing to it does. Whoever changes flags does so before judge locks the row of the revision: one that held that row
-- while it waited for await_steps of another one, which waits for that row, would stop both, and all steps, until the server ends one of them.
CREATE FUNCTION {schema}.lock_flags() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	LOCK TABLE {schema}.kill IN ROW EXCLUSIVE MODE;
END $$;

-- p_scope, p_reason: see kill. One with patterns may find no room: then those that ended make some.
CREATE FUNCTION {schema}.set_flag({memory}, p_now int8, p_dims uuid[], p_scope bytea, p_reason bytea, p_channel text, p_object uuid, p_change uuid, p_seen int8, p_record bytea,
	p_until int8 DEFAULT NULL, p_patterns bool DEFAULT false, p_most int8 DEFAULT 0, p_kept int8 DEFAULT NULL, {answer})
LANGUAGE plpgsql {rights} AS $$
DECLARE
	v_gone int8 := 0;
BEGIN
	-- Asked before the lock, which takes a transaction id: one taken from a server that was set back hides that from the others.
	PERFORM {schema}.witness({remember}, false);
	PERFORM {schema}.await_steps();
	PERFORM {schema}.lock_flags();
	o_step := {schema}.witness({remember}, true);
	o_clock := coalesce(p_now, {clock});
	o_status := {schema}.judge(p_object, p_change, p_seen);
	IF o_status = 'done' THEN
		PERFORM {schema}.forgetting(true);
		DELETE FROM {schema}.kill WHERE until <= o_clock - p_kept;
		DELETE FROM {schema}.pattern WHERE until <= o_clock - p_kept;
		GET DIAGNOSTICS v_gone = ROW_COUNT;
		IF p_patterns AND (SELECT count(*) FROM {schema}.pattern WHERE object <> p_object) >= p_most THEN
			DELETE FROM {schema}.pattern WHERE until <= o_clock;
			v_gone := 1;
			IF (SELECT count(*) FROM {schema}.pattern WHERE object <> p_object) >= p_most THEN
				o_status := 'crowded';
			END IF;
		END IF;
		PERFORM {schema}.forgetting(false);
	END IF;
	IF o_status = 'done' AND p_patterns THEN
		INSERT INTO {schema}.pattern (object, scope, reason, at, until) VALUES (p_object, p_scope, p_reason, o_clock, p_until)
			ON CONFLICT (object) DO UPDATE SET reason = excluded.reason, at = excluded.at, until = excluded.until;
	ELSIF o_status = 'done' THEN
		INSERT INTO {schema}.kill (dims, scope, reason, at, until) VALUES (p_dims, p_scope, p_reason, o_clock, p_until)
			ON CONFLICT (dims) DO UPDATE SET reason = excluded.reason, at = excluded.at, until = excluded.until;
	END IF;
	IF v_gone > 0 OR o_status = 'done' AND p_patterns THEN
		PERFORM {schema}.new_patterns(p_change);
	END IF;
	IF o_status = 'done' THEN
		PERFORM {schema}.note(p_object, p_change, o_clock, NULL, p_record);
		PERFORM pg_notify(p_channel, '');
	END IF;
	o_xid := {schema}.confirm({remember});
END $$;

-- Says that the list of patterns is another one than before.
CREATE FUNCTION {schema}.new_patterns(p_change uuid) RETURNS void LANGUAGE sql AS $$
	UPDATE {schema}.meta SET patterns = CASE WHEN EXISTS (SELECT FROM {schema}.pattern) THEN p_change ELSE '{zero}' END
$$;

CREATE FUNCTION {schema}.remove_flag({memory}, p_now int8, p_dims uuid[], p_channel text, p_object uuid, p_change uuid, p_seen int8, p_record bytea, p_patterns bool DEFAULT false, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	PERFORM {schema}.witness({remember}, false); -- before the lock, as in set_flag
	PERFORM {schema}.lock_flags();
	o_step := {schema}.witness({remember}, true);
	o_clock := coalesce(p_now, {clock});
	o_status := {schema}.judge(p_object, p_change, p_seen);
	IF o_status = 'done' THEN
		PERFORM {schema}.forgetting(true);
		IF p_patterns THEN
			DELETE FROM {schema}.pattern WHERE object = p_object;
			PERFORM {schema}.new_patterns(p_change);
		ELSE
			DELETE FROM {schema}.kill WHERE dims = p_dims;
		END IF;
		PERFORM {schema}.forgetting(false);
		PERFORM {schema}.note(p_object, p_change, o_clock, NULL, p_record);
		PERFORM pg_notify(p_channel, '');
	END IF;
	o_xid := {schema}.confirm({remember});
END $$;

-- Who does not know patterns is not told them as if they were values.
CREATE FUNCTION {schema}.flags({memory}, p_now int8 DEFAULT NULL, p_patterns bool DEFAULT false, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, false);
	o_clock := coalesce(p_now, {clock});
	SELECT json_build_object('Flags', coalesce(json_agg(f.flag), '[]')) INTO o_detail FROM (
		SELECT {schema}.flag(k.scope, k.reason, k.at, k.until, false) AS flag FROM {schema}.kill k WHERE k.until IS NULL OR k.until > o_clock
		UNION ALL
		SELECT {schema}.flag(k.scope, k.reason, k.at, k.until, true) FROM {schema}.pattern k WHERE p_patterns AND (k.until IS NULL OR k.until > o_clock)
	) f;
	PERFORM {schema}.confirm({remember});
	o_status := 'done';
END $$;

CREATE FUNCTION {schema}.set_policy({memory}, p_now int8, p_document bytea, p_operator bytea, p_reason bytea, p_channel text, p_object uuid, p_change uuid, p_seen int8, p_record bytea, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, true);
	o_clock := coalesce(p_now, {clock});
	o_status := {schema}.judge(p_object, p_change, p_seen);
	IF o_status = 'done' THEN
		PERFORM {schema}.note(p_object, p_change, o_clock, NULL, p_record);
		INSERT INTO {schema}.policy (document, version, at, operator, reason) SELECT p_document, r.value, o_clock, p_operator, p_reason FROM {schema}.revision r
			ON CONFLICT (one) DO UPDATE SET document = excluded.document, version = excluded.version, at = excluded.at, operator = excluded.operator, reason = excluded.reason;
		PERFORM pg_notify(p_channel, '');
	END IF;
	o_xid := {schema}.confirm({remember});
END $$;

CREATE FUNCTION {schema}.read_policy({memory}, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, false);
	SELECT json_build_object('Policy', json_build_object('Document', encode(p.document, 'base64'), 'Version', p.version, 'At', p.at,
			'Operator', encode(p.operator, 'base64'), 'Reason', encode(p.reason, 'base64')))
		INTO o_detail FROM {schema}.policy p;
	PERFORM {schema}.confirm({remember});
	o_status := 'done';
END $$;

-- p_shares is how p_actual divides; without it, what had shares before is all of the first one's.
CREATE FUNCTION {schema}.correct({memory}, p_now int8, p_id uuid, p_actual int8[], p_object uuid, p_change uuid, p_seen int8, p_record bytea,
	p_shares text DEFAULT '', p_rows int8 DEFAULT {rows}, {answer})
LANGUAGE plpgsql {rights} AS $$
DECLARE
	c_none CONSTANT int8[] := '{0,0,0,0,0,0,0,0}';
	e        record;
	v_keys   uuid[];
	v_judged text;
	v_before text;
	v_after  text;
BEGIN
	o_step := {schema}.witness({remember}, true);
	SELECT r.accounts INTO v_keys FROM {schema}.reservation r WHERE r.id = p_id;
	PERFORM FROM {schema}.account a WHERE a.key = ANY (v_keys) ORDER BY a.key FOR UPDATE;
	o_clock := coalesce(p_now, {clock});
	SELECT r.* INTO e FROM {schema}.reservation r WHERE r.id = p_id;
	PERFORM {schema}.confirm({remember});
	IF e.id IS NULL OR e.state = 1 OR e.tombstone THEN
		o_status := 'unknown';
		RETURN;
	END IF;
	IF v_keys IS NULL OR NOT e.accounts <@ v_keys THEN
		RAISE EXCEPTION 'the reservation was made meanwhile' USING ERRCODE = 'serialization_failure';
	END IF;
	v_judged := {schema}.judge(p_object, p_change, p_seen);
	-- Who waited for another change to end sees here what that one has posted.
	SELECT r.* INTO e FROM {schema}.reservation r WHERE r.id = p_id;
	PERFORM {schema}.knows(p_actual, e.actual);
	o_value := e.state;
	o_status := v_judged;
	v_before := {schema}.used(e.usage, e.whose, e.shares, e.actual);
	IF v_judged = 'superseded' THEN
		RETURN;
	ELSIF v_judged = 'done' AND {schema}.same_amount(e.actual, p_actual) AND NOT e.estimated AND (p_shares = '' OR {schema}.same_shares(p_shares, v_before)) THEN
		o_status := 'replayed';
	ELSIF v_judged = 'done' THEN
		IF p_shares = '' AND e.shares <> '' AND NOT (0 = ALL (p_actual)) THEN
			p_shares := split_part(e.shares, '|', 1) || '|' || split_part(e.shares, '|', 2) || '|' || p_actual::text;
		END IF;
		v_after := {schema}.used(coalesce(e.usage, '{nobody}'), e.whose, p_shares, p_actual);
		PERFORM {schema}.post(e.accounts, e.units, e.starts, c_none, e.actual, p_actual);
		UPDATE {schema}.reservation r SET state = 2, estimated = false, actual = p_actual, resolved_at = o_clock, usage = coalesce(r.usage, '{nobody}'), shares = nullif(p_shares, '')
			WHERE r.id = p_id AND r.state = e.state AND r.actual = e.actual;
		IF NOT FOUND THEN
			RAISE EXCEPTION 'the reservation was resolved meanwhile' USING ERRCODE = 'serialization_failure';
		END IF;
		PERFORM {schema}.charge_usage(concat_ws(';', {schema}.uses(-1, {schema}.day(e.reserved_at), nullif(v_before, '')), {schema}.uses(1, {schema}.day(e.reserved_at), nullif(v_after, ''))), p_rows);
	END IF;
	IF v_judged = 'done' THEN
		PERFORM {schema}.note(p_object, p_change, o_clock, e.actual, p_record);
	END IF;
	o_xid := {schema}.confirm({remember});
END $$;

-- Charges reservations whose time is up, those that are due longest first. One whose charge would overflow its account or its row of
-- usage stays pending, where it counts as much, and takes nobody's turn.
CREATE FUNCTION {schema}.expire({memory}, p_now int8, p_max int8, p_rows int8 DEFAULT {rows}, {answer})
LANGUAGE plpgsql {rights} AS $$
DECLARE
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
			AND NOT {schema}.usage_overflows({schema}.day(r.reserved_at), coalesce(r.usage, '{nobody}'), r.reserved)
		ORDER BY r.expires_at, r.id LIMIT p_max);
	IF cardinality(v_ids) = 0 THEN
		PERFORM {schema}.confirm({remember});
		RETURN;
	END IF;
	v_keys := ARRAY(SELECT DISTINCT k FROM {schema}.reservation r, unnest(r.accounts) AS k WHERE r.id = ANY (v_ids));
	PERFORM FROM {schema}.account a WHERE a.key = ANY (v_keys) ORDER BY a.key FOR UPDATE;
	o_clock := coalesce(p_now, {clock});
	PERFORM FROM {schema}.reservation r WHERE r.id = ANY (v_ids) AND r.state = 1 ORDER BY r.expires_at, r.id FOR UPDATE;
	PERFORM {schema}.lock_usage(
		(SELECT string_agg({schema}.uses(1, {schema}.day(r.reserved_at), {schema}.used(coalesce(r.usage, '{nobody}'), r.whose, NULL, r.reserved)), ';')
		FROM {schema}.reservation r WHERE r.id = ANY (v_ids) AND r.state = 1), p_rows);
	FOR e IN
		SELECT r.*, {schema}.day(r.reserved_at) AS day, coalesce(r.usage, '{nobody}') AS used FROM {schema}.reservation r WHERE r.id = ANY (v_ids) AND r.state = 1 ORDER BY r.expires_at, r.id
	LOOP
		CONTINUE WHEN {schema}.overflows(e.accounts, e.units, e.starts, e.reserved) OR {schema}.usage_overflows(e.day, e.used, e.reserved);
		IF {schema}.post(e.accounts, e.units, e.starts, e.reserved, c_none, e.reserved) < cardinality(e.accounts) THEN
			RAISE EXCEPTION 'sums of a pending reservation are gone' USING ERRCODE = 'BG001';
		END IF;
		UPDATE {schema}.reservation r SET state = 4, estimated = true, actual = r.reserved, resolved_at = o_clock, usage = e.used WHERE r.id = e.id;
		PERFORM {schema}.add_usage({schema}.uses(1, e.day, nullif({schema}.used(e.used, e.whose, NULL, e.reserved), '')));
		o_value := o_value + 1;
	END LOOP;
	o_xid := {schema}.confirm({remember});
END $$;

-- Takes what is there for the truth. It rests on nothing that the caller knows of the ledger.
CREATE OR REPLACE FUNCTION {schema}.accept(p_version int4, p_now int8, p_object uuid, p_change uuid, p_seen int8, p_record bytea, OUT o_status text)
LANGUAGE plpgsql {rights} AS $$
DECLARE
	v_clock int8 := coalesce(p_now, {clock});
BEGIN
	IF NOT EXISTS (SELECT FROM {schema}.revision) THEN
		INSERT INTO {schema}.revision (value) SELECT coalesce(max(c.revision), 0) FROM {schema}.change c ON CONFLICT DO NOTHING;
	END IF;
	o_status := {schema}.judge(p_object, p_change, p_seen);
	IF o_status = 'done' THEN
		INSERT INTO {schema}.meta (version, epoch) VALUES (p_version, gen_random_uuid()) ON CONFLICT DO NOTHING;
		UPDATE {schema}.meta SET lost = false, accepted = p_change, judged = v_clock, horizon = -9223372036854775808;
		PERFORM {schema}.new_patterns(p_change);
		INSERT INTO {schema}.account (key) SELECT DISTINCT b.account FROM {schema}.bucket b ON CONFLICT DO NOTHING;
		INSERT INTO {schema}.usage_day (day, rows) SELECT u.day, count(*) FROM {schema}.usage u GROUP BY u.day ON CONFLICT DO NOTHING;
		PERFORM {schema}.note(p_object, p_change, v_clock, NULL, p_record);
		PERFORM nextval('{schema}.step');
	END IF;
END $$;
