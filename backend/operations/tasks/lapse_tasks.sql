-- Takes back, under the squad's lock, every attempt whose lease is over: its task is free again, or failed
-- when no try is left. A review that lapsed is free for another reviewer; it was no try at the work.
-- What is over is asked for only since the last time, which is noted every two seconds (raise_mark.sql): a lease never
-- ends before it was given. A heartbeat is seen once it is committed, and a short lease may be over by then: hence
-- the 20 s before that, for as long as a statement (15 s) and then an idle transaction (5 s) may last. A clock that was
-- set back starts anew.
CREATE OR REPLACE FUNCTION lapse_tasks(p_squad uuid) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_events jsonb := '[]';
    v_failed int[] := '{}';
    v_over int[];
    v_since timestamptz;
    t tasks;
BEGIN
    SELECT at INTO v_since FROM marks WHERE squad_id = p_squad AND name = 'leases' AND at <= v_now;
    v_over := leases_over(p_squad, v_since - interval '20 s', v_now);
    IF v_since IS NULL OR v_since < v_now - interval '2 s' THEN
        INSERT INTO marks (squad_id, name, at) VALUES (p_squad, 'leases', v_now)
        ON CONFLICT (squad_id, name) DO UPDATE SET at = excluded.at;
    END IF;
    IF v_over = '{}' THEN
        RETURN 0;
    END IF;
    FOR t IN
        SELECT * FROM tasks
        WHERE squad_id = p_squad AND number = ANY (v_over) AND lease_ends_at <= v_now
        ORDER BY number FOR NO KEY UPDATE
    LOOP
        PERFORM end_attempt(t, 'lapsed', NULL, v_now);
        UPDATE tasks SET
            status = CASE WHEN status = 'in_review' THEN status WHEN tries_left <= 1 THEN 'failed' ELSE 'todo' END,
            tries_left = CASE WHEN status = 'in_review' THEN tries_left ELSE greatest(tries_left - 1, 0) END,
            holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
        WHERE squad_id = p_squad AND number = t.number
        RETURNING * INTO t;
        v_events := v_events || task_event(t, 'task.lapsed', '{"outcome": "lapsed"}');
        IF t.status = 'failed' THEN
            v_failed := v_failed || t.number;
        END IF;
    END LOOP;
    IF v_events <> '[]' THEN
        PERFORM settle_tasks(p_squad, '{"member": null, "user": null}', v_events, v_failed, v_now);
    END IF;
    RETURN jsonb_array_length(v_events);
END $$;

-- The tasks of the leases that were over between two times. With sorting off, only the index of the leases serves this
-- order. It is often bloated, so that the planner would rather go through all tasks of the squad, and keep doing so.
CREATE OR REPLACE FUNCTION leases_over(p_squad uuid, p_since timestamptz, p_now timestamptz)
RETURNS int[] LANGUAGE plpgsql STABLE SET enable_sort = off AS $$
BEGIN
    RETURN ARRAY(
        SELECT number FROM tasks
        WHERE squad_id = p_squad AND lease_ends_at IS NOT NULL AND lease_ends_at <= p_now
            AND lease_ends_at >= coalesce(p_since, '-infinity')
        ORDER BY lease_ends_at);
END $$;
