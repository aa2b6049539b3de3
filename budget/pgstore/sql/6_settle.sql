-- Reports the marks, fractions of the Max in force, that settled spend stands at or above and that were not reported in this window
-- yet: line, mark, sum and Max.
CREATE OR REPLACE FUNCTION {schema}.report(
	p_clock int8, p_accounts uuid[], p_starts int8[], p_widths int8[], p_ends int8[], p_maxes int8[],
	p_mark_lines int4[], p_mark_numbers int4[], p_marks float8[])
RETURNS json LANGUAGE plpgsql AS $$
DECLARE
	l         record;
	v_fired   int8[];
	v_crossed json[] := '{}';
BEGIN
	FOR l IN
		SELECT t.i, t.account, a.fired, CASE WHEN p_clock < a.override_until THEN a.override_max ELSE t.max END AS max, CASE WHEN t.width > 0 THEN p_clock + t.width ELSE t."end" END AS passed,
			least(coalesce((SELECT sum(b.settled) FROM {schema}.bucket b WHERE b.account = t.account AND b.start >= t.start - t.width), 0), 9223372036854775807) AS settled
		FROM unnest(p_accounts, p_starts, p_widths, p_ends, p_maxes) WITH ORDINALITY AS t(account, start, width, "end", max, i)
		JOIN {schema}.account a ON a.key = t.account
		WHERE t.i = ANY (p_mark_lines)
		ORDER BY t.i
	LOOP
		v_fired := l.fired;
		FOR j IN 1 .. cardinality(p_marks) LOOP
			CONTINUE WHEN p_mark_lines[j] <> l.i OR l.settled < CASE WHEN p_marks[j] < 1 THEN ceil(p_marks[j] * l.max::float8)::int8 ELSE l.max END OR p_clock < coalesce(v_fired[p_mark_numbers[j] + 1], 0);
			WHILE cardinality(v_fired) <= p_mark_numbers[j] LOOP
				v_fired := v_fired || 0::int8;
			END LOOP;
			v_fired[p_mark_numbers[j] + 1] := l.passed;
			v_crossed := v_crossed || json_build_array(l.i - 1, p_mark_numbers[j], l.settled, l.max);
		END LOOP;
		IF v_fired <> l.fired THEN
			UPDATE {schema}.account SET fired = v_fired WHERE key = l.account;
		END IF;
	END LOOP;
	RETURN CASE WHEN cardinality(v_crossed) > 0 THEN json_build_object('Crossed', v_crossed) END;
END $$;

-- p_usage is the row of usage of the call, if it is told, and p_shares how p_actual divides among several: see uses. p_rows is how many
-- rows a day may have, p_extra how much longer than until its end a bucket is kept, and p_defer leaves the usage to flush_usage.
CREATE OR REPLACE FUNCTION {schema}.settle(
	{memory}, p_now int8, p_from int8, p_until int8, p_make bool,
	p_id uuid, p_owner uuid, p_actual int8[], p_estimated bool,
	p_accounts uuid[], p_units int4[], p_starts int8[], p_widths int8[], p_ends int8[], p_steps int8[], p_maxes int8[],
	p_mark_lines int4[], p_mark_numbers int4[], p_marks float8[], p_whose bytea DEFAULT '', p_reference bytea DEFAULT '', p_names bytea[] DEFAULT NULL,
	p_usage uuid DEFAULT NULL, p_shares text DEFAULT '', p_rows int8 DEFAULT {rows}, p_extra int8[] DEFAULT NULL, p_defer bool DEFAULT false,
	{answer})
LANGUAGE plpgsql {rights} AS $$
DECLARE
	c_none   CONSTANT int8[] := '{0,0,0,0,0,0,0,0}';
	e        record;
	v_keys   uuid[] := p_accounts;
	v_orphan bool;
	v_locked int8;
	v_posted int8;
	v_count  int8;
	v_held   int8;
	v_day    int8;
	v_key    uuid;
	v_whose  bytea;
	v_before text := '';
