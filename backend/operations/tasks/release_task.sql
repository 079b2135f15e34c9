-- Gives the live attempt back, which uses no try: the task, or its review, is free again.
CREATE OR REPLACE FUNCTION release_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_attempt int, p_reason text
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_event jsonb;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt, '{in_progress,in_review}');
    v_event := let_go(t, 'released', p_reason, clock_timestamp());
    PERFORM append_events(scope.squad_id, scope.actor, jsonb_build_array(v_event));
    SELECT * INTO t FROM tasks WHERE squad_id = t.squad_id AND number = t.number;
    RETURN changed_task(t, scope.member_id);
END $$;

-- Ends the attempt that holds a task, at no try's cost, and leaves the task free. Answers the event.
CREATE OR REPLACE FUNCTION let_go(t tasks, p_outcome text, p_reason text, p_now timestamptz)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_ended jsonb := end_attempt(t, p_outcome, p_reason, p_now);
BEGIN
    UPDATE tasks SET
        status = CASE status WHEN 'in_progress' THEN 'todo' ELSE status END,
        holder_id = NULL, lease_ends_at = NULL, updated_at = p_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    RETURN task_event(t, 'task.released', v_ended || jsonb_build_object('reason', p_reason));
END $$;

-- Lets go, under the squad's lock, of all that a member holds, or of all that anybody holds. Answers how many.
CREATE OR REPLACE FUNCTION let_go_all(p_squad uuid, p_actor jsonb, p_member uuid, p_reason text)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_events jsonb;
BEGIN
    SELECT coalesce(jsonb_agg(let_go(t, 'paused', p_reason, v_now) ORDER BY t.number), '[]') INTO v_events
    FROM tasks t WHERE t.squad_id = p_squad AND t.holder_id IS NOT NULL
        AND t.holder_id = coalesce(p_member, t.holder_id);
    IF v_events <> '[]' THEN
        PERFORM append_events(p_squad, p_actor, v_events);
    END IF;
    RETURN jsonb_array_length(v_events);
END $$;
