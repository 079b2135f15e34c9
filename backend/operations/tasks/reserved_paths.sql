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
