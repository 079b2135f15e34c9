"""From lines to rows: the file lies in a temporary table, and PostgreSQL makes rows of it, noun by noun.

JSON stays PostgreSQL's own from one end to the other, so no number and no text of it changes on the way.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core import bulk
from backend.core.jsons import dumps
from backend.models.base import new_id
from backend.operations.imports.reading import Reading, Record

_LINES: Final = "CREATE TEMPORARY TABLE import_lines (line int, kind text, content jsonb) ON COMMIT DROP"
_OF: Final = "FROM import_lines i CROSS JOIN LATERAL jsonb_to_record(i.content -> 'row') AS r"
# Persons come in as external members: nobody's account becomes part of a squad unasked. The caller is the owner.
_MEMBERS: Final = f"""
INSERT INTO members (squad_id, id, name, kind, role, instructions, hosting, user_id, last_seen_at, paused_at,
    retired_at, created_at, updated_at)
SELECT :squad, CAST(CAST(:ids AS jsonb) ->> r.name AS uuid), r.name,
    CASE WHEN r.kind <> 'person' OR r.owner THEN r.kind ELSE 'external' END, r.role, r.instructions, r.hosting,
    CASE WHEN r.owner THEN CAST(:user AS uuid) END, r.last_seen_at, r.paused_at, r.retired_at, r.created_at,
    r.updated_at
{_OF}(name text, kind text, role text, instructions text, hosting jsonb, owner boolean, last_seen_at timestamptz,
    paused_at timestamptz, retired_at timestamptz, created_at timestamptz, updated_at timestamptz)
WHERE i.kind = 'member' ORDER BY i.line
"""
_TASKS: Final = f"""
INSERT INTO tasks (squad_id, number, title, description, input, role, assignee_id, priority, status, blocked_on,
    blocked_by, review, worker_id, rejections, parent, holder_id, attempt, tries_left, result, creator_id, created_at,
    updated_at)
SELECT :squad, r.number, r.title, r.description, coalesce(r.input, 'null'), r.role, assignee.id, r.priority, r.status,
    r.blocked_on, r.blocked_by, r.review, worker.id, r.rejections, r.parent, holder.id, r.attempt, r.tries_left,
    r.result, creator.id, r.created_at, r.updated_at
{_OF}(number int, title text, description text, input jsonb, role text, assignee text, priority int, status text,
    blocked_on text, blocked_by jsonb, review text, worker text, rejections int, parent int, holder text, attempt int,
    tries_left int, result jsonb, creator text, created_at timestamptz, updated_at timestamptz)
LEFT JOIN members assignee ON assignee.squad_id = :squad AND assignee.name = r.assignee
LEFT JOIN members worker ON worker.squad_id = :squad AND worker.name = r.worker
LEFT JOIN members holder ON holder.squad_id = :squad AND holder.name = r.holder
LEFT JOIN members creator ON creator.squad_id = :squad AND creator.name = r.creator
WHERE i.kind = 'task' ORDER BY i.line
"""
_DEPENDENCIES: Final = f"""
INSERT INTO dependencies (squad_id, task_number, depends_on)
SELECT :squad, r.task, r.depends_on {_OF}(task int, depends_on int) WHERE i.kind = 'dependency' ORDER BY i.line
"""
_ATTEMPTS: Final = f"""
INSERT INTO attempts (squad_id, task_number, attempt, kind, member_id, lease_seconds, paths, outcome, reason,
    started_at, ended_at)
SELECT :squad, r.task, r.attempt, r.kind, m.id, r.lease_seconds, r.paths, r.outcome, r.reason, r.started_at, r.ended_at
{_OF}(task int, attempt int, kind text, member text, lease_seconds int, paths text[], outcome text, reason text,
    started_at timestamptz, ended_at timestamptz)
JOIN members m ON m.squad_id = :squad AND m.name = r.member
WHERE i.kind = 'attempt' ORDER BY i.line
"""
_STEPS: Final = f"""
INSERT INTO steps (squad_id, task_number, number, attempt, member_id, kind, state, name, content, reserved_tokens,
    reserved_cost, input_tokens, output_tokens, cost, started_at, ended_at)
SELECT :squad, r.task, r.number, r.attempt, m.id, r.kind, r.state, r.name, r.content, r.reserved_tokens,
    r.reserved_cost, r.input_tokens, r.output_tokens, r.cost, r.started_at, r.ended_at
{_OF}(task int, number int, attempt int, member text, kind text, state text, name text, content jsonb,
    reserved_tokens bigint, reserved_cost numeric, input_tokens bigint, output_tokens bigint, cost numeric,
    started_at timestamptz, ended_at timestamptz)
