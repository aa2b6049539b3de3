-- Names are bytes, in a form of the library's, because they need not be valid text. Of an account: its limit, and the values that
-- split it. Of a reservation: whose it is, and the provider's id of the request.
ALTER TABLE {schema}.account ADD COLUMN name bytea;
ALTER TABLE {schema}.reservation
	ADD COLUMN whose     bytea NOT NULL DEFAULT '',
	ADD COLUMN reference bytea NOT NULL DEFAULT '';
CREATE INDEX reservation_reference ON {schema}.reservation (reference) WHERE reference <> '';

-- Those that the next files make take more arguments, which may be left out: two that may be meant by one call can't be told apart.
DO $$
DECLARE
	f regprocedure;
BEGIN
	FOR f IN
		SELECT p.oid FROM pg_proc p
		WHERE p.pronamespace = to_regnamespace('{schema}') AND p.proname IN ('reserve', 'settle')
			AND ('p_strict' = ANY (p.proargnames) OR 'float8[]'::regtype = ANY (p.proargtypes))
	LOOP
		EXECUTE 'DROP FUNCTION ' || f;
	END LOOP;
END $$;

-- Each way to find entries has a query of its own: one for both would read and sort the whole table for each page.
CREATE FUNCTION {schema}.list_entries({memory}, p_state int4, p_estimated bool, p_since int8, p_until int8, p_reference bytea, p_after uuid, p_max int8, {answer})
LANGUAGE plpgsql {rights} AS $$
DECLARE
	v_page {schema}.reservation[];
BEGIN
	o_step := {schema}.witness({remember}, false);
	IF p_reference <> '' THEN
		v_page := ARRAY(
			SELECT r FROM {schema}.reservation r
			WHERE r.reference = p_reference AND r.reference <> '' AND r.id > p_after
			ORDER BY r.id LIMIT p_max);
	ELSIF p_state = 1 THEN
		v_page := ARRAY(
			SELECT r FROM {schema}.reservation r
			WHERE r.state = 1 AND r.id > p_after AND (NOT p_estimated OR r.estimated) AND r.reserved_at >= p_since AND r.reserved_at < p_until
			ORDER BY r.id LIMIT p_max);
	ELSE
		v_page := ARRAY(
			SELECT r FROM {schema}.reservation r
			WHERE r.id > p_after AND (p_state = 0 OR r.state = p_state) AND (NOT p_estimated OR r.estimated)
				AND r.reserved_at >= p_since AND r.reserved_at < p_until
			ORDER BY r.id LIMIT p_max);
	END IF;
	SELECT json_build_object('Entries', coalesce(json_agg(json_build_object(
			'ID', t.id, 'State', t.state, 'Estimated', t.estimated, 'Orphan', t.orphan, 'Reserved', t.reserved, 'Actual', t.actual,
			'ReservedAt', t.reserved_at, 'ResolvedAt', t.resolved_at, 'Whose', encode(t.whose, 'base64'), 'Reference', encode(t.reference, 'base64'),
			'Accounts', t.accounts, 'Units', t.units, 'Starts', t.starts) ORDER BY t.id), '[]'))
		INTO o_detail
		FROM unnest(v_page) t;
	PERFORM {schema}.confirm({remember});
	o_status := 'done';
END $$;

CREATE FUNCTION {schema}.list_accounts({memory}, p_after uuid, p_max int8, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, false);
	o_clock := {clock};
	SELECT json_build_object('Accounts', coalesce(json_agg(json_build_object(
			'Key', t.key, 'Name', encode(t.name, 'base64'), 'OverrideMax', t.override_max, 'OverrideUntil', t.override_until, 'LatchedUntil', t.latched_until) ORDER BY t.key), '[]'))
		INTO o_detail
		FROM (SELECT a.* FROM {schema}.account a WHERE a.key > p_after ORDER BY a.key LIMIT p_max) t;
	PERFORM {schema}.confirm({remember});
	o_status := 'done';
END $$;

CREATE FUNCTION {schema}.list_periods({memory}, p_account uuid, p_after int8, p_max int8, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, false);
	SELECT json_build_object('Periods', coalesce(json_agg(json_build_object(
			'Start', t.start, 'Settled', t.settled, 'Pending', t.pending, 'Forgotten', t.forgotten) ORDER BY t.start), '[]'))
		INTO o_detail
		FROM (SELECT b.* FROM {schema}.bucket b WHERE b.account = p_account AND b.start > p_after ORDER BY b.start LIMIT p_max) t;
	PERFORM {schema}.confirm({remember});
	o_status := 'done';
END $$;
