"""Squads."""

from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.members import MemberNew, PauseNew
from agentsquad.schemas.squads import SquadEdit, SquadNew
from backend.core.database import on_constraint
from backend.core.errors import AlreadyExists, Forbidden, Invalid
from backend.core.statements import AnySelect
from backend.models import Member, Squad, User
from backend.operations import documents, events, members, templates
from backend.operations.access import Actor, Entered, SquadRef, enter, require_owner, scope, visible

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
    team = select(documents.array(member.table_valued()).label("members")).select_from(member).lateral("team")
    return (
        select(
            Squad.id,
            Squad.name,
            func.row_to_json(owner.table_valued()).label("owner"),
            Squad.lease_seconds,
            Squad.max_tries,
            Squad.paused_at,
            Squad.archived_at,
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


def page(actor: Actor, after: str, limit: int, archived: bool = False) -> AnySelect:
    """One's squads, each with its owner and its members, by name and id.

    Args:
        actor: who asks.
        after: where the last page ended, as `next` gave it; empty for the first.
        limit: how many at most.
        archived: those that are archived instead of those that aren't.
    """
    squad = (
        _with_members()
        .where(visible(actor, Squad.id.expression), Squad.archived_at.is_not(None) == archived, _key(Squad) > after)
        .order_by(_key(Squad))
        .limit(limit)
        .subquery("squad")
    )
    return documents.page(squad, _key(squad.c), limit)


def _key(squad: Any) -> ColumnElement[str]:
    return func.concat(squad.name, "/", squad.id)


async def create(session: AsyncSession, actor: Actor, new: SquadNew) -> UUID:
    """Make a squad; its maker owns it and is its first member, a person. Answers its id.

    Raises:
        Forbidden: a member token makes no squads.
        Invalid: no such template, or hosting without a template that has hosted members.
        AlreadyExists: one has a squad of that name.
    """
    if actor.user_id is None:
        raise Forbidden("Only an account may make a squad; use an API key.")
    team = _team(new)
    owner = await session.get_one(User, actor.user_id)
    fields = new.model_dump(exclude={"template", "hosting"})
    squad = Squad(owner_id=owner.id, **fields)
    session.add(squad)
    with name_taken(new.name):
        await session.flush()
    first = MemberNew(name=FIRST_MEMBER, kind="person", user=owner.email)
    joined = [await members.join(session, squad.id, first, owner.id)]
    joined += [await members.join(session, squad.id, member, None) for member in team]
    by: dict[str, str | None] = {"member": FIRST_MEMBER, "user": owner.email}
    made: events.Change = {"kind": "squad.created", "data": fields | {"id": squad.id, "owner": owner.id}}
    await events.append(session, squad.id, by, [made, *map(members.added, joined)])
    return squad.id


async def update(session: AsyncSession, actor: Actor, ref: SquadRef, edit: SquadEdit) -> UUID:
    """Change a squad's name, lease or tries; leases and tries that are given already stay. Answers its id.

    Raises:
        NotFound: no such squad.
        Forbidden: the actor is not its owner.
        AlreadyExists: the owner has a squad of that name.
    """
    entered, squad = await _led(session, actor, ref)
    given = edit.model_dump(exclude_unset=True)
    for field, value in given.items():
        setattr(squad, field, value)
    with name_taken(given.get("name")):
        await session.flush()
    if given:
        await _tell(session, entered, "squad.updated", given)
    return squad.id


async def pause(session: AsyncSession, actor: Actor, ref: SquadRef, given: PauseNew) -> UUID:
    """Let nobody in a squad claim anything; with `now` live attempts end, which uses no try. Answers its id.

    Raises:
        NotFound: no such squad.
        Forbidden: the actor is not its owner.
    """
    entered, squad = await _led(session, actor, ref)
    if squad.paused_at is None:
        squad.paused_at = await members.clock(session)
        await _tell(session, entered, "squad.paused", {"paused_at": squad.paused_at})
    if given.now:
        await members.let_go_all(session, entered, None, "paused")
    return squad.id


async def resume(session: AsyncSession, actor: Actor, ref: SquadRef) -> UUID:
    """Let a paused squad go on. Answers its id.

    Raises:
        NotFound: no such squad.
        Forbidden: the actor is not its owner.
    """
    entered, squad = await _led(session, actor, ref)
    if squad.paused_at is not None:
        squad.paused_at = None
        await _tell(session, entered, "squad.resumed", {"paused_at": None})
    return squad.id


async def archive(session: AsyncSession, actor: Actor, ref: SquadRef) -> UUID:
    """End a squad's work: live attempts end, and it takes no more writes. It can still be read. Answers its id.

    Raises:
        NotFound: no such squad.
        Forbidden: the actor is not its owner.
    """
    entered, squad = await _led(session, actor, ref, archived=True)
    if squad.archived_at is None:
        await members.let_go_all(session, entered, None, "archived")
        squad.archived_at = await members.clock(session)
        await _tell(session, entered, "squad.archived", {"archived_at": squad.archived_at})
    return squad.id


async def unarchive(session: AsyncSession, actor: Actor, ref: SquadRef) -> UUID:
    """Open an archived squad again. Answers its id.

    Raises:
        NotFound: no such squad.
        Forbidden: the actor is not its owner.
    """
    entered, squad = await _led(session, actor, ref, archived=True)
    if squad.archived_at is not None:
        squad.archived_at = None
        await _tell(session, entered, "squad.unarchived", {"archived_at": None})
    return squad.id


def _team(new: SquadNew) -> list[MemberNew]:
    """The template's members; the hosted ones are run as the squad says."""
    team = templates.get(new.template).members if new.template else []
    if new.hosting is None:
        return team
    if not any(member.kind == "hosted" for member in team):
        raise Invalid(
            "The server runs a template's hosted members; name a template that has some.", field="body.hosting"
        )
    hosted = {"hosting": new.hosting}
    return [member.model_copy(update=hosted) if member.kind == "hosted" else member for member in team]


async def _led(session: AsyncSession, actor: Actor, ref: SquadRef, *, archived: bool = False) -> tuple[Entered, Squad]:
    """The squad, locked, for its owner."""
    entered = await enter(session, actor, ref, archived=archived)
    require_owner(entered)
    return entered, await session.get_one(Squad, entered.squad_id)


async def _tell(session: AsyncSession, entered: Entered, kind: str, data: dict[str, Any]) -> None:
    await events.append(session, entered.squad_id, entered.actor, [{"kind": kind, "data": data}])


def name_taken(name: str | None) -> AbstractContextManager[None]:
    """A block in which a squad gets a name."""
    return on_constraint("uq_squads_owner_id_name", AlreadyExists(f"You have a squad {name} already."))
