"""Accounts."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import func, or_, select, text, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from agentsquad.schemas.users import UserNew
from backend.core.database import on_constraint
from backend.core.errors import AlreadyExists
from backend.core.statements import AnySelect
from backend.models import Member, User
from backend.operations import keys
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


def everybody(actor: Actor) -> AnySelect:
    """All accounts, for an administrator; oneself for others."""
    item = (
        select(*COLUMNS)
        .where(or_(true() == actor.is_admin, User.id == actor.user_id))
        .order_by(User.email)
        .subquery("item")
    )
    return select(func.coalesce(func.json_agg(item.table_valued()), func.json_build_array()).label("items"))


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
    _, secret = await keys.create(session, Actor(user_id=user.id, is_admin=True), None, "first")
    keep(secret)


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
