-- Ends the live attempt without a result. With `retry` the task is free again while a try is left.
CREATE OR REPLACE FUNCTION fail_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_attempt int, p_reason text, p_retry boolean
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt);
    v_now := clock_timestamp();
    UPDATE tasks SET
        status = CASE WHEN p_retry AND tries_left > 1 THEN 'todo' ELSE 'failed' END,
        tries_left = CASE WHEN p_retry THEN tries_left - 1 ELSE tries_left END,
        holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    UPDATE attempts SET
        outcome = CASE WHEN t.status = 'todo' THEN 'retried' ELSE 'failed' END, reason = p_reason, ended_at = v_now
    WHERE squad_id = t.squad_id AND task_number = t.number AND attempt = t.attempt;
    PERFORM append_events(t.squad_id, scope.actor, jsonb_build_array(jsonb_build_object(
        'kind', 'task.failed', 'task', t.number, 'attempt', t.attempt,
        'data', jsonb_build_object('status', t.status, 'holder', NULL, 'tries_left', t.tries_left,
            'reason', p_reason, 'updated_at', v_now))));
    RETURN task_json(t);
END $$;
