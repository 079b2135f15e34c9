-- Sends a message, under the squad's lock: its event, its row at that event's position, and a place in each
-- recipient's inbox. Answers the position.
-- To a member: that one. To a thread: whoever holds the task, made it or is assigned to it, and whoever wrote
-- there. Else: everybody. Never the sender, never one who is retired.
CREATE OR REPLACE FUNCTION send_message(
    p_squad uuid, p_actor jsonb, p_sender uuid, p_to uuid, p_task int, p_body text
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_recipients uuid[];
    v_position bigint;
BEGIN
    SELECT coalesce(array_agg(m.id ORDER BY m.name), '{}') INTO v_recipients
    FROM members m
    WHERE m.squad_id = p_squad AND m.retired_at IS NULL AND m.id IS DISTINCT FROM p_sender AND (
        m.id = p_to
        OR (p_to IS NULL AND p_task IS NULL)
        OR (p_to IS NULL AND m.id = ANY (ARRAY(
            SELECT unnest(ARRAY[t.holder_id, t.assignee_id, t.creator_id])
            FROM tasks t WHERE t.squad_id = p_squad AND t.number = p_task
            UNION
            SELECT w.sender_id FROM messages w WHERE w.squad_id = p_squad AND w.task_number = p_task)))
    );
    v_position := append_events(p_squad, p_actor, jsonb_build_array(jsonb_build_object(
        'kind', 'message.sent', 'task', p_task, 'data', jsonb_build_object(
            'sender', (SELECT name FROM members WHERE squad_id = p_squad AND id = p_sender),
            'to', (SELECT name FROM members WHERE squad_id = p_squad AND id = p_to),
            'body', p_body,
            'recipients', coalesce((SELECT jsonb_agg(m.name ORDER BY m.name) FROM members m
                WHERE m.squad_id = p_squad AND m.id = ANY (v_recipients)), '[]')))));
    INSERT INTO messages (squad_id, position, sender_id, member_id, task_number, body, sent_at)
    SELECT p_squad, v_position, p_sender, p_to, p_task, p_body, e.at
    FROM events e WHERE e.squad_id = p_squad AND e.position = v_position;
    INSERT INTO recipients (squad_id, member_id, position)
    SELECT p_squad, unnest(v_recipients), v_position;
    RETURN v_position;
END $$;
