-- Marks say from where on to look, so that a claim doesn't step over what was claimed before it: while somebody
-- holds an old snapshot, every task that left a queue leaves a dead entry in front of it, for as long as that lasts.

-- The queue in which a free task waits: its assignee's, or its role's.
CREATE OR REPLACE FUNCTION queue_of(p_assignee uuid, p_role text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_assignee IS NULL THEN 'role/' || p_role ELSE 'member/' || p_assignee END
$$;

-- From where on a queue is to be looked through.
CREATE OR REPLACE FUNCTION mark_of(p_squad uuid, p_queue text) RETURNS marks LANGUAGE plpgsql STABLE AS $$
DECLARE
    m marks;
BEGIN
    SELECT * INTO m FROM marks WHERE squad_id = p_squad AND name = p_queue;
    IF NOT FOUND THEN
        m.name := p_queue;
        m.priority := 0;
        m.number := 0;
    END IF;
    RETURN m;
END $$;

-- Nothing waits in a queue before this priority and number: the first one was claimed.
CREATE OR REPLACE FUNCTION raise_mark(p_squad uuid, p_queue text, p_priority int, p_number int)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO marks (squad_id, name, priority, number) VALUES (p_squad, p_queue, p_priority, p_number)
    ON CONFLICT (squad_id, name) DO UPDATE SET priority = excluded.priority, number = excluded.number
$$;

-- Whatever leaves a task free says so in its event; if it stands before its queue's mark, the mark goes back to it.
CREATE OR REPLACE FUNCTION lower_marks(p_squad uuid, p_events jsonb) RETURNS void LANGUAGE sql AS $$
    UPDATE marks m SET priority = freed.priority, number = freed.number
    FROM (
        SELECT DISTINCT ON (queue_of(t.assignee_id, t.role))
            queue_of(t.assignee_id, t.role) AS queue, t.priority, t.number
        FROM tasks t
        WHERE t.squad_id = p_squad AND t.status = 'todo' AND t.number = ANY (ARRAY(
            SELECT (e ->> 'task')::int FROM jsonb_array_elements(p_events) e WHERE e -> 'data' ->> 'status' = 'todo'))
        ORDER BY queue_of(t.assignee_id, t.role), t.priority, t.number
    ) freed
    WHERE m.squad_id = p_squad AND m.name = freed.queue
        AND (freed.priority, freed.number) < (m.priority, m.number)
$$;
