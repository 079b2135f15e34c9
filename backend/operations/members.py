"""Members of a squad and their tokens."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.hosting import Hosting
from agentsquad.schemas.members import MemberEdit, MemberNew, PauseNew
from backend.core.database import on_constraint
from backend.core.errors import AlreadyExists, Forbidden, Invalid, NotFound
from backend.core.jsons import dumps
from backend.core.statements import AnySelect
from backend.models import Attempt, Member, MemberToken, Squad, Task, User
from backend.operations import documents, events, keys
from backend.operations.access import (
    ME,
    Actor,
    Entered,
    MemberRef,
    SquadRef,
    enter,
    is_acting,
    is_meant,
    require_owner,
    scope,
)
from backend.operations.functions import call

COLUMNS = (
    Member.id,
    Member.name,
    Member.kind,
    Member.role,
    Member.instructions,
    Member.hosting,
    Member.user_id.label("user"),
    Member.last_seen_at,
    Member.paused_at,
    Member.retired_at,
    Member.created_at,
)


def page(actor: Actor, squad: SquadRef, after: str, limit: int) -> AnySelect:
    """The members of a squad, by name, also those who were retired.

    Args:
        actor: who asks.
        squad: which squad.
        after: the name that the last page ended with; empty for the first.
        limit: how many at most.
    """
    item = (
        select(*COLUMNS)
        .where(Member.squad_id == Squad.id, Member.name > after)
        .order_by(Member.name)
        .limit(limit)
        .correlate(Squad)
        .lateral("item")
    )
    listed = documents.page(item, item.c.name, limit).lateral("listed")
    return select(listed.c["items"], listed.c.next).select_from(Squad).where(Squad.id == scope(actor, squad))


def one(actor: Actor, squad: SquadRef, member: MemberRef) -> AnySelect:
    """One member."""
    return (
        select(*COLUMNS)
        .join(Squad, Squad.id == Member.squad_id)
        .where(Member.squad_id == scope(actor, squad), is_meant(actor, member, Member, Squad))
    )


def me(actor: Actor, squad: SquadRef) -> AnySelect:
    """Oneself in a squad: how many messages wait, and what one holds."""
    claim = (
        select(func.concat(Task.number, "/", Task.attempt))
        .where(Task.squad_id == Member.squad_id, Task.holder_id == Member.id)
        .order_by(Task.number)
        .correlate(Member)
        .scalar_subquery()
    )
    return (
        select(
            *COLUMNS,
            func.coalesce((Squad.owner_id == actor.user_id) & (Member.user_id == actor.user_id), False).label(
                "is_owner"
            ),
            func.unread_messages(Member.squad_id, Member.id).label("unread"),
            func.array(claim).label("claims"),
        )
        .join(Squad, Squad.id == Member.squad_id)
        .where(Member.squad_id == scope(actor, squad), Member.retired_at.is_(None), is_acting(actor, Member, Squad))
    )


def team(actor: Actor, squad: SquadRef) -> AnySelect:
    """Who works in a squad, by name: how many messages wait for each, and what each holds since when."""
    held = (
        select(
            Task.number, Task.title, Task.status, Task.attempt, Attempt.started_at.label("since"), Task.lease_ends_at
        )
        .join(
            Attempt,
            (Attempt.squad_id == Task.squad_id)
            & (Attempt.task_number == Task.number)
            & (Attempt.attempt == Task.attempt),
        )
        .where(Task.squad_id == Member.squad_id, Task.holder_id == Member.id)
        .order_by(Task.number)
        .correlate(Member)
        .subquery("held")
    )
    holds = select(documents.array(held.table_valued())).select_from(held).scalar_subquery()
    item = (
        select(
            *COLUMNS,
            func.unread_messages(Member.squad_id, Member.id).label("unread"),
            holds.label("holds"),
        )
        .where(Member.squad_id == Squad.id, Member.retired_at.is_(None))
        .order_by(Member.name)
        .correlate(Squad)
        .lateral("item")
    )
    listed = documents.items(item).lateral("listed")
    return select(listed.c["items"]).select_from(Squad).where(Squad.id == scope(actor, squad))


async def add(session: AsyncSession, actor: Actor, squad: SquadRef, new: MemberNew) -> UUID:
    """Add a member. Answers its id.

    Raises:
        NotFound: no such squad.
        Forbidden: the actor is not its owner.
        Invalid: a person without an account, an account without a person, hosting without a hosted member, or the
            name `me`.
        AlreadyExists: the name is taken, or the person is a member already.
    """
    entered = await enter(session, actor, squad)
    require_owner(entered)
    _refuse_hosting(new.kind, new.hosting)
    if (new.kind == "person") != (new.user is not None):
        raise Invalid("A person needs the address of an account, and nobody else has one.", field="body.user")
    user_id = None
    if new.user is not None:
        user_id = await session.scalar(select(User.id).where(func.lower(User.email) == new.user.lower()))
        if user_id is None:
            raise Invalid(f"{new.user} has no account; an administrator makes one.", field="body.user")
    member = await join(session, entered.squad_id, new, user_id)
    await events.append(session, entered.squad_id, entered.actor, [added(member)])
    return member.id


async def join(session: AsyncSession, squad_id: UUID, new: MemberNew, user_id: UUID | None) -> Member:
    """Put a member into a squad that is locked, or new.

    Raises:
        Invalid: the name is `me`.
        AlreadyExists: the name is taken, or the person is a member already.
    """
    _refuse_me(new.name)
    member = Member(squad_id=squad_id, user_id=user_id, **new.model_dump(exclude={"user"}))
    session.add(member)
    with (
        on_constraint("uq_members_squad_id_name", AlreadyExists(f"There is a member {new.name} already.")),
        on_constraint("uq_members_squad_id_user_id", AlreadyExists(f"{new.user} is a member already.")),
    ):
        await session.flush()
    return member


def added(member: Member) -> events.Change:
    """The event that a member was added."""
    fields = ("id", "name", "kind", "role", "instructions", "hosting")
    data = {field: getattr(member, field) for field in fields} | {"user": member.user_id}
    return {"kind": "member.added", "data": data}


async def update(session: AsyncSession, actor: Actor, squad: SquadRef, member: str, edit: MemberEdit) -> UUID:
    """Change a member's name, role, instructions or how it is run. Answers its id.

    Raises:
        NotFound: no such squad or member.
        Forbidden: the actor is not the owner.
        Invalid: the new name is `me`, or there is hosting of a member that isn't hosted.
        AlreadyExists: the new name is taken.
    """
    entered, found = await _led(session, actor, squad, member)
    given = edit.model_dump(include=edit.model_fields_set)
    _refuse_me(given.get("name", ""))
    _refuse_hosting(found.kind, edit.hosting)
    before = found.name
    for field, value in given.items():
        setattr(found, field, value)
    with on_constraint("uq_members_squad_id_name", AlreadyExists(f"There is a member {given.get('name')} already.")):
        await session.flush()
    if given:
        await _tell(session, entered, "member.updated", found, {"before": before} | given)
    return found.id


async def see(session: AsyncSession, actor: Actor, squad: SquadRef) -> None:
    """Note that a member was there. No event.

    Raises:
        NotFound: no such squad, or none that the actor is part of.
    """
    await enter(session, actor, squad, lock=False, archived=True)


async def pause(session: AsyncSession, actor: Actor, squad: SquadRef, member: str, given: PauseNew) -> UUID:
    """Let a member claim nothing more; with `now` its live attempts end, which uses no try. Answers its id.

    Raises:
        NotFound: no such squad or member.
        Forbidden: the actor is not the owner.
    """
    entered, found = await _led(session, actor, squad, member)
    if found.paused_at is None:
        found.paused_at = await clock(session)
        await _tell(session, entered, "member.paused", found, {"paused_at": found.paused_at})
    if given.now:
        await let_go_all(session, entered, found.id, "paused")
    return found.id


async def resume(session: AsyncSession, actor: Actor, squad: SquadRef, member: str) -> UUID:
    """Let a paused member claim again. Answers its id.

    Raises:
        NotFound: no such squad or member.
        Forbidden: the actor is not the owner.
    """
    entered, found = await _led(session, actor, squad, member)
    if found.paused_at is not None:
        found.paused_at = None
        await _tell(session, entered, "member.resumed", found, {"paused_at": None})
    return found.id


async def retire(session: AsyncSession, actor: Actor, squad: SquadRef, member: str) -> UUID:
    """End a member: its attempts end, what is assigned to it is anybody's, its tokens are dead. Answers its id.

    Raises:
        NotFound: no such squad or member.
        Forbidden: the actor is not the owner, or the member is.
    """
    entered, found = await _led(session, actor, squad, member)
    if found.user_id == entered.owner_id:
        raise Forbidden("A squad's owner can't be retired; archive the squad instead.")
    found.retired_at = await clock(session)
    await session.flush()  # a member's row is locked before its tasks, as a heartbeat does
    await let_go_all(session, entered, found.id, "retired")
    values = {"squad": entered.squad_id, "actor": dumps(entered.actor), "member": found.id}
    await call(session, "unassign_tasks(:squad, CAST(:actor AS jsonb), :member)", **values)
    await _tell(session, entered, "member.retired", found, {"retired_at": found.retired_at})
    return found.id


async def let_go_all(session: AsyncSession, entered: Entered, member_id: UUID | None, reason: str) -> None:
    """End the live attempts of a member, or of all; it uses no try."""
    values = {"squad": entered.squad_id, "actor": dumps(entered.actor), "member": member_id}
    arguments = "let_go_all(:squad, CAST(:actor AS jsonb), CAST(:member AS uuid), :reason)"
    await call(session, arguments, **values, reason=reason)


def tokens(actor: Actor, squad: SquadRef, member: MemberRef) -> AnySelect:
    """Tokens of a member, without their secrets, newest first."""
    item = (
        select(MemberToken.id, MemberToken.name, MemberToken.created_at, MemberToken.revoked_at)
        .where(
            MemberToken.squad_id == Member.squad_id,
            MemberToken.member_id == Member.id,
            MemberToken.task_number.is_(None),
        )
        .order_by(MemberToken.created_at.desc(), MemberToken.id)
        .correlate(Member)
        .lateral("item")
    )
    listed = documents.items(item).lateral("listed")
    return (
        select(listed.c["items"])
        .select_from(Member)
        .join(Squad, Squad.id == Member.squad_id)
        .where(Member.squad_id == scope(actor, squad), is_meant(actor, member, Member, Squad))
    )


async def create_token(session: AsyncSession, actor: Actor, squad: SquadRef, member: str, name: str) -> keys.Secret:
    """Make a token that acts as a member.

    Args:
        session: the transaction.
        actor: who asks.
        squad: which squad.
        member: its id or its name.
        name: what it is for.

    Raises:
        NotFound: no such squad or member.
        Forbidden: the actor is not the owner, or the member is a person, who has keys of its own.
    """
    entered, found = await _led(session, actor, squad, member)
    if found.kind == "person":
        raise Forbidden(f"{found.name} is a person and comes with a key of its own.")
    secret = keys.new_secret(keys.MEMBER)
    token = MemberToken(squad_id=entered.squad_id, member_id=found.id, name=name, digest=keys.digest(secret))
    session.add(token)
    await session.flush()
    await _tell(session, entered, "member.token_created", found, {"token": token.id, "label": token.name})
    return keys.Secret(token.id, secret)


async def revoke_token(session: AsyncSession, actor: Actor, squad: SquadRef, member: str, token_id: str) -> None:
    """End a member token; it is dead everywhere within a second. Doing it twice is no error.

    Raises:
        NotFound: no such squad, member or token.
        Forbidden: the actor is not the owner.
    """
    entered, found = await _led(session, actor, squad, member)
    token = await session.scalar(
        select(MemberToken).where(
            MemberToken.squad_id == entered.squad_id, MemberToken.id == token_id, MemberToken.member_id == found.id
        )
    )
    if token is None:
        raise NotFound("Token not found")
    if token.revoked_at is None:
        token.revoked_at = await clock(session)
        await _tell(session, entered, "member.token_revoked", found, {"token": token.id, "label": token.name})


async def clock(session: AsyncSession) -> Any:
    """The database's time, after the lock was taken."""
    return await session.scalar(select(func.clock_timestamp()))


