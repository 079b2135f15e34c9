-- Blocks a free or held task until somebody resumes it; a live attempt ends, which uses no try. For the owner.
CREATE OR REPLACE FUNCTION block_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_on text, p_by jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_ended jsonb;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := led_task(scope.squad_id, scope.is_owner, p_number);
    IF t.status NOT IN ('todo', 'in_progress') THEN
        PERFORM wrong_status(t, 'only a task in todo or in progress can be blocked');
    END IF;
    v_now := clock_timestamp();
    v_ended := end_attempt(t, 'blocked', p_by ->> 'reason', v_now);
    UPDATE tasks SET status = 'blocked', blocked_on = p_on, blocked_by = p_by, holder_id = NULL,
        lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    PERFORM append_events(t.squad_id, scope.actor, jsonb_build_array(
        task_event(t, 'task.blocked', v_ended || jsonb_build_object('reason', p_by ->> 'reason'))));
    RETURN changed_task(t, scope.member_id);
END $$;

-- Lets a task go on that was blocked by a budget or as stalled. For the owner.
CREATE OR REPLACE FUNCTION resume_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := led_task(scope.squad_id, scope.is_owner, p_number);
    IF t.blocked_on IS NULL OR t.blocked_on NOT IN ('budget', 'stalled') THEN
        PERFORM wrong_status(t, 'only what is blocked by a budget or as stalled can be resumed');
    END IF;
    SELECT * INTO t FROM free_tasks(t.squad_id, ARRAY[t.number], clock_timestamp());
    PERFORM append_events(t.squad_id, scope.actor, jsonb_build_array(task_event(t, 'task.resumed')));
    RETURN changed_task(t, scope.member_id);
END $$;

-- The task, for the squad's owner alone; under the squad's lock.
CREATE OR REPLACE FUNCTION led_task(p_squad uuid, p_is_owner boolean, p_number int) RETURNS tasks LANGUAGE plpgsql AS $$
BEGIN
    IF NOT p_is_owner THEN
        PERFORM raise_error('forbidden', 'Only the squad''s owner may do this.');
    END IF;
    RETURN own_task(p_squad, NULL, true, p_number);
END $$;
