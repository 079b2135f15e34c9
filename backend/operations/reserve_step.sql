-- Budgets: what a call of a model may cost is reserved before and settled after, under the squad's lock, in every
-- budget that it counts for: its task's, those of the tasks that this is a part of, and the squad's.

-- The numbers of those budgets; 0 stands for the squad.
CREATE OR REPLACE FUNCTION budgets_of(p_squad uuid, p_task int) RETURNS int[] LANGUAGE sql STABLE AS $$
    WITH RECURSIVE upwards AS (
        SELECT number, parent FROM tasks WHERE squad_id = p_squad AND number = p_task
        UNION ALL
        SELECT t.number, t.parent FROM upwards u JOIN tasks t ON t.squad_id = p_squad AND t.number = u.parent
    )
    SELECT array_agg(number) || 0 FROM upwards
$$;

-- Reserves a call. Answers NULL, or the limit that leaves no room for it; then nothing is reserved. It `waits` where
-- there may be room again: calls under way have reserved what they may not need.
-- A limit in dollars has no room for what nobody knows the price of, unless the same budget has one in tokens.
CREATE OR REPLACE FUNCTION reserve_step(p_squad uuid, p_task int, p_tokens bigint, p_cost numeric)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_budgets int[] := budgets_of(p_squad, p_task);
    v_reached jsonb;
BEGIN
    INSERT INTO budgets (squad_id, task_number) SELECT p_squad, unnest(v_budgets) ON CONFLICT DO NOTHING;
    SELECT jsonb_build_object('budget', b.task_number, 'limit', l.name, 'max', l.most, 'used', l.used, 'asked', l.asked,
        'waits', l.waits)
    INTO v_reached
    FROM budgets b CROSS JOIN LATERAL (
        SELECT *, coalesce(spent + asked <= most, false) AS waits
        FROM (VALUES
            ('calls', b.max_calls::numeric, b.calls::numeric, (b.calls + b.reserved_calls)::numeric, 1::numeric),
            ('tokens', b.max_tokens, b.tokens, b.tokens + b.reserved_tokens, p_tokens),
            ('cost', b.max_cost, b.cost, b.cost + b.reserved_cost, p_cost)
        ) v (name, most, spent, used, asked)
    ) l
    WHERE b.squad_id = p_squad AND b.task_number = ANY (v_budgets)
        AND (l.used + l.asked > l.most OR (l.asked IS NULL AND l.most IS NOT NULL AND b.max_tokens IS NULL))
        AND NOT (SELECT o.waived FROM budgets o WHERE o.squad_id = p_squad AND o.task_number = p_task)
    ORDER BY l.waits, b.task_number DESC, l.name
    LIMIT 1;
    IF v_reached IS NULL THEN
        UPDATE budgets SET
            reserved_calls = reserved_calls + 1, reserved_tokens = reserved_tokens + p_tokens,
            reserved_cost = reserved_cost + coalesce(p_cost, 0)
        WHERE squad_id = p_squad AND task_number = ANY (v_budgets);
    END IF;
    RETURN v_reached;
END $$;

-- Books what a call has cost in the place of what it reserved. Tokens that nobody knows (NULL) are those reserved.
CREATE OR REPLACE FUNCTION settle_step(s steps, p_tokens bigint, p_cost numeric) RETURNS void LANGUAGE sql AS $$
    UPDATE budgets SET
        reserved_calls = reserved_calls - 1,
        reserved_tokens = reserved_tokens - s.reserved_tokens,
        reserved_cost = reserved_cost - coalesce(s.reserved_cost, 0),
        calls = calls + 1,
        tokens = tokens + coalesce(p_tokens, s.reserved_tokens),
        cost = cost + coalesce(p_cost, CASE WHEN p_tokens IS NULL THEN s.reserved_cost END, 0),
        unpriced = unpriced
            + (coalesce(p_cost, CASE WHEN p_tokens IS NULL THEN s.reserved_cost END) IS NULL)::int
    WHERE squad_id = s.squad_id AND task_number = ANY (budgets_of(s.squad_id, s.task_number))
$$;

-- Books what a call has cost that was thought lost, and for which what it reserved was booked.
CREATE OR REPLACE FUNCTION correct_step(s steps, p_tokens bigint, p_cost numeric) RETURNS void LANGUAGE sql AS $$
    UPDATE budgets SET
        tokens = tokens + p_tokens - s.reserved_tokens,
        cost = cost + coalesce(p_cost, 0) - coalesce(s.reserved_cost, 0),
        unpriced = unpriced + (p_cost IS NULL)::int - (s.reserved_cost IS NULL)::int
    WHERE squad_id = s.squad_id AND task_number = ANY (budgets_of(s.squad_id, s.task_number))
