-- Opens a failed or cancelled task again, with all its tries; blocked, while a dependency is not done. For its
-- creator or the owner.
CREATE OR REPLACE FUNCTION retry_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := own_task(scope.squad_id, scope.member_id, scope.is_owner, p_number);
    IF t.status NOT IN ('failed', 'cancelled') THEN
        PERFORM wrong_status(t, 'only a failed or cancelled task can be retried');
    END IF;
    UPDATE tasks SET tries_left = scope.max_tries, rejections = 0 WHERE squad_id = t.squad_id AND number = t.number;
    SELECT * INTO t FROM free_tasks(t.squad_id, ARRAY[t.number], clock_timestamp());
    -- Its parent, which waits for its children, waits for this one again.
    IF waits_for(t.squad_id, ARRAY(SELECT depends_on FROM dependencies
            WHERE squad_id = t.squad_id AND task_number = t.number), t.number) THEN
        PERFORM raise_error('conflict', format('#%s depends on what waits for it as a child; both would wait for '
            'ever. Remove the dependency first.', t.number), jsonb_build_object('task', t.number));
    END IF;
    PERFORM append_events(t.squad_id, scope.actor, jsonb_build_array(task_event(t, 'task.retried')));
    RETURN changed_task(t, scope.member_id);
END $$;
