"""Squads."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.squads import SquadNew
from backend.core.database import on_constraint
from backend.core.errors import AlreadyExists, Forbidden
from backend.core.statements import AnySelect
from backend.models import Member, Squad, User
from backend.operations import events, members
from backend.operations.access import Actor, SquadRef, scope, visible

FIRST_MEMBER = "owner"


def _with_members() -> AnySelect:
    """Squads, each with its owner and its members, in one statement."""
    owner = select(User.id, User.email, User.name).where(User.id == Squad.owner_id).correlate(Squad).lateral("owner")
    member = (
        select(*members.COLUMNS)
        .where(Member.squad_id == Squad.id, Member.retired_at.is_(None))
        .order_by(Member.name)
        .correlate(Squad)
        .subquery("member")
    )
    array = func.coalesce(func.json_agg(member.table_valued()), func.json_build_array())
    team = select(array.label("members")).select_from(member).lateral("team")
    return (
        select(
            Squad.id,
            Squad.name,
            func.row_to_json(owner.table_valued()).label("owner"),
            Squad.lease_seconds,
            Squad.max_tries,
            Squad.created_at,
            Squad.updated_at,
            team.c.members,
        )
        .join(owner, owner.c.id == Squad.owner_id)
        .join(team, Squad.id == Squad.id)
    )


def get(actor: Actor, squad: SquadRef) -> AnySelect:
    """A squad with its owner and its members."""
    return _with_members().where(Squad.id == scope(actor, squad))


def page(actor: Actor, after: str, limit: int) -> AnySelect:
    """One's squads, each with its owner and its members, by name and id.

    Args:
        after: where the last page ended, as `next` gave it; empty for the first.
        limit: how many at most.
    """
    squad = (
        _with_members()
        .where(visible(actor, Squad.id.expression), Squad.archived_at.is_(None), _key(Squad) > after)
        .order_by(_key(Squad))
        .limit(limit)
        .subquery("squad")
    )
    return select(
        func.coalesce(func.json_agg(squad.table_valued()), func.json_build_array()).label("items"),
        case((func.count() == limit, func.max(_key(squad.c)))).label("next"),
    ).select_from(squad)


def _key(squad: Any) -> ColumnElement[str]:
    return func.concat(squad.name, "/", squad.id)


async def create(session: AsyncSession, actor: Actor, new: SquadNew) -> UUID:
    """Make a squad; its maker owns it and is its first member, a person. Answers its id.

    Raises:
        Forbidden: a member token makes no squads.
        AlreadyExists: one has a squad of that name.
    """
    if actor.user_id is None:
        raise Forbidden("Only an account may make a squad; use an API key.")
    owner = await session.get_one(User, actor.user_id)
    squad = Squad(owner_id=owner.id, **new.model_dump())
    session.add(squad)
    with on_constraint("uq_squads_owner_id_name", AlreadyExists(f"You have a squad {new.name} already.")):
        await session.flush()
    first = Member(squad_id=squad.id, name=FIRST_MEMBER, kind="person", user_id=owner.id)
    session.add(first)
    await session.flush()
    by: dict[str, str | None] = {"member": FIRST_MEMBER, "user": owner.email}
    await events.append(
        session, squad.id, by, [{"kind": "squad.created", "data": new.model_dump()}, members.added(first)]
    )
    return squad.id
