"""The board's functions, as they stood on this day; the current ones lie beside their operations."""

import re

from alembic import context, op

revision = "2026_11_26_functions"
down_revision = "2026_11_26_hosted"
branch_labels = None
depends_on = None

FUNCTIONS = {
    "append_events": r"""
-- Appends events to a squad's log, in the array's order, at the positions that follow the last one. Only
-- under the squad's lock: then the order of positions is the order of commits, without a gap.
-- Lowers the marks of queues into which a task came (tasks/raise_mark.sql).
-- Says in a setting of the transaction whose log it was, so that the bell can be rung after the commit.
CREATE OR REPLACE FUNCTION append_events(p_squad uuid, p_actor jsonb, p_events jsonb)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_last bigint;
BEGIN
    SELECT coalesce(max(position), 0) INTO v_last FROM events WHERE squad_id = p_squad;
    INSERT INTO events (squad_id, position, kind, at, actor, task, attempt, data)
    SELECT p_squad, v_last + e.ordinality, e.value ->> 'kind', clock_timestamp(), p_actor,
        (e.value ->> 'task')::int, (e.value ->> 'attempt')::int, coalesce(e.value -> 'data', '{}')
    FROM jsonb_array_elements(p_events) WITH ORDINALITY e;
    IF p_events @? '$[*].data ? (@.status == "todo")' THEN
        PERFORM lower_marks(p_squad, p_events);
    END IF;
    PERFORM set_config('agentsquad.rang', p_squad::text, true);
    RETURN v_last + jsonb_array_length(p_events);
END $$;
""",
    "enter_squad": r"""
-- The first statement of every operation that writes: finds the squad among those that the actor is
-- part of, takes its row lock, and then, on a fresh snapshot, says as whom the actor acts. The lock comes
-- first, so that no decision is made on a stale picture. Only what writes no event does without it.
-- Whoever acts as another member has that member's rights and no others. Whatever one does is a sign of life.
-- Who comes with the token of an attempt, of which a setting of the transaction tells, does nothing after its end.
CREATE OR REPLACE FUNCTION enter_squad(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_lock boolean DEFAULT true, p_archived boolean DEFAULT false,
    OUT squad_id uuid, OUT owner_id uuid, OUT lease_seconds int, OUT max_tries int,
    OUT member_id uuid, OUT member_name text, OUT member_kind text, OUT role text, OUT actor jsonb,
    OUT is_owner boolean, OUT squad_paused boolean, OUT member_paused boolean
) LANGUAGE plpgsql AS $$
DECLARE
    v_as text := p_as;
    v_archived timestamptz;
BEGIN
    SELECT s.id INTO squad_id
    FROM squads s
    JOIN members m ON m.squad_id = s.id AND m.retired_at IS NULL
        AND (m.user_id = p_user OR (m.squad_id = p_home AND m.id = p_member))
    WHERE s.id = p_squad OR s.name = p_name
    ORDER BY (s.owner_id = p_user) DESC NULLS LAST, s.created_at
    LIMIT 1;

    IF p_lock THEN
        PERFORM FROM squads s WHERE s.id = enter_squad.squad_id FOR NO KEY UPDATE;
    END IF;

    SELECT s.owner_id, s.lease_seconds, s.max_tries, s.paused_at IS NOT NULL, s.archived_at
    INTO owner_id, lease_seconds, max_tries, squad_paused, v_archived
    FROM squads s WHERE s.id = enter_squad.squad_id;

    SELECT m.id, m.name, m.kind, m.role, m.paused_at IS NOT NULL
    INTO member_id, member_name, member_kind, role, member_paused
    FROM members m
    WHERE m.squad_id = enter_squad.squad_id AND m.retired_at IS NULL
        AND (m.user_id = p_user OR (m.squad_id = p_home AND m.id = p_member));

    IF member_id IS NULL THEN
        PERFORM raise_error('not_found', 'Squad not found');
    END IF;
    is_owner := coalesce(p_user = owner_id, false);

    IF v_as IS NOT NULL AND v_as <> member_name THEN
        IF NOT is_owner THEN
            PERFORM raise_error('forbidden', 'Only the squad''s owner may act as another member.');
        END IF;
        SELECT m.id, m.name, m.kind, m.role, m.paused_at IS NOT NULL
        INTO member_id, member_name, member_kind, role, member_paused
        FROM members m
        WHERE m.squad_id = enter_squad.squad_id AND m.name = v_as AND m.retired_at IS NULL;
        IF NOT FOUND THEN
            PERFORM raise_error('not_found', 'Member not found');
        END IF;
        IF member_kind <> 'external' THEN
            PERFORM raise_error('forbidden', format('%s is not an external member; nobody else acts for it.', v_as));
        END IF;
        is_owner := false;
    END IF;

    IF v_archived IS NOT NULL AND NOT p_archived THEN
        PERFORM raise_error('archived', 'The squad is archived; its owner can unarchive it.');
    END IF;

    IF p_lock AND current_setting('agentsquad.claim', true) <> '' THEN
        PERFORM hold_task(enter_squad.squad_id, enter_squad.member_id,
            split_part(current_setting('agentsquad.claim', true), '/', 1)::int,
            split_part(current_setting('agentsquad.claim', true), '/', 2)::int, '{in_progress,in_review}');
    END IF;

    PERFORM see_member(squad_id, member_id);
    actor := jsonb_build_object(
        'member', member_name, 'user', (SELECT u.email FROM users u WHERE u.id = p_user)
    );
END $$;
""",
    "next_tasks": r"""
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
""",
    "raise_error": r"""
-- Raises an error of core/errors.py by its code. The fields travel in the detail.
CREATE OR REPLACE FUNCTION raise_error(p_code text, p_sentence text, p_fields jsonb DEFAULT '{}')
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'SQUAD',
        MESSAGE = p_sentence,
        DETAIL = (p_fields || jsonb_build_object('code', p_code))::text;
END $$;
""",
    "reserve_step": r"""
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
""",
    "reserved_paths": r"""
-- What the live attempts of a squad reserve, for a claim that comes next in this transaction (reserving.py).
-- It takes the squad's lock, so that nobody else claims or ends an attempt meanwhile, and lapses what is over: what is
-- held then is live, also by a heartbeat that came in the last moment.
CREATE OR REPLACE FUNCTION reserved_paths(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text
) RETURNS jsonb LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    scope record;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    PERFORM lapse_tasks(scope.squad_id);
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_object('task', a.task_number, 'attempt', a.attempt, 'holder', m.name,
            'until', t.lease_ends_at, 'paths', to_jsonb(a.paths)) ORDER BY a.task_number), '[]')
        FROM attempts a
        JOIN tasks t ON t.squad_id = a.squad_id AND t.number = a.task_number
        JOIN members m ON m.squad_id = a.squad_id AND m.id = a.member_id
        WHERE a.squad_id = scope.squad_id AND a.ended_at IS NULL AND a.paths <> '{}');
END $$;
""",
    "see_member": r"""
-- Notes that a member was there, to five seconds: a poll that finds nothing to do writes nothing else.
CREATE OR REPLACE FUNCTION see_member(p_squad uuid, p_member uuid) RETURNS void LANGUAGE sql AS $$
    UPDATE members SET last_seen_at = clock_timestamp()
    WHERE squad_id = p_squad AND id = p_member
        AND (last_seen_at IS NULL OR last_seen_at < clock_timestamp() - interval '5 seconds')
$$;
""",
    "send_message": r"""
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
""",
    "tell_owner": r"""
-- A message of the server's to the squad's owner, in the task's thread.
CREATE OR REPLACE FUNCTION tell_owner(p_squad uuid, p_task int, p_body text) RETURNS void LANGUAGE sql AS $$
    SELECT send_message(p_squad, '{"member": null, "user": null}', NULL, m.id, p_task, p_body)
    FROM squads s JOIN members m ON m.squad_id = s.id AND m.user_id = s.owner_id AND m.retired_at IS NULL
    WHERE s.id = p_squad
$$;
""",
    "unread_messages": r"""
-- How many messages a member hasn't read; counted up to 1,000 (agentsquad/schemas/limits.py, UNREAD).
CREATE OR REPLACE FUNCTION unread_messages(p_squad uuid, p_member uuid) RETURNS int LANGUAGE sql STABLE AS $$
    SELECT count(*)::int FROM (
        SELECT FROM recipients WHERE squad_id = p_squad AND member_id = p_member AND read_at IS NULL LIMIT 1000
    ) waiting
$$;
""",
    "answer_task": r"""
-- Answers a question, a free task that is assigned to the person who answers: claim and complete in one. Its
-- asker waits for it as for a child, and goes on in the same transaction.
CREATE OR REPLACE FUNCTION answer_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int, p_answer jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    SELECT * INTO t FROM tasks WHERE squad_id = scope.squad_id AND number = p_number FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM raise_error('not_found', 'Task not found');
    ELSIF t.status <> 'todo' THEN
        PERFORM wrong_status(t, 'only a question in todo can be answered');
    ELSIF scope.member_kind <> 'person' OR t.assignee_id IS DISTINCT FROM scope.member_id THEN
        PERFORM raise_error('forbidden', format('#%s is no question to you.', p_number));
    END IF;
    v_now := clock_timestamp();
    UPDATE tasks SET status = 'done', result = p_answer, attempt = attempt + 1, worker_id = scope.member_id,
        updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    INSERT INTO attempts (squad_id, task_number, attempt, kind, member_id, outcome, started_at, ended_at)
    VALUES (t.squad_id, t.number, t.attempt, 'work', scope.member_id, 'completed', v_now, v_now);
    PERFORM settle_tasks(t.squad_id, scope.actor, jsonb_build_array(task_event(t, 'task.completed',
        jsonb_build_object('outcome', 'completed', 'result', t.result))), ARRAY[t.number], v_now);
    RETURN changed_task(t, scope.member_id);
END $$;
""",
    "block_task": r"""
-- Blocks a free or held task until somebody resumes it; a live attempt ends, which uses no try. For the owner.
CREATE OR REPLACE FUNCTION block_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_on text, p_by jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := led_task(scope.squad_id, scope.is_owner, p_number);
    IF t.status NOT IN ('todo', 'in_progress') THEN
        PERFORM wrong_status(t, 'only a task in todo or in progress can be blocked');
    END IF;
    RETURN changed_task(block(t, scope.actor, p_on, p_by), scope.member_id);
END $$;

-- Blocks a task, under the squad's lock. Answers it as it is now.
CREATE OR REPLACE FUNCTION block(t tasks, p_actor jsonb, p_on text, p_by jsonb) RETURNS tasks LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_ended jsonb := end_attempt(t, 'blocked', p_by ->> 'reason', v_now);
BEGIN
    UPDATE tasks SET status = 'blocked', blocked_on = p_on, blocked_by = p_by, holder_id = NULL,
        lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    PERFORM append_events(t.squad_id, p_actor, jsonb_build_array(
        task_event(t, 'task.blocked', v_ended || jsonb_build_object('reason', p_by ->> 'reason'))));
    RETURN t;
END $$;

-- The server blocks, under the squad's lock, what a member of its own holds, and tells the owner: of a budget once
-- until its limits are set anew, else each time. Nobody does it, so no member is the actor. A review can't be blocked.
CREATE OR REPLACE FUNCTION block_held(p_squad uuid, p_member uuid, p_number int, p_attempt int, p_on text, p_by jsonb)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_told text := format('#%s stopped: %s', p_number, p_by ->> 'reason');
    t tasks := hold_task(p_squad, p_member, p_number, p_attempt, '{in_progress,in_review}');
BEGIN
    IF t.status = 'in_review' THEN
        PERFORM suspend_holder(t, p_by ->> 'reason');
        RETURN;
    END IF;
    PERFORM block(t, '{"member": null, "user": null}', p_on, p_by);
    IF p_on = 'budget' THEN
        PERFORM tell_reached(p_squad, (p_by ->> 'budget')::int, p_number, v_told);
    ELSE
        PERFORM tell_owner(p_squad, p_number, v_told);
    END IF;
END $$;

-- The server pauses the member that holds a task, tells the owner, and gives the task back: what keeps this member from
-- its work would keep it from all others, too, and it would take them one after another.
CREATE OR REPLACE FUNCTION suspend_holder(t tasks, p_reason text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_nobody jsonb := '{"member": null, "user": null}';
    m members;
BEGIN
    UPDATE members SET paused_at = clock_timestamp()
    WHERE squad_id = t.squad_id AND id = t.holder_id AND paused_at IS NULL RETURNING * INTO m;
    IF FOUND THEN
        PERFORM append_events(t.squad_id, v_nobody, jsonb_build_array(
            jsonb_build_object('kind', 'member.paused', 'data', jsonb_build_object(
                'id', m.id, 'member', m.name, 'paused_at', m.paused_at))));
        PERFORM tell_owner(t.squad_id, t.number, format('%s is paused, and #%s is given back: %s Then resume %s.',
            m.name, t.number, p_reason, m.name));
    END IF;
    PERFORM append_events(t.squad_id, v_nobody, jsonb_build_array(
        let_go(t, 'released', p_reason, clock_timestamp())));
END $$;

-- Lets a task go on that was blocked by a budget, past its limits, or as stalled. For the owner.
CREATE OR REPLACE FUNCTION resume_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := led_task(scope.squad_id, scope.is_owner, p_number);
    IF t.blocked_on IS NULL OR t.blocked_on NOT IN ('budget', 'stalled') THEN
        PERFORM wrong_status(t, 'only what is blocked by a budget or as stalled can be resumed');
    END IF;
    UPDATE budgets SET waived = true
    WHERE squad_id = t.squad_id AND task_number = t.number AND t.blocked_by ? 'budget';
    SELECT * INTO t FROM free_tasks(t.squad_id, ARRAY[t.number], clock_timestamp());
    PERFORM append_events(t.squad_id, scope.actor, jsonb_build_array(task_event(t, 'task.resumed')));
    RETURN changed_task(t, scope.member_id);
END $$;

-- The task, for the squad's owner alone; under the squad's lock.
CREATE OR REPLACE FUNCTION led_task(p_squad uuid, p_is_owner boolean, p_number int) RETURNS tasks LANGUAGE plpgsql AS $$
BEGIN
    IF NOT p_is_owner THEN
        PERFORM raise_error('forbidden', 'Only the squad''s owner may do this.');
    END IF;
    RETURN own_task(p_squad, NULL, true, p_number);
END $$;
""",
    "cancel_tasks": r"""
-- Cancels an unfinished task and ends its live attempt; on request also what depends on it and its children,
-- over any number of steps. For the creator of all of them, or the owner.
CREATE OR REPLACE FUNCTION cancel_tasks(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_reason text, p_cascade boolean
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_numbers int[] := ARRAY[p_number];
    v_number int;
    v_ended jsonb;
    v_events jsonb := '[]';
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := own_task(scope.squad_id, scope.member_id, scope.is_owner, p_number);
    IF t.status IN ('done', 'failed', 'cancelled') THEN
        PERFORM wrong_status(t, 'only an unfinished task can be cancelled');
    END IF;
    v_now := clock_timestamp();
    IF p_cascade THEN
        v_numbers := ARRAY(
            WITH RECURSIVE reached(number) AS (
                SELECT p_number
                UNION
                SELECT o.number FROM reached r JOIN tasks o ON o.squad_id = scope.squad_id
                    AND o.status NOT IN ('done', 'failed', 'cancelled')
                    AND (o.parent = r.number OR o.number IN (
                        SELECT d.task_number FROM dependencies d
                        WHERE d.squad_id = scope.squad_id AND d.depends_on = r.number))
            ) SELECT number FROM reached ORDER BY number);
    END IF;
    FOREACH v_number IN ARRAY v_numbers LOOP
        t := own_task(scope.squad_id, scope.member_id, scope.is_owner, v_number);
        v_ended := end_attempt(t, 'cancelled', p_reason, v_now);
        UPDATE tasks SET status = 'cancelled', blocked_on = NULL, blocked_by = NULL, holder_id = NULL,
            lease_ends_at = NULL, updated_at = v_now
        WHERE squad_id = t.squad_id AND number = v_number
        RETURNING * INTO t;
        v_events := v_events || task_event(t, 'task.cancelled', v_ended || jsonb_build_object('reason', p_reason));
    END LOOP;
    PERFORM settle_tasks(scope.squad_id, scope.actor, v_events, v_numbers, v_now);
    SELECT * INTO t FROM tasks WHERE squad_id = scope.squad_id AND number = p_number;
    RETURN changed_task(t, scope.member_id);
END $$;
""",
    "claim_tasks": r"""
-- Claims a task by its number, or the next ones: assigned to the member, else of its role, else of no role;
-- in each a review before new work, then by priority and age. A review of one's own work is nobody's.
-- Answers NULL when nothing is there to claim, also while the member or its squad is paused.
-- Numbers are looked up in an array instead of a join, and the children in an order (`+ 0`) that no index gives: so a
-- generic plan that was made while the board was empty goes through no more than these. No row is locked: the squad is.
-- The lease is this claim's own, if it asks for one. Whoever gives paths has looked who else reserves them
-- (reserved_paths.sql), in this transaction.
CREATE OR REPLACE FUNCTION claim_tasks(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int, p_limit int,
    p_lease int, p_paths text[]
) RETURNS jsonb LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_next record;
    v_numbers int[];
    v_number int;
    v_events jsonb := '[]';
    v_items jsonb := '[]';
    v_mark marks;
    v_own int;
    v_lease int;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    PERFORM lapse_tasks(scope.squad_id);
    v_now := clock_timestamp();
    v_own := CASE WHEN scope.member_kind <> 'person' THEN p_lease END;
    v_lease := CASE WHEN scope.member_kind <> 'person' THEN coalesce(v_own, scope.lease_seconds) END;

    IF p_number IS NOT NULL THEN
        SELECT * INTO t FROM tasks WHERE squad_id = scope.squad_id AND number = p_number;
        IF NOT FOUND THEN
            PERFORM raise_error('not_found', 'Task not found');
        ELSIF t.holder_id IS NOT NULL OR t.status NOT IN ('todo', 'in_review') THEN
            PERFORM wrong_status(t, 'only a free task in todo or in review can be claimed');
        ELSIF scope.member_paused OR scope.squad_paused THEN
            PERFORM raise_error('paused', CASE WHEN scope.member_paused THEN scope.member_name ELSE 'The squad' END
                || ' is paused; the owner can resume it.');
        ELSIF t.status = 'in_review' AND t.worker_id = scope.member_id THEN
            PERFORM raise_error('forbidden', format('#%s is your own work; somebody else has to review it.', p_number));
        ELSIF t.status = 'in_review' AND t.review NOT IN ('', scope.role) THEN
            PERFORM raise_error('forbidden', format('#%s is to be reviewed by the role %s.', p_number, t.review));
        ELSIF t.status = 'todo' AND t.assignee_id <> scope.member_id THEN
            PERFORM raise_error('forbidden', format('#%s is assigned to %s.', p_number,
                (SELECT name FROM members WHERE squad_id = scope.squad_id AND id = t.assignee_id)));
        ELSIF t.status = 'todo' AND t.assignee_id IS NULL AND t.role NOT IN ('', scope.role) THEN
            PERFORM raise_error('forbidden', format('#%s is for the role %s.', p_number, t.role));
        END IF;
        v_numbers := ARRAY[p_number];
    ELSIF scope.member_paused OR scope.squad_paused THEN
        RETURN NULL;
    ELSE
        v_next := next_tasks(scope.squad_id, scope.member_id, scope.role, p_limit);
        v_numbers := v_next.numbers;
        v_mark := v_next.mark;
        IF v_numbers = '{}' THEN
            RETURN NULL;
        END IF;
    END IF;

    FOREACH v_number IN ARRAY v_numbers LOOP
        UPDATE tasks SET
            status = CASE status WHEN 'todo' THEN 'in_progress' ELSE status END,
            holder_id = scope.member_id, attempt = attempt + 1, updated_at = v_now,
            lease_ends_at = CASE WHEN v_lease IS NOT NULL THEN v_now + make_interval(secs => v_lease) END
        WHERE squad_id = scope.squad_id AND number = v_number
        RETURNING * INTO t;
        -- The last queue's mark is at hand; another queue's is raised by a claim that ends there. A mark that moved
        -- with every claim would leave as many dead rows as it avoids.
        IF p_number IS NULL AND t.status = 'in_progress' AND v_mark.name = queue_of(t.assignee_id, t.role)
            AND (t.number > v_mark.number + 100 AND t.priority = v_mark.priority
                OR t.priority <> v_mark.priority AND clock_timestamp() > v_now + interval '1 ms') THEN
            PERFORM raise_mark(t.squad_id, v_mark.name, t.priority, t.number);
            v_mark := mark_of(t.squad_id, v_mark.name);
        END IF;
        INSERT INTO attempts (squad_id, task_number, attempt, kind, member_id, lease_seconds, paths, started_at)
        VALUES (t.squad_id, t.number, t.attempt, claim_kind(t), t.holder_id, v_own, p_paths, v_now);
        v_events := v_events || task_event(t, 'task.claimed', jsonb_build_object(
            'kind', claim_kind(t), 'lease_seconds', v_own, 'paths', to_jsonb(p_paths)));
        v_items := v_items || jsonb_build_object(
            'claim', format('%s/%s', t.number, t.attempt),
            'kind', claim_kind(t),
            'lease_seconds', v_lease,
            'paths', to_jsonb(p_paths),
            'task', task_json(t),
            'dependencies', coalesce((
                SELECT jsonb_agg(task_result(o) ORDER BY o.number)
                FROM tasks o WHERE o.squad_id = t.squad_id AND o.number = ANY (ARRAY(
                    SELECT d.depends_on FROM dependencies d
                    WHERE d.squad_id = t.squad_id AND d.task_number = t.number))), '[]'),
            'children', coalesce((
                SELECT jsonb_agg(task_result(o) ORDER BY o.number)
                FROM tasks o WHERE o.squad_id = t.squad_id AND o.number = ANY (ARRAY(
                    SELECT c.number FROM tasks c WHERE c.squad_id = t.squad_id AND c.parent = t.number
                    ORDER BY c.number + 0 DESC LIMIT 200))), '[]'));
    END LOOP;
    PERFORM append_events(scope.squad_id, scope.actor, v_events);
    RETURN jsonb_build_object('items', v_items, 'unread', unread_messages(scope.squad_id, scope.member_id));
END $$;

-- What an attempt at a held task is.
CREATE OR REPLACE FUNCTION claim_kind(t tasks) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE t.status WHEN 'in_review' THEN 'review' ELSE 'work' END
$$;

-- What a task came to, for those that waited for it.
CREATE OR REPLACE FUNCTION task_result(o tasks) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'number', o.number, 'title', o.title, 'role', o.role, 'status', o.status, 'attempt', o.attempt,
        'result', o.result,
        'holder', (SELECT m.name FROM members m WHERE m.squad_id = o.squad_id AND m.id = o.worker_id))
$$;
""",
    "complete_task": r"""
-- Ends the live attempt with a result. The task is done, which frees, in the same transaction, every task
-- that waited for this one last; or it is in review, when it was made with one.
CREATE OR REPLACE FUNCTION complete_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_attempt int, p_result jsonb
) RETURNS jsonb LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_ended jsonb;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt, '{in_progress}');
    v_now := clock_timestamp();
    v_ended := end_attempt(t, 'completed', NULL, v_now);
    UPDATE tasks SET
        status = CASE WHEN review IS NULL THEN 'done' ELSE 'in_review' END,
        worker_id = holder_id, result = p_result, holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    PERFORM settle_tasks(t.squad_id, scope.actor,
        jsonb_build_array(task_event(t, 'task.completed', v_ended || jsonb_build_object('result', t.result))),
        CASE WHEN t.status = 'done' THEN ARRAY[t.number] ELSE '{}' END, v_now);
    RETURN changed_task(t, scope.member_id);
END $$;
""",
    "create_tasks": r"""
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
""",
    "depend_task": r"""
-- Lets a task wait for another one, which blocks it unless that one is done. For its creator or the owner.
CREATE OR REPLACE FUNCTION depend_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int, p_on int
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_other text;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := waiting_task(scope.squad_id, scope.member_id, scope.is_owner, p_number);
    SELECT status INTO v_other FROM tasks WHERE squad_id = t.squad_id AND number = p_on;
    IF NOT FOUND THEN
        PERFORM raise_error('not_found', 'Task not found');
    ELSIF waits_for(t.squad_id, ARRAY[p_on], p_number) THEN
        PERFORM raise_error('conflict', format('#%s waits for #%s itself; the dependency would close a circle.',
            p_on, p_number), jsonb_build_object('task', p_number));
    ELSIF (SELECT count(*) FROM dependencies WHERE squad_id = t.squad_id AND task_number = p_number) >= 100 THEN
        PERFORM raise_error('invalid', format('#%s has 100 dependencies, as many as a task may have.', p_number));
    END IF;
    INSERT INTO dependencies (squad_id, task_number, depends_on) VALUES (t.squad_id, p_number, p_on)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN changed_task(t, scope.member_id);
    END IF;
    UPDATE tasks SET
        status = CASE WHEN status = 'todo' AND v_other <> 'done' THEN 'blocked' ELSE status END,
        blocked_on = CASE WHEN status = 'todo' AND v_other <> 'done' THEN 'dependencies' ELSE blocked_on END,
        updated_at = clock_timestamp()
    WHERE squad_id = t.squad_id AND number = p_number;
    RETURN tell_update(t.squad_id, scope.actor, scope.member_id, p_number, '{depends_on}');
END $$;

-- Takes a dependency away, which frees the task if it was the last one that wasn't done.
CREATE OR REPLACE FUNCTION undepend_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int, p_on int
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := waiting_task(scope.squad_id, scope.member_id, scope.is_owner, p_number);
    DELETE FROM dependencies WHERE squad_id = t.squad_id AND task_number = p_number AND depends_on = p_on;
    IF NOT FOUND THEN
        PERFORM raise_error('not_found', 'Dependency not found');
    END IF;
    IF t.blocked_on = 'dependencies' THEN
        PERFORM free_tasks(t.squad_id, ARRAY[p_number], clock_timestamp());
    ELSE
        UPDATE tasks SET updated_at = clock_timestamp() WHERE squad_id = t.squad_id AND number = p_number;
    END IF;
    RETURN tell_update(t.squad_id, scope.actor, scope.member_id, p_number, '{depends_on}');
END $$;

-- The task, for whoever may change what it waits for, unless somebody works on it or its work is over.
CREATE OR REPLACE FUNCTION waiting_task(p_squad uuid, p_member uuid, p_is_owner boolean, p_number int)
RETURNS tasks LANGUAGE plpgsql AS $$
DECLARE
    t tasks := own_task(p_squad, p_member, p_is_owner, p_number);
BEGIN
    IF t.status IN ('in_progress', 'in_review', 'done') THEN
        PERFORM wrong_status(t, 'its dependencies no longer matter');
    END IF;
    RETURN t;
END $$;

-- Writes that fields of a task were changed, if any were, with their new values. Answers the task.
CREATE OR REPLACE FUNCTION tell_update(p_squad uuid, p_actor jsonb, p_member uuid, p_number int, p_fields text[])
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    t tasks;
BEGIN
    SELECT * INTO t FROM tasks WHERE squad_id = p_squad AND number = p_number;
    IF p_fields <> '{}' THEN
        PERFORM append_events(p_squad, p_actor, jsonb_build_array(task_event(t, 'task.updated', (
            SELECT jsonb_object_agg(key, value) FROM jsonb_each(task_facts(t)) WHERE key = ANY (p_fields)))));
    END IF;
    RETURN changed_task(t, p_member);
END $$;

-- Leaves to anybody what was assigned to a member who goes.
CREATE OR REPLACE FUNCTION unassign_tasks(p_squad uuid, p_actor jsonb, p_member uuid) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_number int;
    v_count int := 0;
BEGIN
    FOR v_number IN
        UPDATE tasks SET assignee_id = NULL, updated_at = clock_timestamp()
        WHERE squad_id = p_squad AND assignee_id = p_member AND assignee_id IS NOT NULL AND status <> 'done'
        RETURNING number
    LOOP
        PERFORM tell_update(p_squad, p_actor, p_member, v_number, '{assignee}');
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;
""",
    "fail_task": r"""
-- Ends the live attempt without a result. With `retry` the task is free again while a try is left.
CREATE OR REPLACE FUNCTION fail_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_attempt int, p_reason text, p_retry boolean
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_ended jsonb;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt, '{in_progress}');
    v_now := clock_timestamp();
    v_ended := end_attempt(t, CASE WHEN p_retry AND t.tries_left > 1 THEN 'retried' ELSE 'failed' END, p_reason, v_now);
    UPDATE tasks SET
        status = CASE WHEN p_retry AND tries_left > 1 THEN 'todo' ELSE 'failed' END,
        tries_left = CASE WHEN p_retry THEN greatest(tries_left - 1, 0) ELSE tries_left END,
        holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    PERFORM settle_tasks(t.squad_id, scope.actor,
        jsonb_build_array(task_event(t, 'task.failed', v_ended || jsonb_build_object('reason', p_reason))),
        CASE WHEN t.status = 'failed' THEN ARRAY[t.number] ELSE '{}' END, v_now);
    RETURN changed_task(t, scope.member_id);
END $$;
""",
    "handoff_task": r"""
-- Ends the live attempt, which uses no try, and gives the task to a member or a role; the note goes into the
-- task's thread.
CREATE OR REPLACE FUNCTION handoff_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_attempt int, p_to text, p_role text, p_note text
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_ended jsonb;
    v_to uuid;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt, '{in_progress}');
    IF p_to IS NOT NULL THEN
        v_to := active_member(scope.squad_id, p_to, 'body.to');
    END IF;
    v_now := clock_timestamp();
    v_ended := end_attempt(t, 'handed_off', p_note, v_now);
    UPDATE tasks SET
        status = 'todo', assignee_id = v_to, role = coalesce(p_role, role),
        holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    PERFORM append_events(t.squad_id, scope.actor,
        jsonb_build_array(task_event(t, 'task.handed_off', v_ended || jsonb_build_object('reason', p_note))));
    IF p_note <> '' THEN
        PERFORM send_message(t.squad_id, scope.actor, scope.member_id, NULL, t.number, p_note);
    END IF;
    RETURN changed_task(t, scope.member_id);
END $$;

-- The id of a member who is there, by name.
CREATE OR REPLACE FUNCTION active_member(p_squad uuid, p_name text, p_field text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid;
BEGIN
    SELECT id INTO v_id FROM members WHERE squad_id = p_squad AND name = p_name AND retired_at IS NULL;
    IF NOT FOUND THEN
        PERFORM raise_error('invalid', format('There is no member %s.', p_name), jsonb_build_object('errors',
            jsonb_build_array(jsonb_build_object(
                'field', p_field, 'message', format('There is no member %s.', p_name)))));
    END IF;
    RETURN v_id;
END $$;
""",
    "heartbeat_tasks": r"""
-- Extends the leases of live claims. No event and no squad lock: it touches only rows that the caller holds.
-- A claim that is lost says so for itself, and spoils none of the others.
CREATE OR REPLACE FUNCTION heartbeat_tasks(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_claims text[]
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_items jsonb := '[]';
    v_claim record;
    v_detail text;
    v_lost text;
    v_fields jsonb;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name, false);
    FOR v_claim IN
        SELECT claim, split_part(claim, '/', 1)::int AS number, split_part(claim, '/', 2)::int AS attempt
        FROM unnest(p_claims) claim ORDER BY 2
    LOOP
        BEGIN
            t := hold_task(scope.squad_id, scope.member_id, v_claim.number, v_claim.attempt, '{in_progress,in_review}');
            UPDATE tasks SET lease_ends_at = renewed(t, scope.lease_seconds)
            WHERE squad_id = t.squad_id AND number = t.number AND lease_ends_at IS NOT NULL
            RETURNING * INTO t;
            v_items := v_items || jsonb_build_object('claim', v_claim.claim, 'live', true, 'cancelled', false,
                'lease_ends_at', t.lease_ends_at, 'detail', NULL);
        EXCEPTION WHEN SQLSTATE 'SQUAD' THEN
            GET STACKED DIAGNOSTICS v_lost = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL;
            v_fields := v_detail::jsonb;
            v_items := v_items || jsonb_build_object('claim', v_claim.claim, 'live', false,
                'cancelled', coalesce(v_fields ->> 'status' = 'cancelled', false),
                'lease_ends_at', NULL, 'detail', v_lost);
        END;
    END LOOP;
    SELECT jsonb_agg(item ORDER BY array_position(p_claims, item ->> 'claim')) INTO v_items
    FROM jsonb_array_elements(v_items) item;
    RETURN jsonb_build_object('items', v_items, 'unread', unread_messages(scope.squad_id, scope.member_id));
END $$;

-- The same for one claim, which is an error when it is lost.
CREATE OR REPLACE FUNCTION heartbeat_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int, p_attempt int
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name, false);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt, '{in_progress,in_review}');
    UPDATE tasks SET lease_ends_at = renewed(t, scope.lease_seconds)
    WHERE squad_id = t.squad_id AND number = t.number AND lease_ends_at IS NOT NULL
    RETURNING * INTO t;
    RETURN jsonb_build_object('claim', format('%s/%s', p_number, p_attempt), 'lease_ends_at', t.lease_ends_at,
        'unread', unread_messages(scope.squad_id, scope.member_id));
END $$;

-- The end of a task's lease from now on: by what its attempt asked for, else by the squad's.
CREATE OR REPLACE FUNCTION renewed(t tasks, p_lease int) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT clock_timestamp() + make_interval(secs => coalesce((
        SELECT a.lease_seconds FROM attempts a
        WHERE a.squad_id = t.squad_id AND a.task_number = t.number AND a.attempt = t.attempt), p_lease))
$$;
""",
    "hold_task": r"""
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
""",
    "lapse_tasks": r"""
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
""",
    "raise_mark": r"""
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
""",
    "release_task": r"""
-- Gives the live attempt back, which uses no try: the task, or its review, is free again.
CREATE OR REPLACE FUNCTION release_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_attempt int, p_reason text
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_event jsonb;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt, '{in_progress,in_review}');
    v_event := let_go(t, 'released', p_reason, clock_timestamp());
    PERFORM append_events(scope.squad_id, scope.actor, jsonb_build_array(v_event));
    SELECT * INTO t FROM tasks WHERE squad_id = t.squad_id AND number = t.number;
    RETURN changed_task(t, scope.member_id);
END $$;

-- Ends the attempt that holds a task, at no try's cost, and leaves the task free. Answers the event.
CREATE OR REPLACE FUNCTION let_go(t tasks, p_outcome text, p_reason text, p_now timestamptz)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_ended jsonb := end_attempt(t, p_outcome, p_reason, p_now);
BEGIN
    UPDATE tasks SET
        status = CASE status WHEN 'in_progress' THEN 'todo' ELSE status END,
        holder_id = NULL, lease_ends_at = NULL, updated_at = p_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    RETURN task_event(t, 'task.released', v_ended || jsonb_build_object('reason', p_reason));
END $$;

-- Lets go, under the squad's lock, of all that a member holds, or of all that anybody holds. Answers how many.
CREATE OR REPLACE FUNCTION let_go_all(p_squad uuid, p_actor jsonb, p_member uuid, p_reason text)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_events jsonb;
BEGIN
    SELECT coalesce(jsonb_agg(let_go(t, 'paused', p_reason, v_now) ORDER BY t.number), '[]') INTO v_events
    FROM tasks t WHERE t.squad_id = p_squad AND t.holder_id IS NOT NULL
        AND t.holder_id = coalesce(p_member, t.holder_id);
    IF v_events <> '[]' THEN
        PERFORM append_events(p_squad, p_actor, v_events);
    END IF;
    RETURN jsonb_array_length(v_events);
END $$;
""",
    "retry_task": r"""
-- Opens a failed or cancelled task again, with all its tries; blocked, while a dependency is not done. For its
-- creator or the owner.
CREATE OR REPLACE FUNCTION retry_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := own_task(scope.squad_id, scope.member_id, scope.is_owner, p_number);
    IF t.status NOT IN ('failed', 'cancelled') THEN
        PERFORM wrong_status(t, 'only a failed or cancelled task can be retried');
    END IF;
    UPDATE tasks SET tries_left = scope.max_tries, rejections = 0 WHERE squad_id = t.squad_id AND number = t.number;
    SELECT * INTO t FROM free_tasks(t.squad_id, ARRAY[t.number], clock_timestamp());
    -- Its parent, which waits for its children, waits for this one again.
    IF waits_for(t.squad_id, ARRAY(SELECT depends_on FROM dependencies
            WHERE squad_id = t.squad_id AND task_number = t.number), t.number) THEN
        PERFORM raise_error('conflict', format('#%s depends on what waits for it as a child; both would wait for '
            'ever. Remove the dependency first.', t.number), jsonb_build_object('task', t.number));
    END IF;
    PERFORM append_events(t.squad_id, scope.actor, jsonb_build_array(task_event(t, 'task.retried')));
    RETURN changed_task(t, scope.member_id);
END $$;
""",
    "review_task": r"""
-- Ends the live review: accepted, the task is done; rejected, it is free for the member that did the work.
-- A note goes into the task's thread. After three rejections (agentsquad/schemas/limits.py, REJECTIONS) the
-- owner is told.
CREATE OR REPLACE FUNCTION review_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_attempt int, p_accepted boolean, p_note text
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_ended jsonb;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt, '{in_review}');
    v_now := clock_timestamp();
    v_ended := end_attempt(t, CASE WHEN p_accepted THEN 'accepted' ELSE 'rejected' END, nullif(p_note, ''), v_now);
    UPDATE tasks SET
        status = CASE WHEN p_accepted THEN 'done' ELSE 'todo' END,
        rejections = rejections + CASE WHEN p_accepted THEN 0 ELSE 1 END,
        assignee_id = CASE WHEN p_accepted OR NOT EXISTS (
                SELECT FROM members m WHERE m.squad_id = t.squad_id AND m.id = t.worker_id AND m.retired_at IS NULL)
            THEN assignee_id ELSE worker_id END,
        holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    PERFORM settle_tasks(t.squad_id, scope.actor,
        jsonb_build_array(task_event(t, CASE WHEN p_accepted THEN 'task.accepted' ELSE 'task.rejected' END,
            v_ended || jsonb_build_object('reason', nullif(p_note, '')))),
        CASE WHEN p_accepted THEN ARRAY[t.number] ELSE '{}' END, v_now);
    IF p_note <> '' THEN
        PERFORM send_message(t.squad_id, scope.actor, scope.member_id, NULL, t.number, p_note);
    END IF;
    IF NOT p_accepted AND t.rejections = 3 THEN
        PERFORM tell_owner(t.squad_id, t.number, format('#%s was rejected %s times; look at it, or give it to '
            'somebody else.', t.number, t.rejections));
    END IF;
    RETURN changed_task(t, scope.member_id);
END $$;
""",
    "settle_tasks": r"""
-- An event of a task: its new state, whole, and what else there is to say.
CREATE OR REPLACE FUNCTION task_event(t tasks, p_kind text, p_more jsonb DEFAULT '{}')
RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('kind', p_kind, 'task', t.number,
        'attempt', CASE WHEN p_more ? 'outcome' OR p_kind = 'task.claimed' THEN t.attempt END,
        'data', task_state(t) || p_more)
$$;

-- Ends the attempt that holds a task. Answers what the event says of it; an empty object if nobody held it.
CREATE OR REPLACE FUNCTION end_attempt(t tasks, p_outcome text, p_reason text, p_now timestamptz)
RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF t.holder_id IS NULL THEN
        RETURN '{}';
    END IF;
    UPDATE attempts SET outcome = p_outcome, reason = p_reason, ended_at = p_now
    WHERE squad_id = t.squad_id AND task_number = t.number AND attempt = t.attempt;
    PERFORM leave_step(t.squad_id, t.number, p_now);
    RETURN jsonb_build_object('outcome', p_outcome);
END $$;

-- Frees tasks that were blocked, or leaves them blocked by dependencies that are not done.
CREATE OR REPLACE FUNCTION free_tasks(p_squad uuid, p_numbers int[], p_now timestamptz)
RETURNS SETOF tasks LANGUAGE sql AS $$
    WITH waiting AS MATERIALIZED (
        SELECT d.task_number FROM dependencies d JOIN tasks o ON o.squad_id = d.squad_id AND o.number = d.depends_on
        WHERE d.squad_id = p_squad AND d.task_number = ANY (p_numbers) AND o.status <> 'done'
    )
    UPDATE tasks SET
        status = CASE WHEN number IN (SELECT task_number FROM waiting) THEN 'blocked' ELSE 'todo' END,
        blocked_on = CASE WHEN number IN (SELECT task_number FROM waiting) THEN 'dependencies' END,
        blocked_by = NULL, updated_at = p_now
    WHERE squad_id = p_squad AND number = ANY (p_numbers)
    RETURNING *
$$;

-- Appends a change's events and those of what follows from it: tasks that have ended (`p_ended`) free their
-- dependents and the parents that waited for them, or leave dependents stuck, of which the owner is told.
-- Here and where tasks are created, claimed and completed, planning anew at each call would take longer than the work.
-- No plan goes through a whole table, which may be small and yet full of dead rows. A test freezes the plans.
CREATE OR REPLACE FUNCTION settle_tasks(
    p_squad uuid, p_actor jsonb, p_events jsonb, p_ended int[], p_now timestamptz
) RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_events jsonb := p_events;
    v_with_stuck jsonb;
    v_stuck int[];
BEGIN
    SELECT v_events || coalesce(jsonb_agg(task_event(f, 'task.unblocked') ORDER BY f.number), '[]') INTO v_events
    FROM free_tasks(p_squad, ARRAY(
        SELECT w.number FROM tasks w
        WHERE w.squad_id = p_squad AND w.status = 'blocked' AND w.blocked_on = 'dependencies'
            AND w.number = ANY (ARRAY(
                SELECT d.task_number FROM dependencies d WHERE d.squad_id = p_squad AND d.depends_on = ANY (p_ended)))
            AND NOT EXISTS (
                SELECT FROM dependencies d JOIN tasks o ON o.squad_id = d.squad_id AND o.number = d.depends_on
                WHERE d.squad_id = p_squad AND d.task_number = w.number AND o.status <> 'done')
        UNION
        SELECT w.number FROM tasks w
        WHERE w.squad_id = p_squad AND w.status = 'blocked' AND w.blocked_on = 'children'
            AND w.number = ANY (ARRAY(
                SELECT e.parent FROM tasks e WHERE e.squad_id = p_squad AND e.number = ANY (p_ended)))
            AND NOT EXISTS (
                SELECT FROM tasks o WHERE o.squad_id = p_squad AND o.parent = w.number
                    AND o.status NOT IN ('done', 'failed', 'cancelled'))
    ), p_now) f;

    WITH stuck AS (
        SELECT d.task_number, array_agg(o.number ORDER BY o.number) AS ended
        FROM tasks o JOIN dependencies d ON d.squad_id = o.squad_id AND d.depends_on = o.number
        WHERE o.squad_id = p_squad AND o.number = ANY (p_ended) AND o.status IN ('failed', 'cancelled')
        GROUP BY d.task_number
    )
    SELECT v_events || jsonb_agg(task_event(w, 'task.stuck', jsonb_build_object('ended', s.ended)) ORDER BY w.number),
        array_agg(w.number ORDER BY w.number)
    INTO v_with_stuck, v_stuck
    FROM stuck s JOIN tasks w ON w.squad_id = p_squad AND w.number = s.task_number
    WHERE w.status = 'blocked' AND w.blocked_on = 'dependencies';

    PERFORM append_events(p_squad, p_actor, coalesce(v_with_stuck, v_events));
    IF v_stuck IS NOT NULL THEN
        PERFORM tell_owner(p_squad, v_stuck[1], format(
            '%s: a dependency failed or was cancelled. Retry it, remove the dependency, or cancel with cascade.',
            CASE WHEN cardinality(v_stuck) = 1 THEN format('#%s is stuck', v_stuck[1])
                ELSE format('#%s and %s more are stuck', v_stuck[1], cardinality(v_stuck) - 1) END));
    END IF;
END $$;
""",
    "task_json": r"""
-- What a move on the board can change of a task: the new values, whole, for the data of its event.
CREATE OR REPLACE FUNCTION task_state(t tasks) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'status', t.status,
        'blocked_on', t.blocked_on,
        'blocked_by', t.blocked_by,
        'role', t.role,
        'assignee', (SELECT m.name FROM members m WHERE m.squad_id = t.squad_id AND m.id = t.assignee_id),
        'holder', (SELECT m.name FROM members m WHERE m.squad_id = t.squad_id AND m.id = t.holder_id),
        'attempt', t.attempt,
        'tries_left', t.tries_left,
        'rejections', t.rejections,
        'updated_at', t.updated_at
    )
$$;

-- All that is stored of a task.
CREATE OR REPLACE FUNCTION task_facts(t tasks) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT task_state(t) || jsonb_build_object(
        'squad', t.squad_id,
        'number', t.number,
        'title', t.title,
        'description', t.description,
        'input', t.input,
        'review', t.review,
        'lease_ends_at', t.lease_ends_at,
        'priority', t.priority,
        'depends_on', coalesce(
            (SELECT jsonb_agg(d.depends_on ORDER BY d.depends_on)
             FROM dependencies d WHERE d.squad_id = t.squad_id AND d.task_number = t.number), '[]'),
        'parent', t.parent,
        'result', t.result,
        'created_by', (SELECT m.name FROM members m WHERE m.squad_id = t.squad_id AND m.id = t.creator_id),
        'created_at', t.created_at
    )
$$;

-- A task as it goes over the wire (agentsquad/schemas/tasks.py, Task).
CREATE OR REPLACE FUNCTION task_json(t tasks) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT task_facts(t) || jsonb_build_object('why', why_task(t) -> 'sentence')
$$;

-- A task as the one who has just changed it gets it (TaskChanged).
CREATE OR REPLACE FUNCTION changed_task(t tasks, p_member uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT task_json(t) || jsonb_build_object('unread', unread_messages(t.squad_id, p_member))
$$;
""",
    "wait_for_children": r"""
-- Ends the live attempt, which uses no try; the task waits until its children have ended, however they end,
-- and is then free for the same member. At once, if they have.
CREATE OR REPLACE FUNCTION wait_for_children(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int, p_attempt int
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_ended jsonb;
    v_children int[];
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt, '{in_progress}');
    v_children := ARRAY(SELECT number FROM tasks WHERE squad_id = t.squad_id AND parent = t.number
        AND status NOT IN ('done', 'failed', 'cancelled'));
    IF waits_for(t.squad_id, v_children, t.number) THEN
        PERFORM raise_error('conflict', format('A child of #%s depends on #%s itself; both would wait for ever.',
            t.number, t.number), jsonb_build_object('task', t.number));
    END IF;
    v_now := clock_timestamp();
    v_ended := end_attempt(t, 'waiting', NULL, v_now);
    UPDATE tasks SET
        status = CASE WHEN v_children = '{}' THEN 'todo' ELSE 'blocked' END,
        blocked_on = CASE WHEN v_children = '{}' THEN NULL ELSE 'children' END,
        assignee_id = holder_id, holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    PERFORM append_events(t.squad_id, scope.actor, jsonb_build_array(task_event(t, 'task.waiting', v_ended)));
    RETURN changed_task(t, scope.member_id);
END $$;

-- Whether any of these tasks waits for that one, over any number of steps: by dependencies that are not done,
-- or as a parent that waits for its children.
CREATE OR REPLACE FUNCTION waits_for(p_squad uuid, p_from int[], p_to int) RETURNS boolean LANGUAGE sql STABLE AS $$
    WITH RECURSIVE reached(number) AS (
        SELECT unnest(p_from)
        UNION
        SELECT step.number FROM reached r CROSS JOIN LATERAL (
            SELECT d.depends_on AS number FROM dependencies d
            WHERE d.squad_id = p_squad AND d.task_number = r.number
            UNION ALL
            SELECT c.number FROM tasks c
            WHERE c.squad_id = p_squad AND c.parent = r.number AND c.status NOT IN ('done', 'failed', 'cancelled')
                AND EXISTS (SELECT FROM tasks p
                    WHERE p.squad_id = p_squad AND p.number = r.number AND p.blocked_on = 'children')
        ) step
    )
    SELECT EXISTS (SELECT FROM reached WHERE number = p_to)
$$;
""",
    "why_task": r"""
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
""",
}


def upgrade() -> None:
    """Install, in the place of the older ones."""
    _replace(_older(), FUNCTIONS)


def downgrade() -> None:
    """Put the older ones back."""
    _replace(FUNCTIONS, _older())


def _older() -> dict[str, str]:
    """The functions of the revision before, as that revision holds them."""
    functions: dict[str, str] = context.script.get_revision("2026_11_22_functions").module.FUNCTIONS
    return functions


def _replace(old: dict[str, str], new: dict[str, str]) -> None:
    for text in old.values():
        for name in re.findall(r"^CREATE OR REPLACE FUNCTION (\w+)\(", text, re.MULTILINE):
            op.execute(f"DROP FUNCTION {name}")
    op.execute("SET LOCAL check_function_bodies = off")  # they call one another
    for text in new.values():
        op.execute(text)
