-- p_strict says that observed lines refuse like all others. p_list is the list of patterns that the caller has matched, and p_matches those
-- of them that hold for the call; if the list is another one by now, the answer is stale, with the new one, and nothing has changed. A null
-- p_list is of a library that knows no patterns. p_usage is the row of usage that the call is added to, and p_extra how much longer than
-- until its end a bucket is kept.
CREATE OR REPLACE FUNCTION {schema}.reserve(
	{memory}, p_now int8, p_from int8, p_until int8, p_make bool,
	p_id uuid, p_owner uuid, p_charge int8[], p_ttl int8, p_tentative bool, p_strict bool, p_dims uuid[],
	p_accounts uuid[], p_units int4[], p_starts int8[], p_widths int8[], p_ends int8[], p_steps int8[],
	p_maxes int8[], p_observe bool[], p_latch bool[], p_whose bytea DEFAULT '', p_names bytea[] DEFAULT NULL,
	p_list uuid DEFAULT NULL, p_matches uuid[] DEFAULT '{}', p_usage uuid DEFAULT '{nobody}', p_extra int8[] DEFAULT NULL,
	{answer})
LANGUAGE plpgsql {rights} AS $$
DECLARE
	e          record;
	l          record;
	v_locked   int8;
	v_count    int8;
	v_denial   json;
	v_denied   json[] := '{}';
	v_observed json[];
	v_closed   uuid[] := '{}'; -- what a refusal latches, and until when
	v_until    int8[] := '{}';
	v_foretold uuid[] := '{}'; -- the same of observed lines, which latch when nothing refuses
	v_till     int8[] := '{}';
	v_ceilings int8[];
	v_list     uuid;
