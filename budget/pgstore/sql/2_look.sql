-- The sums of an account's buckets, for the time until there is room again. They may exceed int8 together.
CREATE OR REPLACE FUNCTION {schema}.buckets(p_account uuid, p_since int8) RETURNS json LANGUAGE sql VOLATILE AS $$
	SELECT coalesce(json_agg(json_build_array(b.start, least(b.settled::numeric + b.pending, 9223372036854775807)) ORDER BY b.start), '[]')
	FROM {schema}.bucket b WHERE b.account = p_account AND b.start >= p_since
$$;

-- A kill flag as it is told.
CREATE OR REPLACE FUNCTION {schema}.flag(p_scope bytea, p_reason bytea, p_at int8) RETURNS json LANGUAGE sql IMMUTABLE AS $$
	SELECT json_build_object('Scope', encode(p_scope, 'base64'), 'Reason', encode(p_reason, 'base64'), 'At', p_at)
$$;

CREATE OR REPLACE FUNCTION {schema}.balances(
	{memory}, p_now int8, p_from int8, p_until int8,
	p_accounts uuid[], p_starts int8[], p_widths int8[], p_steps int8[], p_maxes int8[],
	{answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, false);
	o_clock := coalesce(p_now, {clock});
	IF o_clock < p_from OR o_clock >= p_until THEN
		o_status := 'moved';
		RETURN;
	END IF;
	-- Of an account without sums, an override may have been forgotten, too.
	PERFORM FROM {schema}.meta m, unnest(p_accounts, p_starts, p_steps) AS t(account, start, step)
		WHERE o_clock < m.horizon AND (t.start > 0 OR t.step > 0 OR NOT EXISTS (SELECT FROM {schema}.bucket b WHERE b.account = t.account));
	IF FOUND THEN
		RAISE EXCEPTION 'sums of this time were forgotten' USING ERRCODE = 'BG005';
	END IF;
	-- One statement, so that lines that are booked together are seen together.
	SELECT json_build_object('Balances', coalesce(json_agg(json_build_object(
			'Line', t.i - 1, 'Max', CASE WHEN o_clock < a.override_until THEN a.override_max ELSE t.max END,
			'Settled', least(coalesce(s.settled, 0), 9223372036854775807), 'Pending', least(coalesce(s.pending, 0), 9223372036854775807),
			'LatchedUntil', coalesce(a.latched_until, 0), 'Buckets', coalesce(s.buckets, '[]')) ORDER BY t.i), '[]'))
		INTO o_detail
		FROM unnest(p_accounts, p_starts, p_widths, p_steps, p_maxes) WITH ORDINALITY AS t(account, start, width, step, max, i)
		LEFT JOIN {schema}.account a ON a.key = t.account
		CROSS JOIN LATERAL (
			SELECT sum(b.settled) AS settled, sum(b.pending) AS pending,
				json_agg(json_build_array(b.start, least(b.settled::numeric + b.pending, 9223372036854775807)) ORDER BY b.start) AS buckets
			FROM {schema}.bucket b
			WHERE b.account = t.account AND b.start >= CASE WHEN t.step > 0 THEN o_clock - o_clock % t.step ELSE t.start END - t.width
		) s;
	PERFORM {schema}.confirm({remember});
	o_status := 'done';
END $$;
