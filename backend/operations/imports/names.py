"""Whether the members of a task are those of whom the log tells, by the names that they had then."""

from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.operations.imports.reading import Reading, refuse

# Where the last name that the log tells is not the one that the member has now: it is another one, or was renamed.
_OTHERS: Final = """
SELECT t.number, told.position, told.name, now.name AS now
FROM tasks t
CROSS JOIN LATERAL (
    (SELECT DISTINCT ON (v.key) v.key, v.value #>> '{}' AS name, e.position
    FROM events e CROSS JOIN LATERAL jsonb_each(e.data) v
    WHERE e.squad_id = t.squad_id AND e.task = t.number AND e.kind LIKE 'task.%'
        AND v.key IN ('assignee', 'holder', 'created_by')
    ORDER BY v.key, e.position DESC)
    UNION ALL
    (SELECT 'worker', max(e.actor ->> 'member'), coalesce(max(e.position), 0)
    FROM events e WHERE e.squad_id = t.squad_id AND e.position = (
        SELECT max(c.position) FROM events c
        WHERE c.squad_id = t.squad_id AND c.task = t.number AND c.kind = 'task.completed'))
) told
LEFT JOIN members now ON now.squad_id = t.squad_id AND now.id = CASE told.key
    WHEN 'assignee' THEN t.assignee_id WHEN 'holder' THEN t.holder_id WHEN 'worker' THEN t.worker_id
    ELSE t.creator_id END
WHERE t.squad_id = :squad AND now.name IS DISTINCT FROM told.name
ORDER BY told.position DESC
"""
# Asked of the database one after another, since a log may tell of any number.
_RENAMES: Final = """
SELECT e.position, e.data ->> 'before' AS before, e.data ->> 'member' AS now
FROM events e
WHERE e.squad_id = :squad AND e.kind = 'member.updated' AND e.data ->> 'before' <> e.data ->> 'member'
ORDER BY e.position DESC
"""


async def hold(session: AsyncSession, squad_id: UUID, reading: Reading) -> None:
    """Follow each name through the renames after it.

    Raises:
        Invalid: it leads to somebody else.
    """
    renames = await session.stream(text(_RENAMES), {"squad": squad_id})
    rename = await renames.fetchone()
    last: dict[str | None, str] = {}  # what a name of that time has become
    async for task in await session.stream(text(_OTHERS), {"squad": squad_id}):
        while rename is not None and rename.position > task.position:
            last[rename.before] = last.pop(rename.now, rename.now)
            rename = await renames.fetchone()
        if last.get(task.name, task.name) != task.now:
            line = reading.first["task"] + task.number - 1
            raise refuse(line, f"#{task.number} names another member than the log tells.")