BEGIN
	IF p_make OR NOT ({sound}) THEN
		PERFORM {schema}.witness({remember}, true);
		INSERT INTO {schema}.account (key, name) SELECT t.key, t.name FROM unnest(p_accounts, p_names) AS t(key, name) ORDER BY t.key ON CONFLICT DO NOTHING;
	END IF;
	PERFORM FROM {schema}.account a WHERE a.key = ANY (p_accounts) ORDER BY a.key FOR UPDATE;
	GET DIAGNOSTICS v_locked = ROW_COUNT;
	IF p_accounts = '{}' THEN
		PERFORM pg_current_xact_id(); -- which locking an account does too: a kill waits for transactions that have one
	END IF;

	-- The usual case in one statement, because each one costs more than what it does: a new id, a sound ledger, no flag, room
	-- in every line, each with its bucket, none observed or overridden. Whatever is not so writes nothing here.
	WITH moment AS MATERIALIZED (
		SELECT coalesce(p_now, {clock}) AS at, nextval('{schema}.step') AS step FROM {schema}.step q, {schema}.meta m
		WHERE q.last_value >= p_step AND {ours} AND m.horizon <= coalesce(p_now, {clock})
			AND m.patterns = coalesce(p_list, '{zero}') AND p_matches = '{}'
	), line AS MATERIALIZED (
		SELECT t.i, t.account, p_charge[t.unit + 1] AS amount, CASE WHEN t.step > 0 THEN m.at - m.at % t.step ELSE t.start END AS start, t.width, t.max, t.observe
		FROM moment m, unnest(p_accounts, p_units, p_starts, p_widths, p_steps, p_maxes, p_observe)
			WITH ORDINALITY AS t(account, unit, start, width, step, max, observe, i)
	), made AS (
		INSERT INTO {schema}.reservation (id, owner, whose, usage, state, reserved, actual, accounts, units, starts, reserved_at, expires_at)
		SELECT p_id, p_owner, p_whose, p_usage, 1, p_charge, '{0,0,0,0,0,0,0,0}', p_accounts, p_units, (SELECT array_agg(w.start ORDER BY w.i) FROM line w),
			m.at, CASE WHEN p_ttl > 9223372036854775807 - m.at THEN 9223372036854775807 ELSE m.at + p_ttl END
		FROM moment m
		WHERE m.at >= p_from AND m.at < p_until
			AND v_locked = cardinality(p_accounts) -- or one was made since, and this sees it without having locked it
			AND NOT EXISTS (SELECT FROM {schema}.kill f WHERE f.dims <@ p_dims AND (f.until IS NULL OR f.until > m.at))
			AND (
				SELECT count(*) = cardinality(p_accounts) AND bool_and(coalesce(
					NOT w.observe AND coalesce(m.at >= a.override_until, true) AND a.latched_until <= m.at
					AND b.settled + b.pending + w.amount <= w.max AND b.present, false))
				FROM line w JOIN {schema}.account a ON a.key = w.account
				CROSS JOIN LATERAL (
					SELECT sum(b.settled) AS settled, sum(b.pending) AS pending, bool_or(b.start = w.start) AS present
					FROM {schema}.bucket b WHERE b.account = w.account AND b.start >= w.start - w.width
				) b)
		ON CONFLICT (id) DO NOTHING
		RETURNING expires_at
	), booked AS (
		UPDATE {schema}.bucket b SET pending = b.pending + w.amount, ceiling = w.max
		FROM made, line w WHERE b.account = w.account AND b.start = w.start
		RETURNING 1
	)
	SELECT 'admitted', m.step, m.at, made.expires_at, {writer}, (SELECT count(*) FROM booked)
		INTO o_status, o_step, o_clock, o_value, o_xid, v_count
		FROM moment m LEFT JOIN made ON true;
	IF o_value IS NOT NULL AND v_count < cardinality(p_accounts) THEN
		RAISE EXCEPTION 'a bucket was forgotten meanwhile' USING ERRCODE = 'serialization_failure';
	ELSIF o_value IS NOT NULL THEN
		RETURN;
	END IF;

	o_xid := NULL;
	o_step := {schema}.witness({remember}, true);
	o_clock := coalesce(p_now, {clock});
	IF v_locked < cardinality(p_accounts) THEN
		-- To make the others now would be to lock them out of order. An error also ends what shares the transaction.
		RAISE EXCEPTION 'accounts are missing' USING ERRCODE = 'BG004';
	ELSIF o_clock < p_from OR o_clock >= p_until THEN
		o_status := 'moved';
		RETURN;
	END IF;
	-- Of an account without sums, an override may have been forgotten, too.
	PERFORM FROM {schema}.meta m, unnest(p_accounts, p_starts, p_steps) AS t(account, start, step)
		WHERE o_clock < m.horizon AND (t.start > 0 OR t.step > 0 OR NOT EXISTS (SELECT FROM {schema}.bucket b WHERE b.account = t.account));
	IF FOUND THEN
		RAISE EXCEPTION 'sums of this time were forgotten' USING ERRCODE = 'BG005';
	END IF;
	SELECT r.* INTO e FROM {schema}.reservation r WHERE r.id = p_id;
	IF e.id IS NOT NULL AND e.state <> 1 THEN
		o_status := 'resolved';
		RETURN;
	ELSIF e.id IS NOT NULL AND (e.owner <> p_owner OR NOT {schema}.same_amount(e.reserved, p_charge) OR e.accounts <> p_accounts OR e.units <> p_units) THEN
		o_status := 'conflict';
		RETURN;
	END IF;
	SELECT m.patterns INTO v_list FROM {schema}.meta m;
	IF v_list <> coalesce(p_list, '{zero}') THEN
		IF p_list IS NULL THEN
			RAISE EXCEPTION 'kill flags with patterns are set, which this library does not know: use a newer library' USING ERRCODE = 'BG006';
		END IF;
		o_status := 'stale';
		o_detail := {schema}.pattern_list(v_list);
		RETURN;
	END IF;
	SELECT {schema}.flag(f.scope, f.reason, f.at, f.until, false) INTO o_detail FROM {schema}.kill f
		WHERE f.dims <@ p_dims AND (f.until IS NULL OR f.until > o_clock) LIMIT 1;
	IF o_detail IS NULL AND p_matches <> '{}' THEN
		SELECT {schema}.flag(f.scope, f.reason, f.at, f.until, true) INTO o_detail FROM {schema}.pattern f
			WHERE f.object = ANY (p_matches) AND (f.until IS NULL OR f.until > o_clock) LIMIT 1;
	END IF;
	IF o_detail IS NOT NULL THEN
		o_status := 'killed';
		o_detail := json_build_object('Killed', o_detail);
		RETURN;
	ELSIF e.id IS NOT NULL THEN
		o_status := 'replayed';
		o_value := e.expires_at;
		RETURN;
	END IF;

	FOR i IN 1 .. cardinality(p_accounts) LOOP
		IF p_steps[i] > 0 THEN
			p_starts[i] := o_clock - o_clock % p_steps[i];
			p_ends[i] := p_starts[i] + p_widths[i] + p_steps[i];
		END IF;
	END LOOP;
	v_ceilings := p_maxes;
	FOR l IN
		SELECT t.i, t.account, t.start - t.width AS since, p_charge[t.unit + 1]::numeric AS amount, t.observe, t.latch,
			CASE WHEN t.width > 0 THEN o_clock + t.width ELSE t."end" END AS passed,
			CASE WHEN o_clock < a.override_until THEN a.override_max ELSE t.max END AS max,
			a.latched_until, coalesce(s.settled, 0) AS settled, coalesce(s.pending, 0) AS pending
		FROM unnest(p_accounts, p_units, p_starts, p_widths, p_ends, p_maxes, p_observe, p_latch)
			WITH ORDINALITY AS t(account, unit, start, width, "end", max, observe, latch, i)
		JOIN {schema}.account a ON a.key = t.account
		CROSS JOIN LATERAL (
			SELECT sum(b.settled) AS settled, sum(b.pending) AS pending
			FROM {schema}.bucket b WHERE b.account = t.account AND b.start >= t.start - t.width
		) s
		ORDER BY t.i
	LOOP
		IF l.settled + l.pending + l.amount > 9223372036854775807 THEN
			o_status := 'overflow';
			RETURN;
		END IF;
		v_ceilings[l.i] := CASE WHEN l.observe THEN NULL ELSE l.max END;
		CONTINUE WHEN l.settled + l.pending + l.amount <= l.max AND l.latched_until <= o_clock;
		v_denial := json_build_object(
			'Line', l.i - 1, 'Amount', l.amount, 'Max', l.max, 'Settled', l.settled, 'Pending', l.pending, 'LatchedUntil', l.latched_until,
			'Buckets', {schema}.buckets(l.account, l.since));
		IF l.observe AND NOT p_strict THEN
			v_observed := v_observed || v_denial;
		ELSE
			v_denied := v_denied || v_denial;
		END IF;
		IF l.latch AND NOT p_tentative AND l.latched_until <= o_clock AND (p_strict OR NOT l.observe) THEN
			v_closed := v_closed || l.account;
			v_until := v_until || l.passed;
		ELSIF l.latch AND NOT p_tentative AND l.latched_until <= o_clock THEN
			v_foretold := v_foretold || l.account;
			v_till := v_till || l.passed;
		END IF;
	END LOOP;
	IF cardinality(v_denied) = 0 THEN
		v_closed := v_foretold;
		v_until := v_till;
	END IF;
	UPDATE {schema}.account a SET latched_until = t.passed FROM unnest(v_closed, v_until) AS t(account, passed) WHERE a.key = t.account;
	IF cardinality(v_denied) > 0 THEN
		o_status := 'denied';
		o_detail := json_build_object('Denied', v_denied);
		RETURN;
	END IF;

	o_value := CASE WHEN p_ttl > 9223372036854775807 - o_clock THEN 9223372036854775807 ELSE o_clock + p_ttl END;
	-- In the first booking of a window an account is given the name that it lacks.
	UPDATE {schema}.account a SET name = t.name FROM unnest(p_accounts, p_names) AS t(key, name) WHERE a.key = t.key AND a.name IS NULL AND t.name IS NOT NULL;
	INSERT INTO {schema}.reservation (id, owner, whose, usage, state, reserved, actual, accounts, units, starts, reserved_at, expires_at)
		VALUES (p_id, p_owner, p_whose, p_usage, 1, p_charge, '{0,0,0,0,0,0,0,0}', p_accounts, p_units, p_starts, o_clock, o_value)
		ON CONFLICT (id) DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the id was taken meanwhile' USING ERRCODE = 'serialization_failure';
	END IF;
	INSERT INTO {schema}.bucket AS b (account, start, "end", settled, pending, ceiling)
		SELECT t.account, t.start, t."end" + coalesce(t.extra, 0), 0, p_charge[t.unit + 1], t.ceiling
		FROM unnest(p_accounts, p_units, p_starts, p_ends, p_extra, v_ceilings) AS t(account, unit, start, "end", extra, ceiling)
		ON CONFLICT (account, start) DO UPDATE SET pending = b.pending + excluded.pending, ceiling = excluded.ceiling, "end" = greatest(b."end", excluded."end");
	IF cardinality(v_observed) > 0 THEN
		o_detail := json_build_object('Observed', v_observed);
	END IF;
	o_status := 'admitted';
	o_xid := {writer};
END $$;

