-- Ends the live attempt, which uses no try, and gives the task to a member or a role; the note goes into the
-- task's thread.
CREATE OR REPLACE FUNCTION handoff_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_attempt int, p_to text, p_role text, p_note text
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_ended jsonb;
    v_to uuid;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt, '{in_progress}');
    IF p_to IS NOT NULL THEN
        v_to := active_member(scope.squad_id, p_to, 'body.to');
    END IF;
    v_now := clock_timestamp();
    v_ended := end_attempt(t, 'handed_off', p_note, v_now);
    UPDATE tasks SET
        status = 'todo', assignee_id = v_to, role = coalesce(p_role, role),
        holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    PERFORM append_events(t.squad_id, scope.actor,
        jsonb_build_array(task_event(t, 'task.handed_off', v_ended || jsonb_build_object('reason', p_note))));
    IF p_note <> '' THEN
        PERFORM send_message(t.squad_id, scope.actor, scope.member_id, NULL, t.number, p_note);
    END IF;
    RETURN changed_task(t, scope.member_id);
END $$;

-- The id of a member who is there, by name.
CREATE OR REPLACE FUNCTION active_member(p_squad uuid, p_name text, p_field text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid;
BEGIN
    SELECT id INTO v_id FROM members WHERE squad_id = p_squad AND name = p_name AND retired_at IS NULL;
    IF NOT FOUND THEN
        PERFORM raise_error('invalid', format('There is no member %s.', p_name), jsonb_build_object('errors',
            jsonb_build_array(jsonb_build_object(
                'field', p_field, 'message', format('There is no member %s.', p_name)))));
    END IF;
    RETURN v_id;
END $$;