$$;

-- Ends the step that is open when its attempt ends: nobody will tell any more how it came out.
-- As in settle_tasks.sql, no plan goes through the whole table, which may be small and yet full of dead rows.
CREATE OR REPLACE FUNCTION leave_step(p_squad uuid, p_task int, p_now timestamptz)
RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    s steps;
BEGIN
    UPDATE steps SET state = 'unknown', ended_at = p_now
    WHERE squad_id = p_squad AND task_number = p_task AND state = 'started'
    RETURNING * INTO s;
    IF FOUND AND s.kind IN ('answer', 'summary') THEN
        PERFORM settle_step(s, NULL, NULL);
    END IF;
END $$;

-- Tells the owner that a budget is used up: once, until its limits are set anew.
CREATE OR REPLACE FUNCTION tell_reached(p_squad uuid, p_budget int, p_task int, p_body text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE budgets SET told_at = clock_timestamp()
    WHERE squad_id = p_squad AND task_number = p_budget AND told_at IS NULL;
    IF FOUND THEN
        PERFORM tell_owner(p_squad, p_task, p_body);
    END IF;
END $$;

-- A budget as it goes over the wire (agentsquad/schemas/budgets.py, Budget), also where nothing was spent or set yet.
CREATE OR REPLACE FUNCTION budget_json(p_squad uuid, p_task int) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'calls', coalesce(b.calls, 0), 'tokens', coalesce(b.tokens, 0), 'cost', coalesce(b.cost, 0),
        'unpriced', coalesce(b.unpriced, 0), 'reserved_calls', coalesce(b.reserved_calls, 0),
        'reserved_tokens', coalesce(b.reserved_tokens, 0), 'reserved_cost', coalesce(b.reserved_cost, 0),
        'max_calls', b.max_calls, 'max_tokens', b.max_tokens, 'max_cost', b.max_cost)
    FROM (VALUES (1)) one LEFT JOIN budgets b ON b.squad_id = p_squad AND b.task_number = p_task
$$;

-- A step as it goes over the wire (agentsquad/schemas/steps.py, Step).
CREATE OR REPLACE FUNCTION step_json(s steps) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'step', s.number, 'attempt', s.attempt,
        'member', (SELECT m.name FROM members m WHERE m.squad_id = s.squad_id AND m.id = s.member_id),
        'kind', s.kind, 'state', s.state, 'name', s.name, 'content', s.content,
        'reserved_tokens', s.reserved_tokens, 'reserved_cost', s.reserved_cost,
        'input_tokens', s.input_tokens, 'output_tokens', s.output_tokens, 'cost', s.cost,
        'started_at', s.started_at, 'ended_at', s.ended_at)
$$;

-- Tells the log of a step as it is now.
CREATE OR REPLACE FUNCTION tell_step(p_squad uuid, p_task int, p_step int, p_actor jsonb, p_kind text)
RETURNS void LANGUAGE sql AS $$
    SELECT append_events(p_squad, p_actor, jsonb_build_array(jsonb_build_object(
        'kind', p_kind, 'task', s.task_number, 'attempt', s.attempt, 'data', step_json(s))))
    FROM steps s WHERE s.squad_id = p_squad AND s.task_number = p_task AND s.number = p_step
$$;

-- Lets go on what a budget has blocked whose limits were set anew; waivers of the old ones are over, below it too.
CREATE OR REPLACE FUNCTION free_budget(p_squad uuid, p_actor jsonb, p_budget int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_events jsonb;
BEGIN
    UPDATE budgets SET waived = false
    WHERE squad_id = p_squad AND waived AND p_budget = ANY (budgets_of(p_squad, task_number));
    SELECT coalesce(jsonb_agg(task_event(t, 'task.resumed') ORDER BY t.number), '[]') INTO v_events
    FROM free_tasks(p_squad, ARRAY(
        SELECT number FROM tasks
        WHERE squad_id = p_squad AND status = 'blocked' AND blocked_on = 'budget'
            AND (blocked_by ->> 'budget')::int = p_budget), clock_timestamp()) t;
    IF v_events <> '[]' THEN
        PERFORM append_events(p_squad, p_actor, v_events);
    END IF;
    RETURN jsonb_array_length(v_events);
END $$;
