-- Ends the live review: accepted, the task is done; rejected, it is free for the member that did the work.
-- A note goes into the task's thread. After three rejections (agentsquad/schemas/limits.py, REJECTIONS) the
-- owner is told.
CREATE OR REPLACE FUNCTION review_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_attempt int, p_accepted boolean, p_note text
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_ended jsonb;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt, '{in_review}');
    v_now := clock_timestamp();
    v_ended := end_attempt(t, CASE WHEN p_accepted THEN 'accepted' ELSE 'rejected' END, nullif(p_note, ''), v_now);
    UPDATE tasks SET
        status = CASE WHEN p_accepted THEN 'done' ELSE 'todo' END,
        rejections = rejections + CASE WHEN p_accepted THEN 0 ELSE 1 END,
        assignee_id = CASE WHEN p_accepted OR NOT EXISTS (
                SELECT FROM members m WHERE m.squad_id = t.squad_id AND m.id = t.worker_id AND m.retired_at IS NULL)
            THEN assignee_id ELSE worker_id END,
        holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    PERFORM settle_tasks(t.squad_id, scope.actor,
        jsonb_build_array(task_event(t, CASE WHEN p_accepted THEN 'task.accepted' ELSE 'task.rejected' END,
            v_ended || jsonb_build_object('reason', nullif(p_note, '')))),
        CASE WHEN p_accepted THEN ARRAY[t.number] ELSE '{}' END, v_now);
    IF p_note <> '' THEN
        PERFORM send_message(t.squad_id, scope.actor, scope.member_id, NULL, t.number, p_note);
    END IF;
    IF NOT p_accepted AND t.rejections = 3 THEN
        PERFORM tell_owner(t.squad_id, t.number, format('#%s was rejected %s times; look at it, or give it to '
            'somebody else.', t.number, t.rejections));
    END IF;
    RETURN changed_task(t, scope.member_id);
END $$;
