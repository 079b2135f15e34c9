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
