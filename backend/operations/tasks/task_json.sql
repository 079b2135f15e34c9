-- What a move on the board can change of a task: the new values, whole, for the data of its event.
CREATE OR REPLACE FUNCTION task_state(t tasks) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'status', t.status,
        'blocked_on', t.blocked_on,
        'blocked_by', t.blocked_by,
        'role', t.role,
        'assignee', (SELECT m.name FROM members m WHERE m.squad_id = t.squad_id AND m.id = t.assignee_id),
        'holder', (SELECT m.name FROM members m WHERE m.squad_id = t.squad_id AND m.id = t.holder_id),
        'attempt', t.attempt,
        'tries_left', t.tries_left,
        'rejections', t.rejections,
        'updated_at', t.updated_at
    )
$$;

-- All that is stored of a task.
CREATE OR REPLACE FUNCTION task_facts(t tasks) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT task_state(t) || jsonb_build_object(
        'squad', t.squad_id,
        'number', t.number,
        'title', t.title,
        'description', t.description,
        'input', t.input,
        'review', t.review,
        'lease_ends_at', t.lease_ends_at,
        'priority', t.priority,
        'depends_on', coalesce(
            (SELECT jsonb_agg(d.depends_on ORDER BY d.depends_on)
             FROM dependencies d WHERE d.squad_id = t.squad_id AND d.task_number = t.number), '[]'),
        'parent', t.parent,
        'result', t.result,
        'created_by', (SELECT m.name FROM members m WHERE m.squad_id = t.squad_id AND m.id = t.creator_id),
        'created_at', t.created_at
    )
$$;

-- A task as it goes over the wire (agentsquad/schemas/tasks.py, Task).
CREATE OR REPLACE FUNCTION task_json(t tasks) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT task_facts(t) || jsonb_build_object('why', why_task(t) -> 'sentence')
$$;

-- A task as the one who has just changed it gets it (TaskChanged).
CREATE OR REPLACE FUNCTION changed_task(t tasks, p_member uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT task_json(t) || jsonb_build_object('unread', unread_messages(t.squad_id, p_member))
$$;
