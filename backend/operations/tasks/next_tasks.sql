-- The next tasks that a member can claim, and the mark of the last queue that was looked through.
-- Each range in turn, on its own partial index from its mark on (raise_mark.sql). With sorting off, no other index
-- serves the order, however bloated this one is: so the plan stays flat at a million tasks, also as a generic one.
CREATE OR REPLACE FUNCTION next_tasks(
    p_squad uuid, p_member uuid, p_role text, p_limit int, OUT numbers int[], OUT mark marks
) LANGUAGE plpgsql STABLE SET enable_sort = off AS $$
BEGIN
    mark := mark_of(p_squad, queue_of(p_member, ''));
    numbers := ARRAY(
        SELECT number FROM tasks
        WHERE squad_id = p_squad AND status = 'todo' AND assignee_id IS NOT NULL
            AND assignee_id = p_member AND (priority, number) >= (mark.priority, mark.number)
        ORDER BY priority, number LIMIT p_limit);
    IF cardinality(numbers) < p_limit AND p_role <> '' THEN
        numbers := numbers || ARRAY(
            SELECT number FROM tasks
            WHERE squad_id = p_squad AND status = 'in_review' AND holder_id IS NULL
                AND review = p_role AND worker_id IS DISTINCT FROM p_member
            ORDER BY priority, number LIMIT p_limit - cardinality(numbers));
    END IF;
    IF cardinality(numbers) < p_limit AND p_role <> '' THEN
        mark := mark_of(p_squad, queue_of(NULL, p_role));
        numbers := numbers || ARRAY(
            SELECT number FROM tasks
            WHERE squad_id = p_squad AND status = 'todo' AND assignee_id IS NULL AND role = p_role
                AND (priority, number) >= (mark.priority, mark.number)
            ORDER BY priority, number LIMIT p_limit - cardinality(numbers));
    END IF;
    IF cardinality(numbers) < p_limit THEN
        numbers := numbers || ARRAY(
            SELECT number FROM tasks
            WHERE squad_id = p_squad AND status = 'in_review' AND holder_id IS NULL
                AND review = '' AND worker_id IS DISTINCT FROM p_member
            ORDER BY priority, number LIMIT p_limit - cardinality(numbers));
    END IF;
    IF cardinality(numbers) < p_limit THEN
        mark := mark_of(p_squad, queue_of(NULL, ''));
        numbers := numbers || ARRAY(
            SELECT number FROM tasks
            WHERE squad_id = p_squad AND status = 'todo' AND assignee_id IS NULL AND role = ''
                AND (priority, number) >= (mark.priority, mark.number)
            ORDER BY priority, number LIMIT p_limit - cardinality(numbers));
    END IF;
END $$;

-- Whether a member finds something to claim. It locks nothing.
CREATE OR REPLACE FUNCTION has_work(p_squad uuid, p_member uuid, p_role text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT cardinality((next_tasks(p_squad, p_member, p_role, 1)).numbers) > 0
$$;
