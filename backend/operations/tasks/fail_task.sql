-- Ends the live attempt without a result. With `retry` the task is free again while a try is left.
CREATE OR REPLACE FUNCTION fail_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_attempt int, p_reason text, p_retry boolean
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_ended jsonb;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt, '{in_progress}');
    v_now := clock_timestamp();
    v_ended := end_attempt(t, CASE WHEN p_retry AND t.tries_left > 1 THEN 'retried' ELSE 'failed' END, p_reason, v_now);
    UPDATE tasks SET
        status = CASE WHEN p_retry AND tries_left > 1 THEN 'todo' ELSE 'failed' END,
        tries_left = CASE WHEN p_retry THEN greatest(tries_left - 1, 0) ELSE tries_left END,
        holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    PERFORM settle_tasks(t.squad_id, scope.actor,
        jsonb_build_array(task_event(t, 'task.failed', v_ended || jsonb_build_object('reason', p_reason))),
        CASE WHEN t.status = 'failed' THEN ARRAY[t.number] ELSE '{}' END, v_now);
    RETURN changed_task(t, scope.member_id);
END $$;
