-- Posts p_actual in the place of what a reservation stands for, in the buckets in which it was booked: what it holds
-- pending goes out, p_before has been posted already. Returns how many buckets were there, those not missed counted with them:
-- one that holds nothing pending may have been forgotten. A sum that leaves int8 is an error of the server, and nothing changes.
CREATE FUNCTION {schema}.post(p_accounts uuid[], p_units int4[], p_starts int8[], p_held int8[], p_before int8[], p_actual int8[])
RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
	v_count int8;
BEGIN
	UPDATE {schema}.bucket b
		SET settled = b.settled + (p_actual[t.unit + 1] - p_before[t.unit + 1]), pending = b.pending - p_held[t.unit + 1], ceiling = NULL
		FROM unnest(p_accounts, p_units, p_starts) AS t(account, unit, start)
		WHERE b.account = t.account AND b.start = t.start;
	GET DIAGNOSTICS v_count = ROW_COUNT;
	IF v_count < cardinality(p_accounts) THEN
		v_count := v_count + (SELECT count(*) FROM unnest(p_accounts, p_units, p_starts) AS t(account, unit, start)
			WHERE p_held[t.unit + 1] = 0 AND NOT EXISTS (SELECT FROM {schema}.bucket b WHERE b.account = t.account AND b.start = t.start));
	END IF;
	RETURN v_count;
END $$;

CREATE FUNCTION {schema}.void({memory}, p_now int8, p_id uuid, p_owner uuid, {answer})
LANGUAGE plpgsql {rights} AS $$
DECLARE
	c_none CONSTANT int8[] := '{0,0,0,0,0,0,0,0}';
	e      record;
	v_keys uuid[];
BEGIN
	o_step := {schema}.witness({remember}, true);
	SELECT r.accounts INTO v_keys FROM {schema}.reservation r WHERE r.id = p_id;
	PERFORM FROM {schema}.account a WHERE a.key = ANY (v_keys) ORDER BY a.key FOR UPDATE;
	o_clock := coalesce(p_now, {clock});
	SELECT r.* INTO e FROM {schema}.reservation r WHERE r.id = p_id;
	PERFORM {schema}.confirm({remember});
	IF e.id IS NULL THEN
		INSERT INTO {schema}.reservation (id, owner, state, tombstone, reserved, actual, accounts, units, starts, reserved_at, resolved_at, expires_at)
			VALUES (p_id, p_owner, 3, true, c_none, c_none, '{}', '{}', '{}', o_clock, o_clock, o_clock)
			ON CONFLICT (id) DO NOTHING;
	ELSIF e.owner <> p_owner THEN
		o_status := 'conflict';
		RETURN;
	ELSIF e.state = 3 THEN
		o_status := 'replayed';
		RETURN;
	ELSIF e.state <> 1 THEN
		o_status := 'resolved';
		RETURN;
	ELSIF v_keys IS NULL OR NOT e.accounts <@ v_keys THEN
		RAISE EXCEPTION 'the reservation was made meanwhile' USING ERRCODE = 'serialization_failure';
	ELSE
		IF {schema}.post(e.accounts, e.units, e.starts, e.reserved, c_none, c_none) < cardinality(e.accounts) THEN
			RAISE EXCEPTION 'sums of a pending reservation are gone' USING ERRCODE = 'BG001';
		END IF;
		UPDATE {schema}.reservation r SET state = 3, resolved_at = o_clock WHERE r.id = p_id AND r.state = 1;
	END IF;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the reservation was resolved meanwhile' USING ERRCODE = 'serialization_failure';
	END IF;
	o_status := 'done';
	o_xid := {schema}.confirm({remember});
END $$;

CREATE FUNCTION {schema}.correct({memory}, p_now int8, p_id uuid, p_actual int8[], {answer})
LANGUAGE plpgsql {rights} AS $$
DECLARE
	c_none CONSTANT int8[] := '{0,0,0,0,0,0,0,0}';
	e      record;
	v_keys uuid[];
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
	o_value := e.state;
	IF e.actual = p_actual AND NOT e.estimated THEN
		o_status := 'replayed';
		RETURN;
	ELSIF v_keys IS NULL OR NOT e.accounts <@ v_keys THEN
		RAISE EXCEPTION 'the reservation was made meanwhile' USING ERRCODE = 'serialization_failure';
	END IF;
	PERFORM {schema}.post(e.accounts, e.units, e.starts, c_none, e.actual, p_actual);
	UPDATE {schema}.reservation r SET state = 2, estimated = false, actual = p_actual, resolved_at = o_clock
		WHERE r.id = p_id AND r.state = e.state AND r.actual = e.actual;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the reservation was resolved meanwhile' USING ERRCODE = 'serialization_failure';
	END IF;
	o_status := 'done';
	o_xid := {schema}.confirm({remember});
END $$;
