-- Makes a batch of tasks with their edges and their events, under the squad's lock. Answers the tasks.
-- The numbers are given by the caller, who has checked names, numbers and cycles.
CREATE OR REPLACE FUNCTION create_tasks(
    p_squad uuid, p_creator uuid, p_actor jsonb, p_tries int, p_tasks jsonb, p_edges jsonb
) RETURNS jsonb LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_first int := (p_tasks -> 0 ->> 'number')::int;
    v_events jsonb;
    v_tasks jsonb;
BEGIN
    INSERT INTO tasks (squad_id, number, title, description, input, role, assignee_id, review, priority, parent,
        status, blocked_on, tries_left, creator_id, created_at, updated_at)
    SELECT p_squad, r.number, r.title, r.description, r.input, r.role, r.assignee_id, r.review, r.priority, r.parent,
        r.status, r.blocked_on, p_tries, p_creator, v_now, v_now
    FROM jsonb_to_recordset(p_tasks) AS r(number int, title text, description text, input jsonb, role text,
        assignee_id uuid, review text, priority int, parent int, status text, blocked_on text)
    ORDER BY r.number;
    INSERT INTO dependencies (squad_id, task_number, depends_on)
    SELECT p_squad, (e ->> 0)::int, (e ->> 1)::int FROM jsonb_array_elements(p_edges) e
    ORDER BY 2, 3;
    SELECT jsonb_agg(jsonb_build_object('kind', 'task.created', 'task', t.number,
            'data', task_facts(t) - 'lease_ends_at') ORDER BY t.number),
        jsonb_agg(task_json(t) ORDER BY t.number)
    INTO v_events, v_tasks
    FROM tasks t
    WHERE t.squad_id = p_squad AND t.number >= v_first AND t.number < v_first + jsonb_array_length(p_tasks);
    PERFORM append_events(p_squad, p_actor, v_events);
    RETURN jsonb_build_object('items', v_tasks, 'unread', unread_messages(p_squad, p_creator));
END $$;
