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
