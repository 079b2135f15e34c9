-- A task as it goes over the wire (agentsquad/schemas/tasks.py, Task).
CREATE OR REPLACE FUNCTION task_json(t tasks) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'squad', t.squad_id,
        'number', t.number,
        'title', t.title,
        'description', t.description,
        'input', t.input,
        'status', t.status,
        'blocked_on', t.blocked_on,
        'role', t.role,
        'assignee', (SELECT m.name FROM members m WHERE m.squad_id = t.squad_id AND m.id = t.assignee_id),
        'holder', (SELECT m.name FROM members m WHERE m.squad_id = t.squad_id AND m.id = t.holder_id),
        'attempt', t.attempt,
        'lease_ends_at', t.lease_ends_at,
        'tries_left', t.tries_left,
        'priority', t.priority,
        'depends_on', coalesce(
            (SELECT jsonb_agg(d.depends_on ORDER BY d.depends_on)
             FROM dependencies d WHERE d.squad_id = t.squad_id AND d.task_number = t.number), '[]'),
        'result', t.result,
        'created_by', (SELECT m.name FROM members m WHERE m.squad_id = t.squad_id AND m.id = t.creator_id),
        'created_at', t.created_at,
        'updated_at', t.updated_at
    )
$$;
