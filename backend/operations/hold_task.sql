-- The fence: the task, if this attempt of it is live and the member's own; else `lost_claim`, and nothing
-- happened. Live means: that attempt, in progress, and its lease not over, swept or not.
CREATE OR REPLACE FUNCTION hold_task(p_squad uuid, p_member uuid, p_number int, p_attempt int)
RETURNS tasks LANGUAGE plpgsql AS $$
DECLARE
    t tasks;
    v_holder text;
BEGIN
    SELECT * INTO t FROM tasks WHERE squad_id = p_squad AND number = p_number FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM raise_error('not_found', 'Task not found');
    END IF;
    IF t.status = 'in_progress' AND t.attempt = p_attempt AND t.holder_id = p_member
        AND (t.lease_ends_at IS NULL OR t.lease_ends_at > clock_timestamp()) THEN
        RETURN t;
    END IF;
    SELECT name INTO v_holder FROM members WHERE squad_id = p_squad AND id = t.holder_id;
    PERFORM raise_error('lost_claim',
        CASE WHEN t.status <> 'in_progress' THEN format('#%s is %s.', t.number, t.status)
             WHEN t.lease_ends_at <= clock_timestamp() AND t.attempt = p_attempt
                THEN format('The lease of #%s (attempt %s) is over.', t.number, t.attempt)
             ELSE format('#%s is held by %s (attempt %s).', t.number, v_holder, t.attempt) END,
        jsonb_build_object('task', t.number, 'attempt', t.attempt));
END $$;
