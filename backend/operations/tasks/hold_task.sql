-- The fence: the task, if this attempt of it is live and the member's own; else `lost_claim`, and nothing
-- happened. Live means: that attempt, still held, and its lease not over, swept or not. What a holder may
-- not do from the task's status is `wrong_status`.
CREATE OR REPLACE FUNCTION hold_task(
    p_squad uuid, p_member uuid, p_number int, p_attempt int, p_statuses text[]
) RETURNS tasks LANGUAGE plpgsql AS $$
DECLARE
    t tasks;
    v_holder text;
BEGIN
    SELECT * INTO t FROM tasks WHERE squad_id = p_squad AND number = p_number FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM raise_error('not_found', 'Task not found');
    END IF;
    IF t.attempt = p_attempt AND t.holder_id = p_member
        AND (t.lease_ends_at IS NULL OR t.lease_ends_at > clock_timestamp()) THEN
        IF t.status <> ALL (p_statuses) THEN
            PERFORM wrong_status(t, 'this is for ' || replace(array_to_string(p_statuses, ' or '), '_', ' '));
        END IF;
        RETURN t;
    END IF;
    SELECT name INTO v_holder FROM members WHERE squad_id = p_squad AND id = t.holder_id;
    PERFORM raise_error('lost_claim',
        CASE WHEN t.holder_id IS NULL THEN format('#%s is %s.', t.number, replace(t.status, '_', ' '))
             WHEN t.lease_ends_at <= clock_timestamp() AND t.attempt = p_attempt
                THEN format('The lease of #%s (attempt %s) is over.', t.number, t.attempt)
             ELSE format('#%s is held by %s (attempt %s).', t.number, v_holder, t.attempt) END,
        jsonb_build_object('task', t.number, 'attempt', t.attempt, 'status', t.status));
END $$;

-- Refuses what the board's table doesn't have from this status.
CREATE OR REPLACE FUNCTION wrong_status(t tasks, p_wanted text) RETURNS void LANGUAGE sql AS $$
    SELECT raise_error('wrong_status', format('#%s is %s; %s.', t.number, replace(t.status, '_', ' '), p_wanted),
        jsonb_build_object('task', t.number, 'status', t.status))
$$;

-- The task, for its creator or the squad's owner; under the squad's lock.
CREATE OR REPLACE FUNCTION own_task(p_squad uuid, p_member uuid, p_is_owner boolean, p_number int)
RETURNS tasks LANGUAGE plpgsql AS $$
DECLARE
    t tasks;
BEGIN
    SELECT * INTO t FROM tasks WHERE squad_id = p_squad AND number = p_number FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM raise_error('not_found', 'Task not found');
    END IF;
    IF NOT p_is_owner AND t.creator_id IS DISTINCT FROM p_member THEN
        PERFORM raise_error('forbidden',
            format('Only the creator of #%s or the squad''s owner may do this.', p_number));
    END IF;
    RETURN t;
END $$;
