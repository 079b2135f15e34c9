"""The board's functions, as they stood on this day; the current ones lie beside their operations."""

from alembic import op

revision = "2026_11_22_functions"
down_revision = "2026_11_22_board"
branch_labels = None
depends_on = None

FUNCTIONS = {
    "raise_error": """
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
    "enter_squad": """
-- The first statement of every operation that writes: finds the squad among those that the actor is
-- part of, takes its row lock, and then, on a fresh snapshot, says as whom the actor acts. The lock comes
-- first, so that no decision is made on a stale picture. Only what writes no event does without it.
CREATE OR REPLACE FUNCTION enter_squad(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_lock boolean DEFAULT true,
    OUT squad_id uuid, OUT owner_id uuid, OUT lease_seconds int, OUT max_tries int,
    OUT member_id uuid, OUT member_name text, OUT member_kind text, OUT role text, OUT actor jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_as text := p_as;
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

    SELECT s.owner_id, s.lease_seconds, s.max_tries INTO owner_id, lease_seconds, max_tries
    FROM squads s WHERE s.id = enter_squad.squad_id;

    SELECT m.id, m.name, m.kind, m.role INTO member_id, member_name, member_kind, role
    FROM members m
    WHERE m.squad_id = enter_squad.squad_id AND m.retired_at IS NULL
        AND (m.user_id = p_user OR (m.squad_id = p_home AND m.id = p_member));

    IF member_id IS NULL THEN
        PERFORM raise_error('not_found', 'Squad not found');
    END IF;

    IF v_as IS NOT NULL AND v_as <> member_name THEN
        IF p_user IS NULL OR p_user <> owner_id THEN
            PERFORM raise_error('forbidden', 'Only the squad''s owner may act as another member.');
        END IF;
        SELECT m.id, m.name, m.kind, m.role INTO member_id, member_name, member_kind, role
        FROM members m
        WHERE m.squad_id = enter_squad.squad_id AND m.name = v_as AND m.retired_at IS NULL;
        IF NOT FOUND THEN
            PERFORM raise_error('not_found', 'Member not found');
        END IF;
        IF member_kind <> 'external' THEN
            PERFORM raise_error('forbidden', format('%s is not an external member; nobody else acts for it.', v_as));
        END IF;
    END IF;

    actor := jsonb_build_object(
        'member', member_name, 'user', (SELECT u.email FROM users u WHERE u.id = p_user)
    );
END $$;
""",
    "append_events": """
-- Appends events to a squad's log, in the array's order, at the positions that follow the last one.
-- Only under the squad's lock: then the order of positions is the order of commits, without a gap.
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
    RETURN v_last + jsonb_array_length(p_events);
END $$;
""",
    "task_json": """
-- A task as it goes over the wire (agentsquad/schemas/tasks.py, Task).
CREATE OR REPLACE FUNCTION task_json(t tasks) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'squad', t.squad_id,
        'number', t.number,
        'title', t.title,
        'description', t.description,
        'input', t.input,
        'status', t.status,
        'blocked_on', t.blocked_on,
        'role', t.role,
        'assignee', (SELECT m.name FROM members m WHERE m.squad_id = t.squad_id AND m.id = t.assignee_id),
        'holder', (SELECT m.name FROM members m WHERE m.squad_id = t.squad_id AND m.id = t.holder_id),
        'attempt', t.attempt,
        'lease_ends_at', t.lease_ends_at,
        'tries_left', t.tries_left,
        'priority', t.priority,
        'depends_on', coalesce(
            (SELECT jsonb_agg(d.depends_on ORDER BY d.depends_on)
             FROM dependencies d WHERE d.squad_id = t.squad_id AND d.task_number = t.number), '[]'),
        'result', t.result,
        'created_by', (SELECT m.name FROM members m WHERE m.squad_id = t.squad_id AND m.id = t.creator_id),
        'created_at', t.created_at,
        'updated_at', t.updated_at
    )
$$;
""",
    "create_tasks": """
-- Makes a batch of tasks with their edges and their events, under the squad's lock. Answers the tasks.
-- The numbers are given by the caller, who has checked names, numbers and cycles.
CREATE OR REPLACE FUNCTION create_tasks(
    p_squad uuid, p_creator uuid, p_actor jsonb, p_tries int, p_tasks jsonb, p_edges jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_tasks jsonb;
BEGIN
    INSERT INTO tasks (squad_id, number, title, description, input, role, assignee_id, priority,
        status, blocked_on, tries_left, creator_id, created_at, updated_at)
    SELECT p_squad, r.number, r.title, r.description, r.input, r.role, r.assignee_id, r.priority,
        r.status, r.blocked_on, p_tries, p_creator, v_now, v_now
    FROM jsonb_to_recordset(p_tasks) AS r(number int, title text, description text, input jsonb, role text,
        assignee_id uuid, priority int, status text, blocked_on text)
    ORDER BY r.number;
    INSERT INTO dependencies (squad_id, task_number, depends_on)
    SELECT p_squad, (e ->> 0)::int, (e ->> 1)::int FROM jsonb_array_elements(p_edges) e
    ORDER BY 2, 3;
    SELECT jsonb_agg(task_json(t) ORDER BY t.number) INTO v_tasks
    FROM tasks t
    WHERE t.squad_id = p_squad
        AND t.number = ANY (ARRAY(SELECT (r ->> 'number')::int FROM jsonb_array_elements(p_tasks) r));
    PERFORM append_events(p_squad, p_actor, (
        SELECT jsonb_agg(jsonb_build_object('kind', 'task.created', 'task', t -> 'number', 'data', t) ORDER BY o)
        FROM jsonb_array_elements(v_tasks) WITH ORDINALITY AS e(t, o)));
    RETURN v_tasks;
END $$;
""",
    "lapse_tasks": """
-- Takes back, under the squad's lock, every attempt whose lease is over: its task is free again, or
-- failed when no try is left.
CREATE OR REPLACE FUNCTION lapse_tasks(p_squad uuid) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_events jsonb;
BEGIN
    WITH over AS MATERIALIZED (
        SELECT number FROM tasks
        WHERE squad_id = p_squad AND lease_ends_at IS NOT NULL AND lease_ends_at <= v_now
        ORDER BY number FOR NO KEY UPDATE
    ), lapsed AS (
        UPDATE tasks SET
            status = CASE WHEN tries_left <= 1 THEN 'failed' ELSE 'todo' END,
            tries_left = greatest(tries_left - 1, 0),
            holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
        WHERE squad_id = p_squad AND number = ANY (ARRAY(SELECT number FROM over))
        RETURNING number, attempt, status, tries_left
    ), ended AS (
        UPDATE attempts a SET outcome = 'lapsed', ended_at = v_now
        FROM lapsed l
        WHERE a.squad_id = p_squad AND a.task_number = l.number AND a.attempt = l.attempt
    )
    SELECT jsonb_agg(jsonb_build_object(
        'kind', 'task.lapsed', 'task', number, 'attempt', attempt,
        'data', jsonb_build_object('status', status, 'holder', NULL, 'tries_left', tries_left, 'updated_at', v_now)
    ) ORDER BY number) INTO v_events FROM lapsed;
    IF v_events IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM append_events(p_squad, '{"member": null, "user": null}', v_events);
    RETURN jsonb_array_length(v_events);
END $$;
""",
    "see_member": """
-- Notes that a member was there, to five seconds: a poll that finds nothing to do writes nothing.
CREATE OR REPLACE FUNCTION see_member(p_squad uuid, p_member uuid) RETURNS void LANGUAGE sql AS $$
    UPDATE members SET last_seen_at = clock_timestamp()
    WHERE squad_id = p_squad AND id = p_member
        AND (last_seen_at IS NULL OR last_seen_at < clock_timestamp() - interval '5 seconds')
$$;
""",
    "claim_task": """
-- Claims a task by its number, or the next one: assigned to the member, else of its role, else of no
-- role; by priority, then by age. Answers NULL when nothing is there to claim.
-- Three ranges in turn, each on its own partial index, and an update by number instead of a join: so the
-- plan stays flat at a million tasks, also as a generic one.
CREATE OR REPLACE FUNCTION claim_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_number int;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    PERFORM lapse_tasks(scope.squad_id);
    v_now := clock_timestamp();
    PERFORM see_member(scope.squad_id, scope.member_id);

    IF p_number IS NOT NULL THEN
        SELECT * INTO t FROM tasks WHERE squad_id = scope.squad_id AND number = p_number;
        IF NOT FOUND THEN
            PERFORM raise_error('not_found', 'Task not found');
        ELSIF t.status <> 'todo' THEN
            PERFORM raise_error('wrong_status', format('#%s is %s; only a task in todo can be claimed.',
                p_number, replace(t.status, '_', ' ')), jsonb_build_object('task', p_number, 'status', t.status));
        ELSIF t.assignee_id <> scope.member_id THEN
            PERFORM raise_error('forbidden', format('#%s is assigned to %s.', p_number,
                (SELECT name FROM members WHERE squad_id = scope.squad_id AND id = t.assignee_id)));
        ELSIF t.assignee_id IS NULL AND t.role NOT IN ('', scope.role) THEN
            PERFORM raise_error('forbidden', format('#%s is for the role %s.', p_number, t.role));
        END IF;
        v_number := p_number;
    ELSE
        WITH next AS MATERIALIZED (
            SELECT number FROM tasks
            WHERE squad_id = scope.squad_id AND status = 'todo' AND assignee_id IS NOT NULL
                AND assignee_id = scope.member_id
            ORDER BY priority, number FOR NO KEY UPDATE SKIP LOCKED LIMIT 1
        ) SELECT number INTO v_number FROM next;
        IF v_number IS NULL AND scope.role <> '' THEN
            WITH next AS MATERIALIZED (
                SELECT number FROM tasks
                WHERE squad_id = scope.squad_id AND status = 'todo' AND assignee_id IS NULL
                    AND role = scope.role
                ORDER BY priority, number FOR NO KEY UPDATE SKIP LOCKED LIMIT 1
            ) SELECT number INTO v_number FROM next;
        END IF;
        IF v_number IS NULL THEN
            WITH next AS MATERIALIZED (
                SELECT number FROM tasks
                WHERE squad_id = scope.squad_id AND status = 'todo' AND assignee_id IS NULL AND role = ''
                ORDER BY priority, number FOR NO KEY UPDATE SKIP LOCKED LIMIT 1
            ) SELECT number INTO v_number FROM next;
        END IF;
        IF v_number IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;

    UPDATE tasks SET
        status = 'in_progress', holder_id = scope.member_id, attempt = attempt + 1, updated_at = v_now,
        lease_ends_at = CASE WHEN scope.member_kind <> 'person'
            THEN v_now + make_interval(secs => scope.lease_seconds) END
    WHERE squad_id = scope.squad_id AND number = v_number
    RETURNING * INTO t;
    INSERT INTO attempts (squad_id, task_number, attempt, member_id, started_at)
    VALUES (t.squad_id, t.number, t.attempt, t.holder_id, v_now);
    PERFORM append_events(t.squad_id, scope.actor, jsonb_build_array(jsonb_build_object(
        'kind', 'task.claimed', 'task', t.number, 'attempt', t.attempt,
        'data', jsonb_build_object(
            'status', t.status, 'holder', scope.member_name, 'attempt', t.attempt, 'updated_at', v_now))));
    RETURN jsonb_build_object(
        'claim', format('%s/%s', t.number, t.attempt),
        'lease_seconds', CASE WHEN t.lease_ends_at IS NOT NULL THEN scope.lease_seconds END,
        'task', task_json(t),
        'dependencies', coalesce((
            SELECT jsonb_agg(jsonb_build_object(
                'number', o.number, 'title', o.title, 'role', o.role, 'attempt', o.attempt, 'result', o.result,
                'holder', (SELECT m.name FROM attempts a
                           JOIN members m ON m.squad_id = a.squad_id AND m.id = a.member_id
                           WHERE a.squad_id = o.squad_id AND a.task_number = o.number AND a.attempt = o.attempt)
            ) ORDER BY o.number)
            FROM dependencies d JOIN tasks o ON o.squad_id = d.squad_id AND o.number = d.depends_on
            WHERE d.squad_id = t.squad_id AND d.task_number = t.number), '[]'));
END $$;
""",
    "hold_task": """
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
""",
    "complete_task": """
-- Ends the live attempt with a result, and frees, in the same transaction, every task that waited for
-- this one last.
CREATE OR REPLACE FUNCTION complete_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_attempt int, p_result jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    v_freed jsonb;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt);
    v_now := clock_timestamp();
    UPDATE tasks SET status = 'done', result = p_result, holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    UPDATE attempts SET outcome = 'completed', ended_at = v_now
    WHERE squad_id = t.squad_id AND task_number = t.number AND attempt = t.attempt;
    WITH freed AS (
        UPDATE tasks w SET status = 'todo', blocked_on = NULL, updated_at = v_now
        WHERE w.squad_id = t.squad_id AND w.status = 'blocked' AND w.blocked_on = 'dependencies'
            AND w.number = ANY (ARRAY(
                SELECT d.task_number FROM dependencies d
                WHERE d.squad_id = t.squad_id AND d.depends_on = t.number))
            AND NOT EXISTS (
                SELECT FROM dependencies d JOIN tasks o ON o.squad_id = d.squad_id AND o.number = d.depends_on
                WHERE d.squad_id = t.squad_id AND d.task_number = w.number AND o.status <> 'done')
        RETURNING w.number
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'kind', 'task.unblocked', 'task', number,
        'data', jsonb_build_object('status', 'todo', 'blocked_on', NULL, 'updated_at', v_now)) ORDER BY number), '[]')
    INTO v_freed FROM freed;
    PERFORM append_events(t.squad_id, scope.actor, jsonb_build_array(jsonb_build_object(
        'kind', 'task.completed', 'task', t.number, 'attempt', t.attempt,
        'data', jsonb_build_object('status', t.status, 'holder', NULL, 'result', t.result, 'updated_at', v_now)
    )) || v_freed);
    RETURN task_json(t);
