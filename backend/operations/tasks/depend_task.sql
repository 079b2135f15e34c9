-- Lets a task wait for another one, which blocks it unless that one is done. For its creator or the owner.
CREATE OR REPLACE FUNCTION depend_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int, p_on int
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_other text;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := waiting_task(scope.squad_id, scope.member_id, scope.is_owner, p_number);
    SELECT status INTO v_other FROM tasks WHERE squad_id = t.squad_id AND number = p_on;
    IF NOT FOUND THEN
        PERFORM raise_error('not_found', 'Task not found');
    ELSIF waits_for(t.squad_id, ARRAY[p_on], p_number) THEN
        PERFORM raise_error('conflict', format('#%s waits for #%s itself; the dependency would close a circle.',
            p_on, p_number), jsonb_build_object('task', p_number));
    ELSIF (SELECT count(*) FROM dependencies WHERE squad_id = t.squad_id AND task_number = p_number) >= 100 THEN
        PERFORM raise_error('invalid', format('#%s has 100 dependencies, as many as a task may have.', p_number));
    END IF;
    INSERT INTO dependencies (squad_id, task_number, depends_on) VALUES (t.squad_id, p_number, p_on)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN changed_task(t, scope.member_id);
    END IF;
    UPDATE tasks SET
        status = CASE WHEN status = 'todo' AND v_other <> 'done' THEN 'blocked' ELSE status END,
        blocked_on = CASE WHEN status = 'todo' AND v_other <> 'done' THEN 'dependencies' ELSE blocked_on END,
        updated_at = clock_timestamp()
    WHERE squad_id = t.squad_id AND number = p_number;
    RETURN tell_update(t.squad_id, scope.actor, scope.member_id, p_number, '{depends_on}');
END $$;

-- Takes a dependency away, which frees the task if it was the last one that wasn't done.
CREATE OR REPLACE FUNCTION undepend_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int, p_on int
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := waiting_task(scope.squad_id, scope.member_id, scope.is_owner, p_number);
    DELETE FROM dependencies WHERE squad_id = t.squad_id AND task_number = p_number AND depends_on = p_on;
    IF NOT FOUND THEN
        PERFORM raise_error('not_found', 'Dependency not found');
    END IF;
    IF t.blocked_on = 'dependencies' THEN
        PERFORM free_tasks(t.squad_id, ARRAY[p_number], clock_timestamp());
    ELSE
        UPDATE tasks SET updated_at = clock_timestamp() WHERE squad_id = t.squad_id AND number = p_number;
    END IF;
    RETURN tell_update(t.squad_id, scope.actor, scope.member_id, p_number, '{depends_on}');
END $$;

-- The task, for whoever may change what it waits for, unless somebody works on it or its work is over.
CREATE OR REPLACE FUNCTION waiting_task(p_squad uuid, p_member uuid, p_is_owner boolean, p_number int)
RETURNS tasks LANGUAGE plpgsql AS $$
DECLARE
    t tasks := own_task(p_squad, p_member, p_is_owner, p_number);
BEGIN
    IF t.status IN ('in_progress', 'in_review', 'done') THEN
        PERFORM wrong_status(t, 'its dependencies no longer matter');
    END IF;
    RETURN t;
END $$;

-- Writes that fields of a task were changed, if any were, with their new values. Answers the task.
CREATE OR REPLACE FUNCTION tell_update(p_squad uuid, p_actor jsonb, p_member uuid, p_number int, p_fields text[])
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    t tasks;
BEGIN
    SELECT * INTO t FROM tasks WHERE squad_id = p_squad AND number = p_number;
    IF p_fields <> '{}' THEN
        PERFORM append_events(p_squad, p_actor, jsonb_build_array(task_event(t, 'task.updated', (
            SELECT jsonb_object_agg(key, value) FROM jsonb_each(task_facts(t)) WHERE key = ANY (p_fields)))));
    END IF;
    RETURN changed_task(t, p_member);
END $$;

-- Leaves to anybody what was assigned to a member who goes.
CREATE OR REPLACE FUNCTION unassign_tasks(p_squad uuid, p_actor jsonb, p_member uuid) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_number int;
    v_count int := 0;
BEGIN
    FOR v_number IN
        UPDATE tasks SET assignee_id = NULL, updated_at = clock_timestamp()
        WHERE squad_id = p_squad AND assignee_id = p_member AND assignee_id IS NOT NULL AND status <> 'done'
        RETURNING number
    LOOP
        PERFORM tell_update(p_squad, p_actor, p_member, v_number, '{assignee}');
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;
