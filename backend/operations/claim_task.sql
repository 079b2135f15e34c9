-- Claims a task by its number, or the next one: assigned to the member, else of its role, else of no
-- role; by priority, then by age. Answers NULL when nothing is there to claim.
-- Three ranges in turn, each on its own partial index, and an update by number instead of a join: so the
-- plan stays flat at a million tasks, also as a generic one.
CREATE OR REPLACE FUNCTION claim_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_number int;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    PERFORM lapse_tasks(scope.squad_id);
    v_now := clock_timestamp();
    PERFORM see_member(scope.squad_id, scope.member_id);

    IF p_number IS NOT NULL THEN
        SELECT * INTO t FROM tasks WHERE squad_id = scope.squad_id AND number = p_number;
        IF NOT FOUND THEN
            PERFORM raise_error('not_found', 'Task not found');
        ELSIF t.status <> 'todo' THEN
            PERFORM raise_error('wrong_status', format('#%s is %s; only a task in todo can be claimed.',
                p_number, replace(t.status, '_', ' ')), jsonb_build_object('task', p_number, 'status', t.status));
        ELSIF t.assignee_id <> scope.member_id THEN
            PERFORM raise_error('forbidden', format('#%s is assigned to %s.', p_number,
                (SELECT name FROM members WHERE squad_id = scope.squad_id AND id = t.assignee_id)));
        ELSIF t.assignee_id IS NULL AND t.role NOT IN ('', scope.role) THEN
            PERFORM raise_error('forbidden', format('#%s is for the role %s.', p_number, t.role));
        END IF;
        v_number := p_number;
    ELSE
        WITH next AS MATERIALIZED (
            SELECT number FROM tasks
            WHERE squad_id = scope.squad_id AND status = 'todo' AND assignee_id IS NOT NULL
                AND assignee_id = scope.member_id
            ORDER BY priority, number FOR NO KEY UPDATE SKIP LOCKED LIMIT 1
        ) SELECT number INTO v_number FROM next;
        IF v_number IS NULL AND scope.role <> '' THEN
            WITH next AS MATERIALIZED (
                SELECT number FROM tasks
                WHERE squad_id = scope.squad_id AND status = 'todo' AND assignee_id IS NULL
                    AND role = scope.role
                ORDER BY priority, number FOR NO KEY UPDATE SKIP LOCKED LIMIT 1
            ) SELECT number INTO v_number FROM next;
        END IF;
        IF v_number IS NULL THEN
            WITH next AS MATERIALIZED (
                SELECT number FROM tasks
                WHERE squad_id = scope.squad_id AND status = 'todo' AND assignee_id IS NULL AND role = ''
                ORDER BY priority, number FOR NO KEY UPDATE SKIP LOCKED LIMIT 1
            ) SELECT number INTO v_number FROM next;
        END IF;
        IF v_number IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;

    UPDATE tasks SET
        status = 'in_progress', holder_id = scope.member_id, attempt = attempt + 1, updated_at = v_now,
        lease_ends_at = CASE WHEN scope.member_kind <> 'person'
            THEN v_now + make_interval(secs => scope.lease_seconds) END
    WHERE squad_id = scope.squad_id AND number = v_number
    RETURNING * INTO t;
    INSERT INTO attempts (squad_id, task_number, attempt, member_id, started_at)
    VALUES (t.squad_id, t.number, t.attempt, t.holder_id, v_now);
    PERFORM append_events(t.squad_id, scope.actor, jsonb_build_array(jsonb_build_object(
        'kind', 'task.claimed', 'task', t.number, 'attempt', t.attempt,
        'data', jsonb_build_object(
            'status', t.status, 'holder', scope.member_name, 'attempt', t.attempt, 'updated_at', v_now))));
    RETURN jsonb_build_object(
        'claim', format('%s/%s', t.number, t.attempt),
        'lease_seconds', CASE WHEN t.lease_ends_at IS NOT NULL THEN scope.lease_seconds END,
        'task', task_json(t),
        'dependencies', coalesce((
            SELECT jsonb_agg(jsonb_build_object(
                'number', o.number, 'title', o.title, 'role', o.role, 'attempt', o.attempt, 'result', o.result,
                'holder', (SELECT m.name FROM attempts a
                           JOIN members m ON m.squad_id = a.squad_id AND m.id = a.member_id
                           WHERE a.squad_id = o.squad_id AND a.task_number = o.number AND a.attempt = o.attempt)
            ) ORDER BY o.number)
            FROM dependencies d JOIN tasks o ON o.squad_id = d.squad_id AND o.number = d.depends_on
            WHERE d.squad_id = t.squad_id AND d.task_number = t.number), '[]'));
END $$;
