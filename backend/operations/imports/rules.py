"""What is true of every squad that only operations have touched, asked of one that came as a file.

Constraints hold for each row; these are about rows together, and about the log. Each answers the first number that
breaks it.
"""

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.operations.imports.reading import Reading, refuse

_UNDONE: Final = """EXISTS (
    SELECT FROM dependencies d JOIN tasks o ON o.squad_id = d.squad_id AND o.number = d.depends_on
    WHERE d.squad_id = t.squad_id AND d.task_number = t.number AND o.status <> 'done')"""
_UNFINISHED: Final = """EXISTS (
    SELECT FROM tasks o WHERE o.squad_id = t.squad_id AND o.parent = t.number
    AND o.status NOT IN ('done', 'failed', 'cancelled'))"""
_LIVE: Final = """EXISTS (
    SELECT FROM attempts a WHERE a.squad_id = t.squad_id AND a.task_number = t.number AND a.attempt = t.attempt
    AND a.member_id = t.holder_id AND a.ended_at IS NULL
    AND a.kind = CASE t.status WHEN 'in_review' THEN 'review' ELSE 'work' END)"""
_RETIRED: Final = """EXISTS (
    SELECT FROM members m WHERE m.squad_id = t.squad_id AND m.retired_at IS NOT NULL
    AND m.id IN (t.assignee_id, t.holder_id))"""
_ATTEMPTS: Final = """(
    SELECT count(*) = t.attempt AND coalesce(max(a.attempt), 0) = t.attempt
        AND count(*) FILTER (WHERE a.ended_at IS NULL) = (t.holder_id IS NOT NULL)::int
    FROM attempts a WHERE a.squad_id = t.squad_id AND a.task_number = t.number)"""
# The last value that the log tells of each field; of members' names, which are those of their time, see names.py.
_TOLD: Final = """(
    SELECT jsonb_object_agg(f.key, f.value) = task_facts(t) - '{squad,lease_ends_at,assignee,holder,created_by}'::text[]
    FROM (
        SELECT DISTINCT ON (v.key) v.key, v.value
        FROM events e CROSS JOIN LATERAL jsonb_each(e.data) v
        WHERE e.squad_id = t.squad_id AND e.task = t.number AND e.kind LIKE 'task.%'
            AND v.key <> ALL ('{squad,assignee,holder,created_by,kind,lease_seconds,paths,outcome,reason,ended}')
        ORDER BY v.key, e.position DESC) f)"""
_ENDED: Final = """EXISTS (
    SELECT FROM events e WHERE e.squad_id = a.squad_id AND e.task = a.task_number AND e.attempt = a.attempt
    AND e.kind LIKE 'task.%' AND e.data ->> 'outcome' = a.outcome AND e.data ->> 'reason' IS NOT DISTINCT FROM a.reason
    AND CAST(e.data ->> 'updated_at' AS timestamptz) = a.ended_at)"""
_BEGUN: Final = """EXISTS (
    SELECT FROM events e WHERE e.squad_id = a.squad_id AND e.task = a.task_number AND e.attempt = a.attempt
    AND CAST(e.data ->> 'updated_at' AS timestamptz) = a.started_at
    AND (e.kind = 'task.claimed' AND e.data ->> 'kind' = a.kind OR e.kind = 'task.completed' AND a.kind = 'work')
    AND CAST(e.data ->> 'lease_seconds' AS int) IS NOT DISTINCT FROM a.lease_seconds
    AND coalesce(e.data -> 'paths', '[]') = to_jsonb(a.paths))"""
_SENT: Final = """
SELECT coalesce(e.position, w.position)
FROM (SELECT * FROM events WHERE squad_id = :squad AND kind = 'message.sent') e
FULL JOIN (SELECT * FROM messages WHERE squad_id = :squad) w ON w.position = e.position
LEFT JOIN (SELECT position, count(*) AS times FROM recipients WHERE squad_id = :squad GROUP BY position) r
    ON r.position = w.position
WHERE NOT coalesce(w.body = e.data ->> 'body' AND w.sent_at = e.at AND w.task_number IS NOT DISTINCT FROM e.task
    AND (w.sender_id IS NULL) = (e.data ->> 'sender' IS NULL) AND (w.member_id IS NULL) = (e.data ->> 'to' IS NULL)
    AND jsonb_array_length(e.data -> 'recipients') = coalesce(r.times, 0), false)"""
_ACKNOWLEDGED: Final = """
SELECT r.position FROM recipients r LEFT JOIN (
    SELECT CAST(data ->> 'message' AS bigint) AS position, CAST(data ->> 'acknowledged_at' AS timestamptz) AS at
    FROM events WHERE squad_id = :squad AND kind = 'message.acknowledged'
) e ON e.position = r.position AND e.at = r.acknowledged_at
WHERE r.squad_id = :squad AND r.acknowledged_at IS NOT NULL AND e.position IS NULL"""


@dataclass(frozen=True)
class Rule:
    """One of them.

    Args:
        sentence: what is wrong where it doesn't hold.
        of: what the number is: a task's, or a position of the log.
        query: the numbers for which it doesn't hold.
    """

    sentence: str
    of: Literal["task", "event"]
    query: str


def _tasks(sentence: str, wrong: str) -> Rule:
    return Rule(f"#{{}} {sentence}", "task", f"SELECT t.number FROM tasks t WHERE t.squad_id = :squad AND {wrong}")  # noqa: S608  (constants)


RULES: Final = (
    _tasks(
        "depends on what is not done, and is not blocked",
        f"t.status IN ('todo', 'in_progress', 'in_review', 'done') AND {_UNDONE}",
    ),
    _tasks("is blocked by dependencies that are all done", f"t.blocked_on = 'dependencies' AND NOT {_UNDONE}"),
    _tasks("waits for children that have all ended", f"t.blocked_on = 'children' AND NOT {_UNFINISHED}"),
    _tasks("is in progress, and nobody holds it", "t.status = 'in_progress' AND t.holder_id IS NULL"),
    _tasks("is held without an attempt that is live", f"t.holder_id IS NOT NULL AND NOT {_LIVE}"),
    _tasks("has other attempts than it says", f"NOT {_ATTEMPTS}"),
    _tasks("was completed by nobody", "t.status IN ('in_review', 'done') AND t.worker_id IS NULL"),
    _tasks("is assigned to a member who is retired, or held by one", f"t.status <> 'done' AND {_RETIRED}"),
    _tasks("is not what the log tells", f"NOT coalesce({_TOLD}, false)"),
    Rule(
        "An attempt at #{} is not what the log tells",
        "task",
        f"SELECT a.task_number FROM attempts a WHERE a.squad_id = :squad AND NOT ({_BEGUN} "  # noqa: S608  (constants)
        f"AND (a.ended_at IS NULL OR {_ENDED}))",
    ),
    Rule("The message at position {} is not what the log tells", "event", _SENT),
    Rule("The message at position {} was acknowledged, and the log doesn't tell so", "event", _ACKNOWLEDGED),
)


async def hold(session: AsyncSession, squad_id: UUID, reading: Reading) -> None:
    """Ask all of them of a squad that is loaded.

    Raises:
        Invalid: one doesn't hold; with the line of the task or of the event.
    """
    for rule in RULES:
        number = await session.scalar(text(f"{rule.query} LIMIT 1"), {"squad": squad_id})
        if number is not None:
            line = reading.first[rule.of] + number - 1
            raise refuse(line, f"{rule.sentence.format(number)}.")
