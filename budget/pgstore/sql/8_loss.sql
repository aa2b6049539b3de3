-- Of meta:
--
--   lost       rows are gone that the ledger itself did not remove, and nobody has accepted that yet
--   accepted   the loss that was accepted last
--   judged     the time that forgetting goes by. It follows the clock, and moves on by a part of the retention at most each time, so
--              that a clock that jumps ahead and back forgets nothing that still counts
--   horizon    sums of windows that ended before it may have been forgotten: a clock that goes back behind it can't count them
ALTER TABLE {schema}.meta
	ADD COLUMN lost     bool NOT NULL DEFAULT false,
	ADD COLUMN accepted uuid,
	ADD COLUMN judged   int8,
	ADD COLUMN horizon  int8 NOT NULL DEFAULT -9223372036854775808;

-- What entries had posted that were forgotten since.
ALTER TABLE {schema}.bucket ADD COLUMN forgotten int8 NOT NULL DEFAULT 0;

CREATE OR REPLACE FUNCTION {schema}.emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE {schema}.meta SET epoch = gen_random_uuid(), lost = true;
	RETURN NULL;
END $$;

-- Rows that are gone are a loss, unless the step says that it forgets them.
CREATE FUNCTION {schema}.gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('bedrockguard.forgetting', true) IS DISTINCT FROM 'on' AND EXISTS (SELECT FROM removed) THEN
		UPDATE {schema}.meta SET epoch = gen_random_uuid(), lost = true;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER gone AFTER DELETE ON {schema}.account REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION {schema}.gone();
CREATE TRIGGER gone AFTER DELETE ON {schema}.bucket REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION {schema}.gone();
CREATE TRIGGER gone AFTER DELETE ON {schema}.reservation REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION {schema}.gone();
CREATE TRIGGER gone AFTER DELETE ON {schema}.kill REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION {schema}.gone();
CREATE TRIGGER gone AFTER DELETE ON {schema}.change REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION {schema}.gone();
CREATE TRIGGER gone AFTER DELETE ON {schema}.revision REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION {schema}.gone();
CREATE TRIGGER emptied AFTER TRUNCATE ON {schema}.revision FOR EACH STATEMENT EXECUTE FUNCTION {schema}.emptied();

-- Begins and ends the removal of rows inside of a step.
CREATE FUNCTION {schema}.forgetting(p_on bool) RETURNS void LANGUAGE sql AS $$
	SELECT set_config('bedrockguard.forgetting', CASE WHEN p_on THEN 'on' ELSE '' END, true)
$$;

CREATE FUNCTION {schema}.losses(OUT lost bool, OUT accepted text) LANGUAGE sql {rights} AS $$
	SELECT m.lost, coalesce(m.accepted::text, '') FROM {schema}.meta m
$$;

CREATE OR REPLACE FUNCTION {schema}.remove_flag({memory}, p_now int8, p_dims uuid[], p_channel text, p_object uuid, p_change uuid, p_seen int8, p_record bytea, {answer})
LANGUAGE plpgsql {rights} AS $$
BEGIN
	o_step := {schema}.witness({remember}, true);
	o_clock := coalesce(p_now, {clock});
	o_status := {schema}.judge(p_object, p_change, p_seen);
	IF o_status = 'done' THEN
		PERFORM {schema}.forgetting(true);
		DELETE FROM {schema}.kill WHERE dims = p_dims;
		PERFORM {schema}.forgetting(false);
		PERFORM {schema}.note(p_object, p_change, o_clock, NULL, p_record);
		PERFORM pg_notify(p_channel, '');
	END IF;
	o_xid := {schema}.confirm({remember});
END $$;

-- Takes what is there for the truth. It rests on nothing that the caller knows of the ledger.
CREATE FUNCTION {schema}.accept(p_version int4, p_now int8, p_object uuid, p_change uuid, p_seen int8, p_record bytea, OUT o_status text)
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
		INSERT INTO {schema}.account (key) SELECT DISTINCT b.account FROM {schema}.bucket b ON CONFLICT DO NOTHING;
		PERFORM {schema}.note(p_object, p_change, v_clock, NULL, p_record);
		PERFORM nextval('{schema}.step');
	END IF;
END $$;
