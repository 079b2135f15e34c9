-- How many messages a member hasn't read; counted up to 1,000 (agentsquad/schemas/limits.py, UNREAD).
CREATE OR REPLACE FUNCTION unread_messages(p_squad uuid, p_member uuid) RETURNS int LANGUAGE sql STABLE AS $$
    SELECT count(*)::int FROM (
        SELECT FROM recipients WHERE squad_id = p_squad AND member_id = p_member AND read_at IS NULL LIMIT 1000
    ) waiting
$$;
