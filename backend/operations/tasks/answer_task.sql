-- Answers a question, a free task that is assigned to the person who answers: claim and complete in one. Its
-- asker waits for it as for a child, and goes on in the same transaction.
CREATE OR REPLACE FUNCTION answer_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int, p_answer jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    SELECT * INTO t FROM tasks WHERE squad_id = scope.squad_id AND number = p_number FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM raise_error('not_found', 'Task not found');
    ELSIF t.status <> 'todo' THEN
        PERFORM wrong_status(t, 'only a question in todo can be answered');
    ELSIF scope.member_kind <> 'person' OR t.assignee_id IS DISTINCT FROM scope.member_id THEN
        PERFORM raise_error('forbidden', format('#%s is no question to you.', p_number));
    END IF;
    v_now := clock_timestamp();
    UPDATE tasks SET status = 'done', result = p_answer, attempt = attempt + 1, worker_id = scope.member_id,
        updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    INSERT INTO attempts (squad_id, task_number, attempt, kind, member_id, outcome, started_at, ended_at)
    VALUES (t.squad_id, t.number, t.attempt, 'work', scope.member_id, 'completed', v_now, v_now);
    PERFORM settle_tasks(t.squad_id, scope.actor, jsonb_build_array(task_event(t, 'task.completed',
        jsonb_build_object('outcome', 'completed', 'result', t.result))), ARRAY[t.number], v_now);
    RETURN changed_task(t, scope.member_id);
END $$;
