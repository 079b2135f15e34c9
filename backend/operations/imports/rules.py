"""What is true of every squad that only operations have touched, asked of one that came as a file.

Constraints hold for each row; these are about rows together, and about the log. Each answers the first number that
breaks it.
"""

from collections.abc import Mapping
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
        WHERE e.squad_id = t.squad_id AND e.task = t.number AND e.kind LIKE 'task.%' AND e.kind <> 'task.budget_set'
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
# The last that the log tells of each step; that one under way has ended with its attempt is told of no step.
_STEPS: Final = """
SELECT coalesce(s.task_number, told.task)
FROM (
    SELECT task, CAST(data ->> 'step' AS int) AS number, max(position) AS position
    FROM events WHERE squad_id = :squad AND kind IN ('step.started', 'step.ended') GROUP BY 1, 2
) told
FULL JOIN (SELECT * FROM steps WHERE squad_id = :squad) s ON (s.task_number, s.number) = (told.task, told.number)
LEFT JOIN events e ON e.squad_id = :squad AND e.position = told.position
LEFT JOIN attempts a ON (a.squad_id, a.task_number, a.attempt) = (s.squad_id, s.task_number, s.attempt)
WHERE NOT coalesce(a.member_id = s.member_id AND e.attempt = s.attempt AND (
    e.data - 'member' = step_json(s) - 'member' AND (s.state <> 'started' OR a.ended_at IS NULL)
    OR e.data ->> 'state' = 'started' AND s.state = 'unknown' AND s.ended_at = a.ended_at
    AND e.data - '{member,state,ended_at}'::text[] = step_json(s) - '{member,state,ended_at}'::text[]), false)"""
# A task's budget is what its own steps have cost, and what the budgets of its parts say; the squad's is all steps'.
_SPENT: Final = """
SELECT t.number
FROM (SELECT number, parent FROM tasks WHERE squad_id = :squad UNION ALL SELECT 0, NULL) t
LEFT JOIN budgets b ON b.squad_id = :squad AND b.task_number = t.number
LEFT JOIN (
    SELECT coalesce(task_number, 0) AS number, count(*) AS calls,
        sum(coalesce(input_tokens + coalesce(output_tokens, 0), reserved_tokens)) AS tokens,
        sum(coalesce(cost, CASE WHEN input_tokens IS NULL THEN reserved_cost END, 0)) AS cost,
        count(*) FILTER (WHERE cost IS NULL AND (input_tokens IS NOT NULL OR reserved_cost IS NULL)) AS unpriced
    FROM steps WHERE squad_id = :squad AND kind IN ('answer', 'summary') AND state <> 'started'
    GROUP BY GROUPING SETS ((task_number), ())
) own ON own.number = t.number
LEFT JOIN (
    SELECT c.parent AS number, sum(b.calls) AS calls, sum(b.tokens) AS tokens, sum(b.cost) AS cost,
        sum(b.unpriced) AS unpriced
    FROM tasks c JOIN budgets b ON (b.squad_id, b.task_number) = (c.squad_id, c.number)
    WHERE c.squad_id = :squad AND c.parent IS NOT NULL GROUP BY c.parent
) parts ON parts.number = t.number
WHERE (coalesce(b.calls, 0), coalesce(b.tokens, 0), coalesce(b.cost, 0), coalesce(b.unpriced, 0)) <> (
    coalesce(own.calls, 0) + coalesce(parts.calls, 0), coalesce(own.tokens, 0) + coalesce(parts.tokens, 0),
    coalesce(own.cost, 0) + coalesce(parts.cost, 0), coalesce(own.unpriced, 0) + coalesce(parts.unpriced, 0))"""
_LIMITS: Final = """
SELECT coalesce(b.task_number, told.number)
FROM (
    SELECT DISTINCT ON (coalesce(task, 0)) coalesce(task, 0) AS number, data
    FROM events WHERE squad_id = :squad AND kind IN ('squad.budget_set', 'task.budget_set')
    ORDER BY coalesce(task, 0), position DESC
) told
FULL JOIN (SELECT * FROM budgets WHERE squad_id = :squad) b ON b.task_number = told.number
WHERE (b.max_tokens, b.max_cost, b.max_calls) IS DISTINCT FROM (CAST(told.data ->> 'tokens' AS bigint),
    CAST(told.data ->> 'cost' AS numeric), CAST(told.data ->> 'calls' AS bigint))"""
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
        of: what the number is: a task's, a budget's (0 is the squad's), or a position of the log.
        query: the numbers for which it doesn't hold.
    """

    sentence: str
    of: Literal["task", "budget", "event"]
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
    Rule("A step of #{} is not what the log tells", "task", _STEPS),
    Rule("What {} has spent is not what its steps have cost", "budget", _SPENT),
    Rule("The budget of {} is not what the log tells", "budget", _LIMITS),
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
            raise refuse(*_place(rule, number, reading.first))


def _place(rule: Rule, number: int, first: Mapping[str, int]) -> tuple[int, str]:
    """The line, and what is said of it."""
    if rule.of == "budget":
        line = first["task"] + number - 1 if number else first.get("budget", first["event"])
        return line, f"{rule.sentence.format(f'#{number}' if number else 'the squad')}."
    return first[rule.of] + number - 1, f"{rule.sentence.format(number)}."
