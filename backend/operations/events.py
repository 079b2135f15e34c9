"""The log: appending under the squad's lock, and reading on from a position."""

from collections.abc import Sequence
from typing import Any, TypedDict
from uuid import UUID

from sqlalchemy import BigInteger, Text, Uuid, and_, any_, cast, false, func, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.database import changed
from backend.core.jsons import dumps
from backend.core.statements import AnySelect, Query, chosen
from backend.models import Event, Squad
from backend.operations import documents
from backend.operations.access import Actor, SquadRef, scope

# After these, and after whatever leaves a task free, somebody may find something to claim.
FREEING = ("member.resumed", "member.updated", "squad.resumed", "squad.unarchived")
COLUMNS = (Event.position, Event.kind, Event.at, Event.actor, Event.task, Event.attempt, Event.data)


class Change(TypedDict, total=False):
    """One event to append; the position, the time and the actor are given to it."""

    kind: str
    task: int | None
    attempt: int | None
    data: dict[str, Any]


async def append(session: AsyncSession, squad_id: UUID, actor: dict[str, str | None], changes: Sequence[Change]) -> int:
    """Append events in one round trip, under the squad's lock. Answers the last position."""
    last = await session.scalar(
        text("SELECT append_events(:squad, CAST(:actor AS jsonb), CAST(:events AS jsonb))"),
        {"squad": squad_id, "actor": dumps(actor), "events": dumps(changes)},
    )
    changed(session, squad_id)
    return int(last)


@chosen
def after(*by: str) -> Query:
    """The events behind a position, in order, and the position to read on after.

    Args:
        by: what they are chosen by, of `task` and `kinds`. Each choice is a statement of its own, with its own plan.
    """

    def query(
        actor: Actor,
        squad: SquadRef,
        position: int,
        limit: int,
        task: int | None = None,
        kinds: list[str] | None = None,
    ) -> AnySelect:
        item = _behind(by, position, limit, task, kinds).correlate(Squad).lateral("item")
        page = (
            select(
                documents.array(item.table_valued()).label("items"),
                func.coalesce(func.max(item.c.position), position).label("last"),
            )
            .select_from(item)
            .lateral("page")
        )
        return select(page.c["items"], page.c["last"]).select_from(Squad).where(Squad.id == scope(actor, squad))

    return query


@chosen
def told(*by: str) -> Query:
    """`after` as rows, each event as the JSON text that followers get."""

    def query(
        actor: Actor,
        squad: SquadRef,
        position: int,
        limit: int,
        task: int | None = None,
        kinds: list[str] | None = None,
    ) -> AnySelect:
        item = _behind(by, position, limit, task, kinds).correlate(Squad).lateral("item")
        return _rows(item).select_from(Squad).join(item, Squad.id == Squad.id).where(Squad.id == scope(actor, squad))

    return query


def behind(squads: list[UUID], positions: list[int], limit: int) -> AnySelect:
    """What is behind one position in each of several squads. Asked by the server itself, which lets nobody read more.

    Args:
        squads: their ids.
        positions: for each the position that was read last.
        limit: how many events of a squad at most.
    """
    followed = (
        func.unnest(cast(squads, ARRAY(Uuid)), cast(positions, ARRAY(BigInteger)))
        .table_valued("squad_id", "position", name="followed")
        .render_derived()
    )
    item = (
        select(*COLUMNS)
        .where(Event.squad_id == followed.c.squad_id, Event.position > followed.c.position)
        .order_by(Event.position)
        .limit(limit)
        .correlate(followed)
        .lateral("item")
    )
    free = item.c.data["status"].astext == any_(array(["todo", "in_review"]))
    frees = or_(item.c.kind == any_(array(FREEING)), and_(item.c.kind != "task.claimed", func.coalesce(free, false())))
    return (
        _rows(item)
        .add_columns(followed.c.squad_id, frees.label("frees"))
        .select_from(followed)
        .join(item, text("true"))
    )


def last(actor: Actor, squad: SquadRef) -> AnySelect:
    """The squad's id and the position of its last event."""
    position = select(func.coalesce(func.max(Event.position), 0)).where(Event.squad_id == Squad.id).correlate(Squad)
    return select(Squad.id, position.scalar_subquery().label("position")).where(Squad.id == scope(actor, squad))


def _rows(item: Any) -> AnySelect:
    return select(
        item.c.position, item.c.kind, item.c.task, cast(func.row_to_json(item.table_valued()), Text).label("text")
    ).order_by(item.c.position)


def _behind(by: tuple[str, ...], position: int, limit: int, task: int | None, kinds: list[str] | None) -> AnySelect:
    found = select(*COLUMNS).where(Event.squad_id == Squad.id, Event.position > position)
    if "task" in by:
        found = found.where(Event.task == task)
    if "kinds" in by:
        found = found.where(Event.kind == any_(cast(kinds, ARRAY(Text))))
    return found.order_by(Event.position).limit(limit)