END $$;
""",
    "fail_task": """
-- Ends the live attempt without a result. With `retry` the task is free again while a try is left.
CREATE OR REPLACE FUNCTION fail_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text,
    p_number int, p_attempt int, p_reason text, p_retry boolean
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    v_now timestamptz;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt);
    v_now := clock_timestamp();
    UPDATE tasks SET
        status = CASE WHEN p_retry AND tries_left > 1 THEN 'todo' ELSE 'failed' END,
        tries_left = CASE WHEN p_retry THEN tries_left - 1 ELSE tries_left END,
        holder_id = NULL, lease_ends_at = NULL, updated_at = v_now
    WHERE squad_id = t.squad_id AND number = t.number
    RETURNING * INTO t;
    UPDATE attempts SET
        outcome = CASE WHEN t.status = 'todo' THEN 'retried' ELSE 'failed' END, reason = p_reason, ended_at = v_now
    WHERE squad_id = t.squad_id AND task_number = t.number AND attempt = t.attempt;
    PERFORM append_events(t.squad_id, scope.actor, jsonb_build_array(jsonb_build_object(
        'kind', 'task.failed', 'task', t.number, 'attempt', t.attempt,
        'data', jsonb_build_object('status', t.status, 'holder', NULL, 'tries_left', t.tries_left,
            'reason', p_reason, 'updated_at', v_now))));
    RETURN task_json(t);
END $$;
""",
    "heartbeat_task": """
-- Extends the lease of the live attempt. No event and no squad lock: it touches one row of the holder's.
CREATE OR REPLACE FUNCTION heartbeat_task(
    p_user uuid, p_member uuid, p_home uuid, p_as text, p_squad uuid, p_name text, p_number int, p_attempt int
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    scope record;
    t tasks;
BEGIN
    scope := enter_squad(p_user, p_member, p_home, p_as, p_squad, p_name, false);
    t := hold_task(scope.squad_id, scope.member_id, p_number, p_attempt);
    UPDATE tasks SET lease_ends_at = clock_timestamp() + make_interval(secs => scope.lease_seconds)
    WHERE squad_id = t.squad_id AND number = t.number AND lease_ends_at IS NOT NULL
    RETURNING * INTO t;
    PERFORM see_member(scope.squad_id, scope.member_id);
    RETURN jsonb_build_object('claim', format('%s/%s', p_number, p_attempt), 'lease_ends_at', t.lease_ends_at);
END $$;
""",
}


def upgrade() -> None:
    """Install."""
    for text in FUNCTIONS.values():
        op.execute(text)


def downgrade() -> None:
    """Remove."""
    for name in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {name}")
