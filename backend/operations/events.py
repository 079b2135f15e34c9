"""The log: appending under the squad's lock, and reading on from a position."""

import json
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.statements import AnySelect
from backend.models import Event, Squad
from backend.operations.access import Actor, SquadRef, scope


class Change(TypedDict, total=False):
    """One event to append; the position, the time and the actor are given to it."""

    kind: str
    task: int | None
    attempt: int | None
    data: dict[str, Any]


async def append(session: AsyncSession, squad_id: UUID, actor: dict[str, str | None], changes: list[Change]) -> int:
    """Append events in one round trip, under the squad's lock. Answers the last position."""
    last = await session.scalar(
        text("SELECT append_events(:squad, CAST(:actor AS jsonb), CAST(:events AS jsonb))"),
        {"squad": squad_id, "actor": dumps(actor), "events": dumps(changes)},
    )
    return int(last)


def dumps(value: object) -> str:
    """JSON text for PostgreSQL, with ids and times as text."""
    return json.dumps(value, default=str, ensure_ascii=False, allow_nan=False)


def after(actor: Actor, squad: SquadRef, position: int, limit: int) -> AnySelect:
    """The events behind a position, in order, and the position to read on after."""
    item = (
        select(Event.position, Event.kind, Event.at, Event.actor, Event.task, Event.attempt, Event.data)
        .where(Event.squad_id == Squad.id, Event.position > position)
        .order_by(Event.position)
        .limit(limit)
        .correlate(Squad)
        .lateral("item")
    )
    page = (
        select(
            func.coalesce(func.json_agg(item.table_valued()), func.json_build_array()).label("items"),
            func.coalesce(func.max(item.c.position), position).label("last"),
        )
        .select_from(item)
        .lateral("page")
    )
    return select(page.c["items"], page.c["last"]).select_from(Squad).where(Squad.id == scope(actor, squad))
