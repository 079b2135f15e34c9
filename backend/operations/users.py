"""Accounts."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import func, or_, select, text, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from agentsquad.schemas.users import UserEdit, UserNew
from backend.core.database import on_constraint
from backend.core.errors import AlreadyExists, Conflict, Forbidden, NotFound
from backend.core.statements import AnySelect
from backend.models import Member, User
from backend.operations import documents, keys
from backend.operations.access import Actor, is_actor, require_admin

FIRST: Final = "owner@localhost"
COLUMNS = (User.id, User.email, User.name, User.is_active, User.is_admin, User.created_at, User.updated_at)


def get(actor: Actor, user_id: str) -> AnySelect:
    """An account: oneself, the people of one's squads, everybody for an administrator."""
    mine, theirs = aliased(Member), aliased(Member)
    colleague = (
        select(true())
        .join_from(mine, theirs, mine.squad_id == theirs.squad_id)
        .where(mine.retired_at.is_(None), is_actor(actor, mine), theirs.user_id == User.id)
        .exists()
    )
    return select(*COLUMNS).where(
        User.id == user_id, or_(User.id == actor.user_id, true() == actor.is_admin, colleague)
    )


def me(actor: Actor) -> AnySelect:
    """One's own account."""
    return select(*COLUMNS).where(User.id == actor.user_id)


def page(actor: Actor, after: str, limit: int) -> AnySelect:
    """All accounts, for an administrator; oneself for others. By address.

    Args:
        actor: who asks.
        after: the address that the last page ended with; empty for the first.
        limit: how many at most.
    """
    address = func.lower(User.email)
    item = (
        select(*COLUMNS)
        .where(or_(true() == actor.is_admin, User.id == actor.user_id), address > after)
        .order_by(address)
        .limit(limit)
        .subquery("item")
    )
    return documents.page(item, func.lower(item.c.email), limit)


async def first(session: AsyncSession, keep: Callable[[str], None]) -> None:
    """On an empty database, make the administrator with a key; elsewhere do nothing.

    Args:
        session: the transaction; on an empty database it locks out another server that starts at the same time.
        keep: called with the key's text before the commit, so that no crash leaves an administrator
            whose key nobody has.
    """
    somebody = select(select(User.id).exists())
    if await session.scalar(somebody):  # without the lock, for which a start would wait as long as an import runs
        return
    await session.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))
    if await session.scalar(somebody):
        return
    user = User(email=FIRST, name="Owner", is_admin=True)
    session.add(user)
    await session.flush()
    made = await keys.create(session, Actor(user_id=user.id, is_admin=True), None, "first")
    keep(made.secret)


async def recover(session: AsyncSession, keep: Callable[[str], None]) -> None:
    """Make the administrator a new key: the way back in for whoever owns the machine.

    Of several administrators the oldest account; a database without accounts gets its first one.

    Args:
        session: the transaction.
        keep: called with the key's text before the commit.

    Raises:
        Conflict: there are accounts, and none of them is an administrator's who may come in.
    """
    oldest = select(User).where(User.is_admin, User.is_active).order_by(User.created_at, User.id).limit(1)
    user = await session.scalar(oldest)
    if user is not None:
        made = await keys.create(session, Actor(user_id=user.id, is_admin=True), None, "recovered")
        keep(made.secret)
    elif await session.scalar(select(select(User.id).exists())):
        raise Conflict("Every administrator's account is deactivated; activate one in the table users.")
    else:
        await first(session, keep)


async def create(session: AsyncSession, actor: Actor, new: UserNew) -> User:
    """Make an account.

    Raises:
        Forbidden: the actor is no administrator.
        AlreadyExists: the address has an account, in whatever case it is written.
    """
    require_admin(actor)
    user = User(email=new.email, name=new.name)
    session.add(user)
    with on_constraint("uq_users_email", AlreadyExists(f"{new.email} has an account already.")):
        await session.flush()
    return user


async def update(session: AsyncSession, actor: Actor, user_id: str, edit: UserEdit) -> User:
    """Change an account: its name, or whether it opens anything.

    Raises:
        Forbidden: the actor is no administrator, or would lock itself out.
        NotFound: no such account.
    """
    require_admin(actor)
    user = await session.scalar(select(User).where(User.id == user_id).with_for_update())
    if user is None:
        raise NotFound("User not found")
    given = edit.model_dump(exclude_unset=True)
    if given.get("is_active") is False and user.id == actor.user_id:
        raise Forbidden("This is your own account; another administrator has to deactivate it.")
    for name, value in given.items():
        setattr(user, name, value)
    await session.flush()
    return user
