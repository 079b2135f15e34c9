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