async def of_name(session: AsyncSession, entered: Entered, name: str, field: str) -> Member:
    """A member who is there, by the name that a caller gave in `field`.

    Raises:
        Invalid: there is none.
    """
    found = await _find(session, entered, name)
    if found is None:
        raise Invalid(f"There is no member {name}.", field=field)
    return found


async def _led(session: AsyncSession, actor: Actor, squad: SquadRef, member: str) -> tuple[Entered, Member]:
    """The squad, locked, and one of its members, for its owner."""
    entered = await enter(session, actor, squad)
    require_owner(entered)
    found = await _find(session, entered, member)
    if found is None:
        raise NotFound("Member not found")
    return entered, found


async def _find(session: AsyncSession, entered: Entered, member: str) -> Member | None:
    found: Member | None = await session.scalar(
        select(Member).where(
            Member.squad_id == entered.squad_id,
            or_(Member.id == member, Member.name == member),
            Member.retired_at.is_(None),
        )
    )
    return found


def _refuse_me(name: str) -> None:
    if name == ME:
        raise Invalid("The name me stands for whoever asks; choose another one.", field="body.name")


def _refuse_hosting(kind: str, hosting: Hosting | None) -> None:
    if hosting is not None and kind != "hosted":
        raise Invalid("The server runs hosted members only; add one of the kind hosted.", field="body.hosting")


async def _tell(session: AsyncSession, entered: Entered, kind: str, member: Member, data: dict[str, Any]) -> None:
    about = {"id": member.id, "member": member.name}
    await events.append(session, entered.squad_id, entered.actor, [{"kind": kind, "data": about | data}])
