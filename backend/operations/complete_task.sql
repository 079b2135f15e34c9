-- Ends the live attempt with a result, and frees, in the same transaction, every task that waited for
-- this one last.
CREATE OR REPLACE FUNCTION complete_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_attempt int, p_result jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_freed jsonb;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt);
    v_now := clock_timestamp();
    UPDATE tasks SET status = 'done', result = p_result, holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    UPDATE attempts SET outcome = 'completed', ended_at = v_now
    WHERE squad_id = t.squad_id AND task_number = t.number AND attempt = t.attempt;
    WITH freed AS (
        UPDATE tasks w SET status = 'todo', blocked_on = NULL, updated_at = v_now
        WHERE w.squad_id = t.squad_id AND w.status = 'blocked' AND w.blocked_on = 'dependencies'
            AND w.number = ANY (ARRAY(
                SELECT d.task_number FROM dependencies d
                WHERE d.squad_id = t.squad_id AND d.depends_on = t.number))
            AND NOT EXISTS (
                SELECT FROM dependencies d JOIN tasks o ON o.squad_id = d.squad_id AND o.number = d.depends_on
                WHERE d.squad_id = t.squad_id AND d.task_number = w.number AND o.status <> 'done')
        RETURNING w.number
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'kind', 'task.unblocked', 'task', number,
        'data', jsonb_build_object('status', 'todo', 'blocked_on', NULL, 'updated_at', v_now)) ORDER BY number), '[]')
    INTO v_freed FROM freed;
    PERFORM append_events(t.squad_id, scope.actor, jsonb_build_array(jsonb_build_object(
        'kind', 'task.completed', 'task', t.number, 'attempt', t.attempt,
        'data', jsonb_build_object('status', t.status, 'holder', NULL, 'result', t.result, 'updated_at', v_now)
    )) || v_freed);
    RETURN task_json(t);
END $$;
