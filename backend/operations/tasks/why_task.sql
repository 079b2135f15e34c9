-- "12 s", "3 min", "5 h", "2 days": how long ago, for people.
CREATE OR REPLACE FUNCTION ago(p_then timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN s < 120 THEN format('%s s', s) WHEN s < 7200 THEN format('%s min', s / 60)
        WHEN s < 172800 THEN format('%s h', s / 3600) ELSE format('%s days', s / 86400) END
    FROM (SELECT greatest(extract(epoch FROM clock_timestamp() - p_then)::bigint, 0) AS s) seconds
$$;

-- What a task waits for (agentsquad/schemas/tasks.py, Why): one sentence, and the same as data.
CREATE OR REPLACE FUNCTION why_task(t tasks) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_holder text;
    v_paths text[];
    v_tasks jsonb := '[]';
    v_members jsonb := '[]';
    v_names text;
    v_ended text;
    v_role text;
    v_until text := to_char(t.lease_ends_at AT TIME ZONE 'UTC', 'HH24:MI:SS');
    v_who text;
    v_text text;
    v_attempt attempts;
BEGIN
    IF t.holder_id IS NOT NULL THEN
        SELECT name, (SELECT paths FROM attempts a
            WHERE a.squad_id = t.squad_id AND a.task_number = t.number AND a.attempt = t.attempt)
        INTO v_holder, v_paths
        FROM members WHERE squad_id = t.squad_id AND id = t.holder_id;
        v_text := CASE WHEN t.status = 'in_review' THEN 'is reviewed by ' ELSE 'is held by ' END || v_holder
            || format(' (attempt %s) ', t.attempt) || CASE
                WHEN t.lease_ends_at IS NULL THEN 'without a lease that could end'
                WHEN t.lease_ends_at > clock_timestamp() THEN 'until ' || v_until || ' UTC'
                ELSE 'no longer: the lease was over at ' || v_until || ' UTC' END
            || CASE WHEN v_paths IS NULL OR v_paths = '{}' OR t.lease_ends_at <= clock_timestamp() THEN ''
                ELSE '; reserved: ' || left(v_paths[1], 100) || CASE cardinality(v_paths) WHEN 1 THEN ''
                    ELSE format(' and %s more', cardinality(v_paths) - 1) END END;

    ELSIF t.status IN ('todo', 'in_review') THEN
        v_role := CASE WHEN t.status = 'in_review' THEN t.review
            WHEN t.assignee_id IS NULL THEN t.role END;
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                'name', m.name, 'last_seen_at', m.last_seen_at, 'paused', m.paused_at IS NOT NULL)), '[]'),
            string_agg(m.name || CASE
                WHEN m.paused_at IS NOT NULL THEN ' is paused'
                WHEN m.last_seen_at IS NULL THEN ' was never seen'
                ELSE format(' was last seen %s ago', ago(m.last_seen_at)) END, ', ')
        INTO v_members, v_names
        FROM (
            SELECT * FROM members m
            WHERE m.squad_id = t.squad_id AND m.retired_at IS NULL
                AND (m.id = t.assignee_id AND t.status = 'todo' OR m.role = v_role AND v_role <> '')
                AND (t.status = 'todo' OR m.id IS DISTINCT FROM t.worker_id)
            ORDER BY m.last_seen_at DESC NULLS LAST, m.name LIMIT 5
        ) m;
        v_who := CASE
            WHEN t.status = 'todo' AND t.assignee_id IS NOT NULL
                THEN (SELECT name FROM members WHERE squad_id = t.squad_id AND id = t.assignee_id)
            WHEN v_role = '' AND t.status = 'in_review' THEN 'anybody but its worker'
            WHEN v_role = '' THEN 'anybody'
            ELSE CASE WHEN v_role ~ '^[aeiou]' THEN 'an ' ELSE 'a ' END || v_role END;
        v_text := CASE WHEN t.status = 'in_review' THEN 'is in review: waits for ' ELSE 'waits for ' END || v_who
            || CASE WHEN v_names IS NOT NULL THEN '. ' || v_names
                WHEN v_role <> '' THEN ', and the squad has none that could take it' ELSE '' END;
        IF EXISTS (SELECT FROM squads WHERE id = t.squad_id AND paused_at IS NOT NULL) THEN
            v_text := v_text || '. The squad is paused';
        END IF;

    ELSIF t.status = 'blocked' AND t.blocked_on IN ('dependencies', 'children') THEN
        SELECT coalesce(jsonb_agg(jsonb_build_object('number', o.number, 'status', o.status, 'holder', o.holder)
                ORDER BY o.number), '[]'),
            string_agg(format('#%s (%s)', o.number, replace(o.status, '_', ' ')
                || coalesce(', held by ' || o.holder, '')), ', ' ORDER BY o.number),
            string_agg(format('#%s %s', o.number, CASE o.status WHEN 'failed' THEN 'failed' ELSE 'was cancelled' END),
                ', ' ORDER BY o.number) FILTER (WHERE o.status IN ('failed', 'cancelled'))
        INTO v_tasks, v_names, v_ended
        FROM (
            SELECT o.number, o.status,
                (SELECT m.name FROM members m WHERE m.squad_id = o.squad_id AND m.id = o.holder_id) AS holder
            FROM tasks o
            WHERE o.squad_id = t.squad_id AND o.number = ANY (ARRAY(
                SELECT d.depends_on FROM dependencies d
                WHERE t.blocked_on = 'dependencies' AND d.squad_id = t.squad_id AND d.task_number = t.number
                UNION ALL
                SELECT c.number FROM tasks c
                WHERE t.blocked_on = 'children' AND c.squad_id = t.squad_id AND c.parent = t.number
                )) AND o.status <> 'done' AND (t.blocked_on = 'dependencies' OR o.status NOT IN ('failed', 'cancelled'))
        ) o;
        v_text := CASE
            WHEN t.blocked_on = 'children' THEN 'waits for its children ' || v_names
            WHEN v_ended IS NOT NULL THEN format('is stuck: %s; retry it, remove the dependency or cancel', v_ended)
            ELSE 'waits for ' || v_names END;

    ELSIF t.status = 'blocked' THEN
        v_text := CASE WHEN t.blocked_by ? 'budget' THEN 'is blocked: ' || (t.blocked_by ->> 'reason') ELSE
            CASE t.blocked_on WHEN 'budget' THEN 'is blocked: the budget is spent' ELSE 'is stalled' END
            || coalesce(' (' || rtrim(coalesce(t.blocked_by ->> 'reason', t.blocked_by::text), '.') || ')', '')
            || '; the owner can resume it' END;

    ELSE
        SELECT * INTO v_attempt FROM attempts
        WHERE squad_id = t.squad_id AND task_number = t.number AND attempt = t.attempt;
        SELECT name INTO v_who FROM members WHERE squad_id = t.squad_id AND id = v_attempt.member_id;
        v_text := CASE t.status
            WHEN 'done' THEN 'is done: ' || CASE
                WHEN v_attempt.outcome = 'accepted' THEN 'accepted by ' || v_who ELSE 'completed by ' || v_who END
            WHEN 'failed' THEN 'failed: ' || CASE
                WHEN v_attempt.outcome = 'lapsed' THEN format('no try is left, and the lease of %s lapsed', v_who)
                ELSE coalesce(nullif(left(v_attempt.reason, 500), ''), 'no reason was given') END
            ELSE coalesce((
                SELECT 'was cancelled by ' || coalesce(e.actor ->> 'member', 'the server')
                    || coalesce(': ' || nullif(left(e.data ->> 'reason', 500), ''), '')
                FROM events e
                WHERE e.squad_id = t.squad_id AND e.task = t.number AND e.kind = 'task.cancelled'
                ORDER BY e.position DESC LIMIT 1), 'was cancelled') END;
    END IF;

    RETURN jsonb_build_object(
        'task', t.number, 'status', t.status, 'blocked_on', t.blocked_on,
        'sentence', format('#%s %s.', t.number, rtrim(v_text, '.')),
        'holder', v_holder, 'until', t.lease_ends_at, 'role', nullif(v_role, ''),
        'tasks', v_tasks, 'members', v_members, 'by', t.blocked_by, 'at', t.updated_at);
END $$;
