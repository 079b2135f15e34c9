"""Log-ins of browsers. A link is a key that works once and only to log in; a browser's key is its cookie."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas import limits
from backend.core.errors import Forbidden, Unauthenticated
from backend.models import ApiKey, User
from backend.operations import keys
from backend.operations.access import Actor

_LASTS: Final = {
    "link": (keys.LINK, timedelta(seconds=limits.LINK)),
    "browser": (keys.BROWSER, timedelta(days=limits.SESSION)),
}


async def create_link(session: AsyncSession, actor: Actor) -> keys.Pass:
    """Make a link that logs a browser in as the actor, once.

    Raises:
        Forbidden: the actor is a member token, which logs nobody in.
    """
    return await _mint(session, _account(actor), "link")


async def begin(session: AsyncSession, actor: Actor) -> keys.Pass:
    """Log a browser in.

    Raises:
        Forbidden: the actor is a member token.
    """
    return await _mint(session, _account(actor), "browser")


async def exchange(session: AsyncSession, link: str) -> keys.Pass:
    """Log a browser in by a link, which is gone then: of two who use it at once, one gets in.

    Raises:
        Unauthenticated: it was used, it is over, or there never was one.
    """
    digest = keys.digest(link)
    active = select(User.id).where(User.is_active)
    used = (
        delete(ApiKey)
        .where(ApiKey.digest == digest, ApiKey.kind == "link", keys.is_good(), ApiKey.user_id.in_(active))
        .returning(ApiKey.user_id)
    )
    user_id = await session.scalar(used) if digest is not None else None
    if user_id is None:
        raise Unauthenticated("This link was used already, or is too old; make a new one with `asq open`.")
    return await _mint(session, user_id, "browser")


async def end(session: AsyncSession, secret: str) -> None:
    """Log a browser out. Doing it twice is no error."""
    digest = keys.digest(secret)
    if digest is not None:
        this = (ApiKey.digest == digest, ApiKey.kind == "browser", ApiKey.revoked_at.is_(None))
        await session.execute(update(ApiKey).where(*this).values(revoked_at=func.statement_timestamp()))


def _account(actor: Actor) -> UUID:
    if actor.user_id is None:
        raise Forbidden("Only an account logs in; use an API key.")
    return actor.user_id


async def _mint(session: AsyncSession, user_id: UUID, kind: str) -> keys.Pass:
    """A new key of an account, whose keys that are over go."""
    await session.execute(
        delete(ApiKey).where(ApiKey.user_id == user_id, ApiKey.expires_at < func.statement_timestamp())
    )
    prefix, lasts = _LASTS[kind]
    secret = keys.new_secret(prefix)
    key = ApiKey(user_id=user_id, kind=kind, digest=keys.digest(secret), expires_at=func.statement_timestamp() + lasts)
    session.add(key)
    await session.flush()
    return keys.Pass(key.id, secret, await session.scalar(select(ApiKey.expires_at).where(ApiKey.id == key.id)))
