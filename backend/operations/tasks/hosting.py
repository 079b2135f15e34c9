"""Work for hosted members: who finds some, and claiming it for them."""

from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, Uuid, cast, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from backend.core.statements import AnySelect
from backend.models import Member, Squad, Task
from backend.operations import access
from backend.operations.access import Actor, SquadRef
from backend.operations.tasks.holding import claim


def waiting(squads: list[UUID] | None, at_once: int) -> AnySelect:
    """The hosted members that find something they may claim. Asked by the server itself, which runs them.

    Args:
        squads: where to look; None: everywhere.
        at_once: how many tasks those of one squad may hold.
    """
    where = cast(squads, ARRAY(Uuid))
    return (
        select(Member.squad_id, Member.id.label("member_id"))
        .join(Squad, Squad.id == Member.squad_id)
        .where(
            or_(where.is_(None), Member.squad_id == func.any(where)),
            Member.hosting.is_not(None),
            Member.retired_at.is_(None),
            Member.paused_at.is_(None),
            Squad.paused_at.is_(None),
            Squad.archived_at.is_(None),
            _held(Squad.id.expression).correlate(Squad).scalar_subquery() < at_once,
            func.has_work(Member.squad_id, Member.id, Member.role),
        )
    )


def live(squads: list[UUID], claims: list[str]) -> AnySelect:
    """Which of some claims are live. Asked by the server itself, of those that it holds for hosted members.

    Args:
        squads: for each claim its squad.
        claims: their handles.
    """
    given = func.unnest(cast(squads, ARRAY(Uuid)), cast(claims, ARRAY(Text))).table_valued(
        "squad_id", "claim", name="given"
    )
    held = given.render_derived()
    handle = func.concat(Task.number, "/", Task.attempt)
    return (
        select(held.c.squad_id, held.c.claim)
        .select_from(held)
        .join(
            Task,
            (Task.squad_id == held.c.squad_id)
            & (Task.number == cast(func.split_part(held.c.claim, "/", 1), Task.number.type))
            & (handle == held.c.claim)
            & Task.holder_id.is_not(None),
        )
    )


async def claim_hosted(session: AsyncSession, actor: Actor, squad: SquadRef, at_once: int) -> str | None:
    """Claim the next task for a hosted member, unless hosted members of its squad hold as many as they may.

    Raises:
        NotFound: no such squad.
    """
    entered = await access.enter(session, actor, squad)
    if int(await session.scalar(_held(entered.squad_id)) or 0) >= at_once:
        return None
    return await claim(session, actor, squad)


def _held(squad_id: UUID | ColumnElement[UUID]) -> Select[int]:
    """How many tasks the hosted members of a squad hold."""
    holder = aliased(Member)
    return (
        select(func.count())
        .select_from(Task)
        .join(holder, (holder.squad_id == Task.squad_id) & (holder.id == Task.holder_id))
        .where(
            Task.squad_id == squad_id,
            Task.holder_id.is_not(None),
            Task.lease_ends_at > func.clock_timestamp(),
            holder.kind == "hosted",
        )
    )
