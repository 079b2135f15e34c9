-- Ends the live attempt with a result. The task is done, which frees, in the same transaction, every task
-- that waited for this one last; or it is in review, when it was made with one.
CREATE OR REPLACE FUNCTION complete_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_attempt int, p_result jsonb
) RETURNS jsonb LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_ended jsonb;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt, '{in_progress}');
    v_now := clock_timestamp();
    v_ended := end_attempt(t, 'completed', NULL, v_now);
    UPDATE tasks SET
        status = CASE WHEN review IS NULL THEN 'done' ELSE 'in_review' END,
        worker_id = holder_id, result = p_result, holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    PERFORM settle_tasks(t.squad_id, scope.actor,
        jsonb_build_array(task_event(t, 'task.completed', v_ended || jsonb_build_object('result', t.result))),
        CASE WHEN t.status = 'done' THEN ARRAY[t.number] ELSE '{}' END, v_now);
    RETURN changed_task(t, scope.member_id);
END $$;
