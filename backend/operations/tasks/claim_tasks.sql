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
