"""Who acts, and what is theirs to see: every statement on squad data goes through `scope` or `enter`."""

from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import UUID

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    ScalarSelect,
    Text,
    and_,
    case,
    cast,
    exists,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from backend.core.errors import Forbidden
from backend.models import Member, Squad

ME: Final = "me"


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever a credential stands for: a user, or a member of one squad.

    Args:
        user_id: the account of an API key.
        member_id: the member of a member token.
        squad_id: that member's squad.
        is_admin: whether the account manages users. It opens no squad.
        acts_as: name of the external member for whom a squad's owner speaks.
        claim: the attempt of a token that is good for one only.
    """

    user_id: UUID | None = None
    member_id: UUID | None = None
    squad_id: UUID | None = None
    is_admin: bool = False
    acts_as: str | None = None
    claim: str | None = None


@dataclass(frozen=True, slots=True)
class SquadRef:
    """A squad as a caller names it: by id or by name."""

    id: UUID | None
    name: str | None

    @classmethod
    def parse(cls, given: str) -> Self:
        """Read an id, else take it as a name."""
        try:
            return cls(UUID(given), None)
        except ValueError:
            return cls(None, given)


@dataclass(frozen=True, slots=True)
class MemberRef:
    """A member of a squad as a caller names it: by id, by name, or as `me`."""

    id: UUID | None
    name: str | None

    @classmethod
    def parse(cls, given: str) -> Self:
        """Read an id, else take it as a name."""
        try:
            return cls(UUID(given), None)
        except ValueError:
            return cls(None, given)


@dataclass(frozen=True, slots=True)
class Entered:
    """A squad whose row this transaction has locked, and as whom the actor acts in it."""

    squad_id: UUID
    owner_id: UUID
    lease_seconds: int
    max_tries: int
    member_id: UUID
    member_name: str
    member_kind: str
    role: str
    actor: dict[str, str | None]
    is_owner: bool
    squad_paused: bool
    member_paused: bool


def is_actor(actor: Actor, member: type[Member]) -> ColumnElement[bool]:
    """Whether a row of members is the actor's own."""
    return or_(
        _equals(member.user_id, actor.user_id),
        and_(_equals(member.squad_id, actor.squad_id), _equals(member.id, actor.member_id)),
    )


def _equals(column: ColumnElement[Any] | InstrumentedAttribute[Any], value: object) -> ColumnElement[bool]:
    """SQL's own equality: None equals nothing, where `column == None` would find every NULL."""
    return column == (value if isinstance(value, ClauseElement) else literal(value, column.type))


def visible(actor: Actor, squad_id: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Whether the actor is part of the squad: the one condition behind every read."""
    return exists().where(Member.squad_id == squad_id, Member.retired_at.is_(None), is_actor(actor, Member))


def is_acting(actor: Actor, member: type[Member], squad: type[Squad]) -> ColumnElement[bool]:
    """Whether a row of members is whom the actor acts as: itself, or the external member that an owner speaks for."""
    return case(
        (cast(actor.acts_as, Text).is_(None), is_actor(actor, member)),
        else_=and_(
            _equals(member.name, actor.acts_as),
            or_(is_actor(actor, member), and_(_equals(squad.owner_id, actor.user_id), member.kind == "external")),
        ),
    )


def is_meant(actor: Actor, ref: MemberRef, member: type[Member], squad: type[Squad]) -> ColumnElement[bool]:
    """Whether a row of members is the one that is named; `me` is whom the actor acts as."""
    me = and_(_equals(literal(ME), ref.name), is_acting(actor, member, squad), member.retired_at.is_(None))
    return or_(_equals(member.id, ref.id), _equals(member.name, ref.name), me)


def scope(actor: Actor, squad: SquadRef) -> ScalarSelect[UUID]:
    """The id of the squad that is meant, if the actor is part of it; among namesakes one's own comes first."""
    return (
        select(Squad.id)
        .where(or_(Squad.id == squad.id, Squad.name == squad.name), visible(actor, Squad.id.expression))
        .order_by((Squad.owner_id == actor.user_id).desc().nulls_last(), Squad.created_at)
        .limit(1)
        .scalar_subquery()
    )


def arguments(actor: Actor, squad: SquadRef) -> dict[str, Any]:
    """The first six arguments of the board's SQL functions."""
    return {
        "user": actor.user_id,
        "member": actor.member_id,
        "home": actor.squad_id,
        "as": actor.acts_as,
        "squad": squad.id,
        "name": squad.name,
    }


ARGUMENTS = ":user, :member, :home, :as, :squad, :name"


async def enter(
    session: AsyncSession, actor: Actor, squad: SquadRef, *, lock: bool = True, archived: bool = False
) -> Entered:
    """Lock the squad: the first statement of every operation that writes an event.

    Args:
        session: the transaction.
        actor: who acts.
        squad: where.
        lock: False for what writes no event.
        archived: whether an archived squad can be entered too.

    Raises:
        NotFound: no such squad, or none that the actor is part of.
        Forbidden: the actor may not act as the member it names.
        Archived: the squad is.
    """
    row = (
        await session.execute(
            text(f"SELECT * FROM enter_squad({ARGUMENTS}, :lock, :archived)"),  # noqa: S608  (a constant)
            arguments(actor, squad) | {"lock": lock, "archived": archived},
        )
    ).one()
    return Entered(**row._mapping)  # noqa: SLF001  (its public name)


def require_owner(entered: Entered) -> None:
    """Only the owner manages a squad.

    Raises:
        Forbidden: somebody else does.
    """
    if not entered.is_owner:
        raise Forbidden("Only the squad's owner may do this.")


def require_admin(actor: Actor) -> None:
    """Only an administrator manages accounts.

    Raises:
        Forbidden: somebody else does.
    """
    if not actor.is_admin:
        raise Forbidden("Only an administrator may do this.")
