-- Takes back, under the squad's lock, every attempt whose lease is over: its task is free again, or
-- failed when no try is left.
CREATE OR REPLACE FUNCTION lapse_tasks(p_squad uuid) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_events jsonb;
BEGIN
    WITH over AS MATERIALIZED (
        SELECT number FROM tasks
        WHERE squad_id = p_squad AND lease_ends_at IS NOT NULL AND lease_ends_at <= v_now
        ORDER BY number FOR NO KEY UPDATE
    ), lapsed AS (
        UPDATE tasks SET
            status = CASE WHEN tries_left <= 1 THEN 'failed' ELSE 'todo' END,
            tries_left = greatest(tries_left - 1, 0),
            holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
        WHERE squad_id = p_squad AND number = ANY (ARRAY(SELECT number FROM over))
        RETURNING number, attempt, status, tries_left
    ), ended AS (
        UPDATE attempts a SET outcome = 'lapsed', ended_at = v_now
        FROM lapsed l
        WHERE a.squad_id = p_squad AND a.task_number = l.number AND a.attempt = l.attempt
    )
    SELECT jsonb_agg(jsonb_build_object(
        'kind', 'task.lapsed', 'task', number, 'attempt', attempt,
        'data', jsonb_build_object('status', status, 'holder', NULL, 'tries_left', tries_left, 'updated_at', v_now)
    ) ORDER BY number) INTO v_events FROM lapsed;
    IF v_events IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM append_events(p_squad, '{"member": null, "user": null}', v_events);
    RETURN jsonb_array_length(v_events);
END $$;