JOIN members m ON m.squad_id = :squad AND m.name = r.member
WHERE i.kind = 'step' ORDER BY i.line
"""
_BUDGETS: Final = f"""
INSERT INTO budgets (squad_id, task_number, max_tokens, max_cost, max_calls, tokens, cost, calls, unpriced, told_at,
    waived)
SELECT :squad, coalesce(r.task, 0), r.max_tokens, r.max_cost, r.max_calls, r.tokens, r.cost, r.calls, r.unpriced,
    r.told_at, r.waived
{_OF}(task int, max_tokens bigint, max_cost numeric, max_calls bigint, tokens bigint, cost numeric, calls bigint,
    unpriced bigint, told_at timestamptz, waived boolean)
WHERE i.kind = 'budget' ORDER BY i.line
"""
# The end of its attempt settles it, as everywhere.
_RESERVED: Final = """
INSERT INTO budgets (squad_id, task_number, reserved_calls, reserved_tokens, reserved_cost)
SELECT :squad, b.number, count(*), sum(s.reserved_tokens), sum(coalesce(s.reserved_cost, 0))
FROM steps s CROSS JOIN LATERAL unnest(budgets_of(s.squad_id, s.task_number)) AS b(number)
WHERE s.squad_id = :squad AND s.state = 'started' AND s.kind IN ('answer', 'summary')
GROUP BY b.number
ON CONFLICT (squad_id, task_number) DO UPDATE SET reserved_calls = excluded.reserved_calls,
    reserved_tokens = excluded.reserved_tokens, reserved_cost = excluded.reserved_cost
"""
_MESSAGES: Final = f"""
INSERT INTO messages (squad_id, position, sender_id, member_id, task_number, body, sent_at)
SELECT :squad, r.position, sender.id, receiver.id, r.task, r.body, r.sent_at
{_OF}("position" bigint, sender text, "to" text, task int, body text, sent_at timestamptz)
LEFT JOIN members sender ON sender.squad_id = :squad AND sender.name = r.sender
LEFT JOIN members receiver ON receiver.squad_id = :squad AND receiver.name = r."to"
WHERE i.kind = 'message' ORDER BY i.line
"""
_RECIPIENTS: Final = f"""
INSERT INTO recipients (squad_id, member_id, position, read_at, acknowledged_at)
SELECT :squad, m.id, r.position, r.read_at, r.acknowledged_at
{_OF}("position" bigint, member text, read_at timestamptz, acknowledged_at timestamptz)
JOIN members m ON m.squad_id = :squad AND m.name = r.member
WHERE i.kind = 'recipient' ORDER BY i.line
"""
_EVENTS: Final = f"""
INSERT INTO events (squad_id, position, kind, at, actor, task, attempt, data)
SELECT :squad, r.position, r.kind, r.at,
    jsonb_build_object('member', r.actor -> 'member', 'user', r.actor -> 'user'), r.task, r.attempt, r.data
{_OF}("position" bigint, kind text, at timestamptz, actor jsonb, task int, attempt int, data jsonb)
WHERE i.kind = 'event' ORDER BY i.line
"""
_ROWS: Final = (
    _TASKS, _DEPENDENCIES, _ATTEMPTS, _STEPS, _BUDGETS, _RESERVED, _MESSAGES, _RECIPIENTS, _EVENTS
)  # fmt: skip


async def lay_out(session: AsyncSession, reading: Reading) -> None:
    """Read the file into a temporary table.

    Raises:
        Invalid: a line is wrong.
    """
    await session.execute(text(_LINES))
    driver = await bulk.driver(session)
    await driver.copy_records_to_table("import_lines", columns=["line", "kind", "content"], records=_records(reading))
    await session.execute(text("ANALYZE import_lines"))


async def make_rows(session: AsyncSession, squad_id: UUID, user_id: UUID, reading: Reading) -> None:
    """Make the rows of a squad that has none yet."""
    ids = dumps({name: new_id() for name in reading.known.members})
    await session.execute(text(_MEMBERS), {"squad": squad_id, "ids": ids, "user": user_id})
    for statement in _ROWS:
        await session.execute(text(statement), {"squad": squad_id})


async def _records(reading: Reading) -> AsyncIterator[Record]:
    while batch := await asyncio.to_thread(reading.batch):
        for record in batch:
            yield record
