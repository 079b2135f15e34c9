-- A message of the server's to the squad's owner, in the task's thread.
CREATE OR REPLACE FUNCTION tell_owner(p_squad uuid, p_task int, p_body text) RETURNS void LANGUAGE sql AS $$
    SELECT send_message(p_squad, '{"member": null, "user": null}', NULL, m.id, p_task, p_body)
    FROM squads s JOIN members m ON m.squad_id = s.id AND m.user_id = s.owner_id AND m.retired_at IS NULL
    WHERE s.id = p_squad
$$;
