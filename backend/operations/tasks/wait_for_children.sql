-- Ends the live attempt, which uses no try; the task waits until its children have ended, however they end,
-- and is then free for the same member. At once, if they have.
CREATE OR REPLACE FUNCTION wait_for_children(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int, p_attempt int
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_ended jsonb;
    v_children int[];
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt, '{in_progress}');
    v_children := ARRAY(SELECT number FROM tasks WHERE squad_id = t.squad_id AND parent = t.number
        AND status NOT IN ('done', 'failed', 'cancelled'));
    IF waits_for(t.squad_id, v_children, t.number) THEN
        PERFORM raise_error('conflict', format('A child of #%s depends on #%s itself; both would wait for ever.',
            t.number, t.number), jsonb_build_object('task', t.number));
    END IF;
    v_now := clock_timestamp();
    v_ended := end_attempt(t, 'waiting', NULL, v_now);
    UPDATE tasks SET
        status = CASE WHEN v_children = '{}' THEN 'todo' ELSE 'blocked' END,
        blocked_on = CASE WHEN v_children = '{}' THEN NULL ELSE 'children' END,
        assignee_id = holder_id, holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    PERFORM append_events(t.squad_id, scope.actor, jsonb_build_array(task_event(t, 'task.waiting', v_ended)));
    RETURN changed_task(t, scope.member_id);
END $$;

-- Whether any of these tasks waits for that one, over any number of steps: by dependencies that are not done,
-- or as a parent that waits for its children.
CREATE OR REPLACE FUNCTION waits_for(p_squad uuid, p_from int[], p_to int) RETURNS boolean LANGUAGE sql STABLE AS $$
    WITH RECURSIVE reached(number) AS (
        SELECT unnest(p_from)
        UNION
        SELECT step.number FROM reached r CROSS JOIN LATERAL (
            SELECT d.depends_on AS number FROM dependencies d
            WHERE d.squad_id = p_squad AND d.task_number = r.number
            UNION ALL
            SELECT c.number FROM tasks c
            WHERE c.squad_id = p_squad AND c.parent = r.number AND c.status NOT IN ('done', 'failed', 'cancelled')
                AND EXISTS (SELECT FROM tasks p
                    WHERE p.squad_id = p_squad AND p.number = r.number AND p.blocked_on = 'children')
        ) step
    )
    SELECT EXISTS (SELECT FROM reached WHERE number = p_to)
$$;
