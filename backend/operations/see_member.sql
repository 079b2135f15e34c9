-- Notes that a member was there, to five seconds: a poll that finds nothing to do writes nothing else.
CREATE OR REPLACE FUNCTION see_member(p_squad uuid, p_member uuid) RETURNS void LANGUAGE sql AS $$
    UPDATE members SET last_seen_at = clock_timestamp()
    WHERE squad_id = p_squad AND id = p_member
        AND (last_seen_at IS NULL OR last_seen_at < clock_timestamp() - interval '5 seconds')
$$;
