-- Cancels an unfinished task and ends its live attempt; on request also what depends on it and its children,
-- over any number of steps. For the creator of all of them, or the owner.
CREATE OR REPLACE FUNCTION cancel_tasks(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_reason text, p_cascade boolean
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_numbers int[] := ARRAY[p_number];
    v_number int;
    v_ended jsonb;
    v_events jsonb := '[]';
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := own_task(scope.squad_id, scope.member_id, scope.is_owner, p_number);
    IF t.status IN ('done', 'failed', 'cancelled') THEN
        PERFORM wrong_status(t, 'only an unfinished task can be cancelled');
    END IF;
    v_now := clock_timestamp();
    IF p_cascade THEN
        v_numbers := ARRAY(
            WITH RECURSIVE reached(number) AS (
                SELECT p_number
                UNION
                SELECT o.number FROM reached r JOIN tasks o ON o.squad_id = scope.squad_id
                    AND o.status NOT IN ('done', 'failed', 'cancelled')
                    AND (o.parent = r.number OR o.number IN (
                        SELECT d.task_number FROM dependencies d
                        WHERE d.squad_id = scope.squad_id AND d.depends_on = r.number))
            ) SELECT number FROM reached ORDER BY number);
    END IF;
    FOREACH v_number IN ARRAY v_numbers LOOP
        t := own_task(scope.squad_id, scope.member_id, scope.is_owner, v_number);
        v_ended := end_attempt(t, 'cancelled', p_reason, v_now);
        UPDATE tasks SET status = 'cancelled', blocked_on = NULL, blocked_by = NULL, holder_id = NULL,
            lease_ends_at = NULL, updated_at = v_now
        WHERE squad_id = t.squad_id AND number = v_number
        RETURNING * INTO t;
        v_events := v_events || task_event(t, 'task.cancelled', v_ended || jsonb_build_object('reason', p_reason));
    END LOOP;
    PERFORM settle_tasks(scope.squad_id, scope.actor, v_events, v_numbers, v_now);
    SELECT * INTO t FROM tasks WHERE squad_id = scope.squad_id AND number = p_number;
    RETURN changed_task(t, scope.member_id);
END $$;
