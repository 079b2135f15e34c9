-- Blocks a free or held task until somebody resumes it; a live attempt ends, which uses no try. For the owner.
CREATE OR REPLACE FUNCTION block_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_on text, p_by jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := led_task(scope.squad_id, scope.is_owner, p_number);
    IF t.status NOT IN ('todo', 'in_progress') THEN
        PERFORM wrong_status(t, 'only a task in todo or in progress can be blocked');
    END IF;
    RETURN changed_task(block(t, scope.actor, p_on, p_by), scope.member_id);
END $$;

-- Blocks a task, under the squad's lock. Answers it as it is now.
CREATE OR REPLACE FUNCTION block(t tasks, p_actor jsonb, p_on text, p_by jsonb) RETURNS tasks LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_ended jsonb := end_attempt(t, 'blocked', p_by ->> 'reason', v_now);
BEGIN
    UPDATE tasks SET status = 'blocked', blocked_on = p_on, blocked_by = p_by, holder_id = NULL,
        lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    PERFORM append_events(t.squad_id, p_actor, jsonb_build_array(
        task_event(t, 'task.blocked', v_ended || jsonb_build_object('reason', p_by ->> 'reason'))));
    RETURN t;
END $$;

-- The server blocks, under the squad's lock, what a member of its own holds, and tells the owner: of a budget once
-- until its limits are set anew, else each time. Nobody does it, so no member is the actor. A review can't be blocked.
CREATE OR REPLACE FUNCTION block_held(p_squad uuid, p_member uuid, p_number int, p_attempt int, p_on text, p_by jsonb)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_told text := format('#%s stopped: %s', p_number, p_by ->> 'reason');
    t tasks := hold_task(p_squad, p_member, p_number, p_attempt, '{in_progress,in_review}');
BEGIN
    IF t.status = 'in_review' THEN
        PERFORM suspend_holder(t, p_by ->> 'reason');
        RETURN;
    END IF;
    PERFORM block(t, '{"member": null, "user": null}', p_on, p_by);
    IF p_on = 'budget' THEN
        PERFORM tell_reached(p_squad, (p_by ->> 'budget')::int, p_number, v_told);
    ELSE
        PERFORM tell_owner(p_squad, p_number, v_told);
    END IF;
END $$;

-- The server pauses the member that holds a task, tells the owner, and gives the task back: what keeps this member from
-- its work would keep it from all others, too, and it would take them one after another.
CREATE OR REPLACE FUNCTION suspend_holder(t tasks, p_reason text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_nobody jsonb := '{"member": null, "user": null}';
    m members;
BEGIN
    UPDATE members SET paused_at = clock_timestamp()
    WHERE squad_id = t.squad_id AND id = t.holder_id AND paused_at IS NULL RETURNING * INTO m;
    IF FOUND THEN
        PERFORM append_events(t.squad_id, v_nobody, jsonb_build_array(
            jsonb_build_object('kind', 'member.paused', 'data', jsonb_build_object(
                'id', m.id, 'member', m.name, 'paused_at', m.paused_at))));
        PERFORM tell_owner(t.squad_id, t.number, format('%s is paused, and #%s is given back: %s Then resume %s.',
            m.name, t.number, p_reason, m.name));
    END IF;
    PERFORM append_events(t.squad_id, v_nobody, jsonb_build_array(
        let_go(t, 'released', p_reason, clock_timestamp())));
END $$;

-- Lets a task go on that was blocked by a budget, past its limits, or as stalled. For the owner.
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
    UPDATE budgets SET waived = true
    WHERE squad_id = t.squad_id AND task_number = t.number AND t.blocked_by ? 'budget';
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
