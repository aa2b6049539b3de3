-- How many changes the ledger has had. Whoever makes one locks this row, behind the rows of the accounts that it touches, so that
-- changes come one after the other.
CREATE TABLE {schema}.revision (
	one   bool PRIMARY KEY DEFAULT true CHECK (one),
	value int8 NOT NULL
);
INSERT INTO {schema}.revision (value) VALUES (0);

-- The audit trail. record is the library's; before is what a correction replaced.
CREATE TABLE {schema}.change (
	revision int8 PRIMARY KEY,
	object   uuid NOT NULL,
	id       uuid NOT NULL,
	at       int8 NOT NULL,
	before   int8[],
	record   bytea NOT NULL
);
CREATE INDEX change_object ON {schema}.change (object, revision);
CREATE TRIGGER emptied AFTER TRUNCATE ON {schema}.change FOR EACH STATEMENT EXECUTE FUNCTION {schema}.emptied();

-- Says done if a change is still to be made, replayed if it was made before, superseded if its object was changed since its
-- caller looked.
CREATE FUNCTION {schema}.judge(p_object uuid, p_change uuid, p_seen int8) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	PERFORM FROM {schema}.revision FOR UPDATE;
	SELECT t.revision, t.id INTO c FROM {schema}.change t WHERE t.object = p_object ORDER BY t.revision DESC LIMIT 1;
	RETURN CASE WHEN c.id = p_change THEN 'replayed' WHEN c.revision > p_seen THEN 'superseded' ELSE 'done' END;
END $$;

-- Writes a change that was made into the audit trail. It was judged before.
CREATE FUNCTION {schema}.note(p_object uuid, p_change uuid, p_at int8, p_before int8[], p_record bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	WITH next AS (UPDATE {schema}.revision SET value = value + 1 RETURNING value)
	INSERT INTO {schema}.change SELECT n.value, p_object, p_change, p_at, p_before, p_record FROM next n;
END $$;

-- A null p_max takes the override back.
CREATE FUNCTION {schema}.override({memory}, p_now int8, p_account uuid, p_max int8, p_until int8, p_object uuid, p_change uuid, p_seen int8, p_record bytea, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, true);
	o_clock := coalesce(p_now, {clock});
	INSERT INTO {schema}.account (key) VALUES (p_account) ON CONFLICT DO NOTHING;
	PERFORM FROM {schema}.account a WHERE a.key = p_account FOR UPDATE;
	o_status := {schema}.judge(p_object, p_change, p_seen);
	IF o_status = 'done' THEN
		UPDATE {schema}.account SET override_max = p_max, override_until = CASE WHEN p_max IS NOT NULL THEN p_until END WHERE key = p_account;
		PERFORM {schema}.note(p_object, p_change, o_clock, NULL, p_record);
	END IF;
	o_xid := {schema}.confirm({remember});
END $$;

-- Each account is a change of its own. The answer is superseded if one of them was.
CREATE FUNCTION {schema}.unlatch({memory}, p_now int8, p_accounts uuid[], p_objects uuid[], p_change uuid, p_seen int8, p_records bytea[], {answer})
LANGUAGE plpgsql {rights} AS $$
DECLARE
	v_judged text;
BEGIN
	o_step := {schema}.witness({remember}, true);
	o_clock := coalesce(p_now, {clock});
	o_status := 'done';
	PERFORM FROM {schema}.account a WHERE a.key = ANY (p_accounts) ORDER BY a.key FOR UPDATE;
	FOR i IN 1 .. cardinality(p_accounts) LOOP
		v_judged := {schema}.judge(p_objects[i], p_change, p_seen);
		IF v_judged = 'done' THEN
			UPDATE {schema}.account SET latched_until = 0 WHERE key = p_accounts[i] AND latched_until <> 0;
			PERFORM {schema}.note(p_objects[i], p_change, o_clock, NULL, p_records[i]);
		ELSIF v_judged = 'superseded' THEN
			o_status := v_judged;
		END IF;
	END LOOP;
	o_xid := {schema}.confirm({remember});
END $$;

CREATE FUNCTION {schema}.set_flag({memory}, p_now int8, p_dims uuid[], p_scope bytea, p_reason bytea, p_channel text, p_object uuid, p_change uuid, p_seen int8, p_record bytea, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, true);
	o_clock := coalesce(p_now, {clock});
	o_status := {schema}.judge(p_object, p_change, p_seen);
	IF o_status = 'done' THEN
		INSERT INTO {schema}.kill (dims, scope, reason, at) VALUES (p_dims, p_scope, p_reason, o_clock)
			ON CONFLICT (dims) DO UPDATE SET reason = excluded.reason, at = excluded.at;
		PERFORM {schema}.note(p_object, p_change, o_clock, NULL, p_record);
		PERFORM pg_notify(p_channel, '');
	END IF;
	o_xid := {schema}.confirm({remember});
END $$;

CREATE FUNCTION {schema}.remove_flag({memory}, p_now int8, p_dims uuid[], p_channel text, p_object uuid, p_change uuid, p_seen int8, p_record bytea, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, true);
	o_clock := coalesce(p_now, {clock});
	o_status := {schema}.judge(p_object, p_change, p_seen);
	IF o_status = 'done' THEN
		DELETE FROM {schema}.kill WHERE dims = p_dims;
		PERFORM {schema}.note(p_object, p_change, o_clock, NULL, p_record);
		PERFORM pg_notify(p_channel, '');
	END IF;
	o_xid := {schema}.confirm({remember});
END $$;

CREATE FUNCTION {schema}.correct({memory}, p_now int8, p_id uuid, p_actual int8[], p_object uuid, p_change uuid, p_seen int8, p_record bytea, {answer})
LANGUAGE plpgsql {rights} AS $$
DECLARE
	c_none CONSTANT int8[] := '{0,0,0,0,0,0,0,0}';
	e        record;
	v_keys   uuid[];
	v_judged text;
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
	o_value := e.state;
	o_status := v_judged;
	IF v_judged = 'superseded' THEN
		RETURN;
	ELSIF v_judged = 'done' AND e.actual = p_actual AND NOT e.estimated THEN
		o_status := 'replayed';
	ELSIF v_judged = 'done' THEN
		PERFORM {schema}.post(e.accounts, e.units, e.starts, c_none, e.actual, p_actual);
		UPDATE {schema}.reservation r SET state = 2, estimated = false, actual = p_actual, resolved_at = o_clock
			WHERE r.id = p_id AND r.state = e.state AND r.actual = e.actual;
		IF NOT FOUND THEN
			RAISE EXCEPTION 'the reservation was resolved meanwhile' USING ERRCODE = 'serialization_failure';
		END IF;
	END IF;
	IF v_judged = 'done' THEN
		PERFORM {schema}.note(p_object, p_change, o_clock, e.actual, p_record);
	END IF;
	o_xid := {schema}.confirm({remember});
END $$;

-- o_value is the revision.
CREATE FUNCTION {schema}.changes({memory}, p_after int8, p_max int8, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, false);
	SELECT json_build_object('Changes', coalesce(json_agg(json_build_object(
			'Revision', t.revision, 'At', t.at, 'Before', t.before, 'Record', encode(t.record, 'base64')) ORDER BY t.revision), '[]'))
		INTO o_detail
		FROM (SELECT c.* FROM {schema}.change c WHERE c.revision > p_after ORDER BY c.revision LIMIT p_max) t;
	SELECT r.value INTO o_value FROM {schema}.revision r;
	PERFORM {schema}.confirm({remember});
	o_status := 'done';
END $$;
