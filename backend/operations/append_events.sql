-- Appends events to a squad's log, in the array's order, at the positions that follow the last one. Only
-- under the squad's lock: then the order of positions is the order of commits, without a gap.
-- Lowers the marks of queues into which a task came (tasks/raise_mark.sql).
-- Says in a setting of the transaction whose log it was, so that the bell can be rung after the commit.
CREATE OR REPLACE FUNCTION append_events(p_squad uuid, p_actor jsonb, p_events jsonb)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_last bigint;
BEGIN
    SELECT coalesce(max(position), 0) INTO v_last FROM events WHERE squad_id = p_squad;
    INSERT INTO events (squad_id, position, kind, at, actor, task, attempt, data)
    SELECT p_squad, v_last + e.ordinality, e.value ->> 'kind', clock_timestamp(), p_actor,
        (e.value ->> 'task')::int, (e.value ->> 'attempt')::int, coalesce(e.value -> 'data', '{}')
    FROM jsonb_array_elements(p_events) WITH ORDINALITY e;
    IF p_events @? '$[*].data ? (@.status == "todo")' THEN
        PERFORM lower_marks(p_squad, p_events);
    END IF;
    PERFORM set_config('agentsquad.rang', p_squad::text, true);
    RETURN v_last + jsonb_array_length(p_events);
END $$;
