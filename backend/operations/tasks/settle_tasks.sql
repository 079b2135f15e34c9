-- An event of a task: its new state, whole, and what else there is to say.
CREATE OR REPLACE FUNCTION task_event(t tasks, p_kind text, p_more jsonb DEFAULT '{}')
RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('kind', p_kind, 'task', t.number,
        'attempt', CASE WHEN p_more ? 'outcome' OR p_kind = 'task.claimed' THEN t.attempt END,
        'data', task_state(t) || p_more)
$$;

-- Ends the attempt that holds a task. Answers what the event says of it; an empty object if nobody held it.
CREATE OR REPLACE FUNCTION end_attempt(t tasks, p_outcome text, p_reason text, p_now timestamptz)
RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF t.holder_id IS NULL THEN
        RETURN '{}';
    END IF;
    UPDATE attempts SET outcome = p_outcome, reason = p_reason, ended_at = p_now
    WHERE squad_id = t.squad_id AND task_number = t.number AND attempt = t.attempt;
    PERFORM leave_step(t.squad_id, t.number, p_now);
    RETURN jsonb_build_object('outcome', p_outcome);
END $$;

-- Frees tasks that were blocked, or leaves them blocked by dependencies that are not done.
CREATE OR REPLACE FUNCTION free_tasks(p_squad uuid, p_numbers int[], p_now timestamptz)
RETURNS SETOF tasks LANGUAGE sql AS $$
    WITH waiting AS MATERIALIZED (
        SELECT d.task_number FROM dependencies d JOIN tasks o ON o.squad_id = d.squad_id AND o.number = d.depends_on
        WHERE d.squad_id = p_squad AND d.task_number = ANY (p_numbers) AND o.status <> 'done'
    )
    UPDATE tasks SET
        status = CASE WHEN number IN (SELECT task_number FROM waiting) THEN 'blocked' ELSE 'todo' END,
        blocked_on = CASE WHEN number IN (SELECT task_number FROM waiting) THEN 'dependencies' END,
        blocked_by = NULL, updated_at = p_now
    WHERE squad_id = p_squad AND number = ANY (p_numbers)
    RETURNING *
$$;

-- Appends a change's events and those of what follows from it: tasks that have ended (`p_ended`) free their
-- dependents and the parents that waited for them, or leave dependents stuck, of which the owner is told.
-- Here and where tasks are created, claimed and completed, planning anew at each call would take longer than the work.
-- No plan goes through a whole table, which may be small and yet full of dead rows. A test freezes the plans.
CREATE OR REPLACE FUNCTION settle_tasks(
    p_squad uuid, p_actor jsonb, p_events jsonb, p_ended int[], p_now timestamptz
) RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_events jsonb := p_events;
    v_with_stuck jsonb;
    v_stuck int[];
BEGIN
    SELECT v_events || coalesce(jsonb_agg(task_event(f, 'task.unblocked') ORDER BY f.number), '[]') INTO v_events
    FROM free_tasks(p_squad, ARRAY(
        SELECT w.number FROM tasks w
        WHERE w.squad_id = p_squad AND w.status = 'blocked' AND w.blocked_on = 'dependencies'
            AND w.number = ANY (ARRAY(
                SELECT d.task_number FROM dependencies d WHERE d.squad_id = p_squad AND d.depends_on = ANY (p_ended)))
            AND NOT EXISTS (
                SELECT FROM dependencies d JOIN tasks o ON o.squad_id = d.squad_id AND o.number = d.depends_on
                WHERE d.squad_id = p_squad AND d.task_number = w.number AND o.status <> 'done')
        UNION
        SELECT w.number FROM tasks w
        WHERE w.squad_id = p_squad AND w.status = 'blocked' AND w.blocked_on = 'children'
            AND w.number = ANY (ARRAY(
                SELECT e.parent FROM tasks e WHERE e.squad_id = p_squad AND e.number = ANY (p_ended)))
            AND NOT EXISTS (
                SELECT FROM tasks o WHERE o.squad_id = p_squad AND o.parent = w.number
                    AND o.status NOT IN ('done', 'failed', 'cancelled'))
    ), p_now) f;

    WITH stuck AS (
        SELECT d.task_number, array_agg(o.number ORDER BY o.number) AS ended
        FROM tasks o JOIN dependencies d ON d.squad_id = o.squad_id AND d.depends_on = o.number
        WHERE o.squad_id = p_squad AND o.number = ANY (p_ended) AND o.status IN ('failed', 'cancelled')
        GROUP BY d.task_number
    )
    SELECT v_events || jsonb_agg(task_event(w, 'task.stuck', jsonb_build_object('ended', s.ended)) ORDER BY w.number),
        array_agg(w.number ORDER BY w.number)
    INTO v_with_stuck, v_stuck
    FROM stuck s JOIN tasks w ON w.squad_id = p_squad AND w.number = s.task_number
    WHERE w.status = 'blocked' AND w.blocked_on = 'dependencies';

    PERFORM append_events(p_squad, p_actor, coalesce(v_with_stuck, v_events));
    IF v_stuck IS NOT NULL THEN
        PERFORM tell_owner(p_squad, v_stuck[1], format(
            '%s: a dependency failed or was cancelled. Retry it, remove the dependency, or cancel with cascade.',
            CASE WHEN cardinality(v_stuck) = 1 THEN format('#%s is stuck', v_stuck[1])
                ELSE format('#%s and %s more are stuck', v_stuck[1], cardinality(v_stuck) - 1) END));
    END IF;
END $$;
