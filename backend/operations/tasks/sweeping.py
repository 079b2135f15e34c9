"""Taking back what is over: the server's own verbs on the board."""

from typing import Final
from uuid import UUID

from sqlalchemy import func, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.statements import AnySelect
from backend.models import Squad, Task
from backend.operations.functions import call

LAPSE_WAIT: Final = "500ms"


async def lapse(session: AsyncSession, squad_id: UUID) -> int:
    """Take back what is over in one squad, unless somebody is writing to it. Answers how many."""
    # Whoever holds only a task's row is no server; other squads don't wait for it as long as a request would.
    impatient = func.set_config("lock_timeout", LAPSE_WAIT, true())
    free = select(Squad.id, impatient).where(Squad.id == squad_id).with_for_update(key_share=True, skip_locked=True)
    if await session.scalar(free) is None:
        return 0
    return int(await call(session, "lapse_tasks(:squad)", squad=squad_id))


def over(seconds: float = 1e9) -> AnySelect:
    """The squads in which a lease is over since so many seconds at most. Asked by the server itself, for nobody."""
    now = func.statement_timestamp()
    ago = func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    return select(Task.squad_id).where(Task.lease_ends_at <= now, Task.lease_ends_at > now - ago).distinct()
