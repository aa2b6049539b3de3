-- Forgets what is past the retention, a batch at a time: resolved reservations, sums without anything pending, accounts
-- with nothing left to say, and what is past that of usage, by the time that forgetting goes by: what has passed by a clock that jumped ahead is in force again when the
-- clock is right. Whatever somebody is working on waits for the next time. o_value is the largest batch.
CREATE OR REPLACE FUNCTION {schema}.forget({memory}, p_now int8, p_retention int8, p_batch int8, {answer})
LANGUAGE plpgsql {rights} AS $$
DECLARE
	v_count  int8;
	v_sums   int8;
	v_used   int8;
	v_old    int8;
	v_judged int8;
	v_idle   uuid[];
	v_day    int8;
BEGIN
	o_step := {schema}.witness({remember}, true);
	o_clock := coalesce(p_now, {clock});
	SELECT coalesce(m.judged, o_clock) INTO v_judged FROM {schema}.meta m;
	v_judged := greatest(v_judged, least(o_clock, v_judged + greatest(p_retention / 8, 3600000000000)));
	v_old := least(v_judged, o_clock) - p_retention;
	PERFORM {schema}.forgetting(true);
	WITH gone AS (
		DELETE FROM {schema}.reservation WHERE id IN (
			SELECT r.id FROM {schema}.reservation r WHERE r.state <> 1 AND r.resolved_at <= v_old ORDER BY r.resolved_at LIMIT p_batch FOR UPDATE SKIP LOCKED)
		RETURNING accounts, units, starts, actual
	), posted AS (
		SELECT t.account, t.start, sum(g.actual[t.unit + 1]) AS amount FROM gone g, unnest(g.accounts, g.units, g.starts) AS t(account, unit, start)
		WHERE g.actual[t.unit + 1] > 0 GROUP BY t.account, t.start
	), locked AS MATERIALIZED (
		-- Steps lock accounts in this order, too.
		SELECT a.key FROM {schema}.account a WHERE a.key IN (SELECT p.account FROM posted p) ORDER BY a.key FOR UPDATE
	), told AS (
		UPDATE {schema}.bucket b SET forgotten = b.forgotten + p.amount FROM posted p, (SELECT count(*) FROM locked) l
		WHERE b.account = p.account AND b.start = p.start
	)
	SELECT count(*) INTO o_value FROM gone;
	WITH gone AS (
		SELECT b.account, b.start FROM {schema}.bucket b
		WHERE b."end" < v_old AND b.pending = 0 LIMIT p_batch FOR UPDATE SKIP LOCKED)
	DELETE FROM {schema}.bucket b USING gone g WHERE b.account = g.account AND b.start = g.start;
	GET DIAGNOSTICS v_count = ROW_COUNT;
	o_value := greatest(o_value, v_count);
	v_sums := v_count;
	-- Two statements, because the second sees what was booked before the first had locked the account.
	v_idle := ARRAY(
		SELECT a.key FROM {schema}.account a
		WHERE coalesce(a.override_until, v_old) <= v_old AND a.latched_until <= v_old AND v_old >= ALL (a.fired)
			AND NOT EXISTS (SELECT FROM {schema}.bucket b WHERE b.account = a.key)
		LIMIT p_batch FOR UPDATE SKIP LOCKED);
	DELETE FROM {schema}.account a WHERE a.key = ANY (v_idle) AND NOT EXISTS (SELECT FROM {schema}.bucket b WHERE b.account = a.key);
	GET DIAGNOSTICS v_count = ROW_COUNT;
	o_value := greatest(o_value, v_count);
	v_day := {schema}.day(least(v_judged, o_clock) - {kept});
	WITH gone AS (
		SELECT u.day, u.key FROM {schema}.usage u WHERE u.day < v_day LIMIT p_batch FOR UPDATE SKIP LOCKED)
	DELETE FROM {schema}.usage u USING gone g WHERE u.day = g.day AND u.key = g.key;
	GET DIAGNOSTICS v_used = ROW_COUNT;
	o_value := greatest(o_value, v_used);
	DELETE FROM {schema}.usage_day d WHERE d.day < v_day AND NOT EXISTS (SELECT FROM {schema}.usage u WHERE u.day = d.day);
	UPDATE {schema}.meta m SET judged = v_judged, horizon = CASE WHEN v_sums + v_count > 0 THEN greatest(m.horizon, v_old) ELSE m.horizon END;
	PERFORM {schema}.forgetting(false);
	o_status := 'done';
	o_xid := {schema}.confirm({remember});
END $$;