BEGIN
	IF p_make OR NOT ({sound}) THEN
		PERFORM {schema}.witness({remember}, true);
		INSERT INTO {schema}.account (key, name) SELECT t.key, t.name FROM unnest(p_accounts, p_names) AS t(key, name) ORDER BY t.key ON CONFLICT DO NOTHING;
		v_keys := p_accounts || coalesce((SELECT r.accounts FROM {schema}.reservation r WHERE r.id = p_id), '{}');
	END IF;
	SELECT count(*) FILTER (WHERE k.key = ANY (p_accounts)) INTO v_locked
		FROM (SELECT a.key FROM {schema}.account a WHERE a.key = ANY (v_keys) ORDER BY a.key FOR UPDATE) k;

	-- The usual case in one statement: a pending reservation of these accounts, a sound ledger, no marks. Whatever is not so
	-- writes nothing here.
	WITH moment AS MATERIALIZED (
		SELECT coalesce(p_now, {clock}) AS at, nextval('{schema}.step') AS step FROM {schema}.step q, {schema}.meta m
		WHERE q.last_value >= p_step AND {ours}
	), posted AS (
		UPDATE {schema}.reservation r SET state = 2, estimated = p_estimated, actual = p_actual, resolved_at = m.at,
			whose = CASE WHEN p_whose <> '' THEN p_whose ELSE r.whose END,
			reference = CASE WHEN p_reference <> '' THEN p_reference ELSE r.reference END,
			usage = coalesce(p_usage, r.usage, '{nobody}')
		FROM moment m
		WHERE r.id = p_id AND r.owner = p_owner AND r.state = 1 AND r.accounts = p_accounts AND p_marks = '{}' AND p_shares = ''
			AND cardinality(r.reserved) <= cardinality(p_actual)
			AND v_locked = cardinality(p_accounts) -- or they were made since, and this sees them without having locked them
		RETURNING r.accounts, r.units, r.starts, r.reserved, r.usage, r.whose, greatest(r.reserved_at, 0) / 86400000000000 AS day
	), booked AS (
		UPDATE {schema}.bucket b
		SET settled = b.settled + p_actual[t.unit + 1], pending = b.pending - p.reserved[t.unit + 1], ceiling = NULL
		FROM posted p, unnest(p.accounts, p.units, p.starts) AS t(account, unit, start)
		WHERE b.account = t.account AND b.start = t.start
		RETURNING p.reserved[t.unit + 1] > 0 AS held
	)
	SELECT 'done', m.step, m.at, 1, {writer}, p.day, p.usage, p.whose, (SELECT count(*) FROM booked k WHERE k.held),
			(SELECT count(*) FROM unnest(p.units) AS u WHERE p.reserved[u + 1] > 0)
		INTO o_status, o_step, o_clock, o_value, o_xid, v_day, v_key, v_whose, v_count, v_held
		FROM moment m LEFT JOIN posted p ON true;
	IF v_day IS NOT NULL AND v_count = v_held THEN
		IF p_defer THEN
			RETURN;
		END IF;
		UPDATE {schema}.usage u SET amount = ARRAY[
				u.amount[1] + p_actual[1], u.amount[2] + p_actual[2], u.amount[3] + p_actual[3], u.amount[4] + p_actual[4],
				u.amount[5] + p_actual[5], u.amount[6] + p_actual[6], u.amount[7] + p_actual[7], u.amount[8] + p_actual[8]]
			WHERE u.day = v_day AND u.key = v_key AND cardinality(u.amount) = 8 AND cardinality(p_actual) = 8;
		IF NOT FOUND THEN -- it is not there yet, or counts other units
			PERFORM {schema}.charge_usage({schema}.uses(1, v_day, nullif({schema}.used(v_key, v_whose, NULL, p_actual), '')), p_rows);
		END IF;
		RETURN;
	ELSIF v_day IS NOT NULL THEN
		RAISE EXCEPTION 'sums of a pending reservation are gone' USING ERRCODE = 'BG001';
	END IF;

	o_xid := NULL;
	o_step := {schema}.witness({remember}, true);
	o_clock := coalesce(p_now, {clock});
	SELECT r.* INTO e FROM {schema}.reservation r WHERE r.id = p_id;
	v_orphan := e.id IS NULL OR e.state = 3;
	IF e.id IS NOT NULL AND e.owner <> p_owner THEN
		o_status := 'conflict';
		RETURN;
	ELSIF e.state = 2 AND {schema}.same_amount(e.actual, p_actual) THEN
		o_status := 'replayed';
		o_value := e.state;
		RETURN;
	ELSIF e.state = 2 THEN
		o_status := 'resolved';
		RETURN;
	END IF;
	PERFORM {schema}.knows(p_actual, e.reserved);
	IF v_locked < cardinality(p_accounts) OR NOT p_make AND NOT v_orphan AND NOT e.accounts <@ p_accounts OR p_defer AND (e.state = 4 OR p_shares <> '') THEN
		RAISE EXCEPTION 'accounts are missing' USING ERRCODE = 'BG004';
	ELSIF NOT v_orphan AND NOT e.accounts <@ v_keys THEN
		RAISE EXCEPTION 'the reservation was made meanwhile' USING ERRCODE = 'serialization_failure';
	END IF;

	IF v_orphan OR cardinality(p_marks) > 0 THEN
		IF o_clock < p_from OR o_clock >= p_until THEN
			o_status := 'moved';
			RETURN;
		END IF;
		FOR i IN 1 .. cardinality(p_accounts) LOOP
			IF p_steps[i] > 0 THEN
				p_starts[i] := o_clock - o_clock % p_steps[i];
				p_ends[i] := p_starts[i] + p_widths[i] + p_steps[i];
			END IF;
		END LOOP;
	END IF;

	-- What a tombstone says of an orphan counts for nothing.
	v_key := coalesce(p_usage, CASE WHEN NOT v_orphan THEN e.usage END, '{nobody}');
	v_whose := CASE WHEN p_whose <> '' OR v_orphan THEN p_whose ELSE e.whose END;
	v_day := {schema}.day(CASE WHEN v_orphan THEN o_clock ELSE e.reserved_at END);
	IF v_orphan THEN
		INSERT INTO {schema}.bucket (account, start, "end", settled, pending)
			SELECT t.account, t.start, t."end" + coalesce(t.extra, 0), 0, 0 FROM unnest(p_accounts, p_starts, p_ends, p_extra) AS t(account, start, "end", extra) ORDER BY t.account
			ON CONFLICT DO NOTHING;
		PERFORM {schema}.post(p_accounts, p_units, p_starts, c_none, c_none, p_actual);
		UPDATE {schema}.account a SET name = t.name FROM unnest(p_accounts, p_names) AS t(key, name) WHERE a.key = t.key AND a.name IS NULL AND t.name IS NOT NULL;
		INSERT INTO {schema}.reservation AS r
			(id, owner, whose, usage, shares, reference, state, estimated, orphan, reserved, actual, accounts, units, starts, reserved_at, resolved_at, expires_at)
			VALUES (p_id, p_owner, p_whose, v_key, nullif(p_shares, ''), p_reference, 2, p_estimated, true, c_none, p_actual, p_accounts, p_units, p_starts, o_clock, o_clock, o_clock)
			ON CONFLICT (id) DO UPDATE SET
				whose = excluded.whose, usage = excluded.usage, shares = excluded.shares, reference = excluded.reference, state = 2, estimated = excluded.estimated, orphan = true, tombstone = false, reserved = excluded.reserved, actual = excluded.actual,
				accounts = excluded.accounts, units = excluded.units, starts = excluded.starts,
				reserved_at = excluded.reserved_at, resolved_at = excluded.resolved_at, expires_at = excluded.expires_at
				WHERE e.state = 3 AND r.state = 3;
		GET DIAGNOSTICS v_posted = ROW_COUNT;
	ELSE
		v_before := {schema}.used(e.usage, e.whose, e.shares, e.actual);
		UPDATE {schema}.reservation r SET state = 2, estimated = p_estimated, actual = p_actual, resolved_at = o_clock,
			whose = v_whose, usage = v_key, shares = nullif(p_shares, ''),
			reference = CASE WHEN p_reference <> '' THEN p_reference ELSE r.reference END
			WHERE r.id = p_id AND r.state = e.state;
		GET DIAGNOSTICS v_posted = ROW_COUNT;
		v_count := {schema}.post(e.accounts, e.units, e.starts, CASE WHEN e.state = 1 THEN e.reserved ELSE c_none END, e.actual, p_actual);
		IF e.state = 1 AND v_count < cardinality(e.accounts) THEN
			RAISE EXCEPTION 'sums of a pending reservation are gone' USING ERRCODE = 'BG001';
		END IF;
	END IF;
	IF v_posted = 0 THEN
		RAISE EXCEPTION 'the reservation was resolved meanwhile' USING ERRCODE = 'serialization_failure';
	END IF;
	IF NOT p_defer THEN
		PERFORM {schema}.charge_usage(
			concat_ws(';', {schema}.uses(-1, v_day, nullif(v_before, '')), {schema}.uses(1, v_day, nullif({schema}.used(v_key, v_whose, p_shares, p_actual), ''))), p_rows);
	END IF;
	IF cardinality(p_marks) > 0 THEN
		o_detail := {schema}.report(o_clock, p_accounts, p_starts, p_widths, p_ends, p_maxes, p_mark_lines, p_mark_numbers, p_marks);
	END IF;
	o_status := 'done';
	o_value := coalesce(e.state, 0);
	o_xid := {writer};
END $$;

