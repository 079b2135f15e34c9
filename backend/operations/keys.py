"""API keys and member tokens: how they look, whom they stand for, making and revoking them.

A secret is a prefix, 256 random bits and a checksum, so that a mistyped one is known without asking
the database, and a leaked one is found by a scanner. Only its SHA-256 is stored.
"""

import hashlib
import secrets
import zlib
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, literal, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.errors import Forbidden, NotFound
from backend.core.statements import AnySelect
from backend.models import ApiKey, Member, MemberToken, Task, User
from backend.operations import documents
from backend.operations.access import Actor


class Pass(NamedTuple):
    """A new key that ends by itself; the same holds for its text."""

    id: UUID
    secret: str
    expires_at: datetime


class Secret(NamedTuple):
    """A new key or token: the only answer that ever holds its text."""

    id: UUID
    secret: str


USER = "sqd_"
MEMBER = "sqm_"
BROWSER = "sqb_"
LINK = "sql_"


def new_secret(prefix: str) -> str:
    """Text of a new key or token."""
    body = prefix + secrets.token_urlsafe(32)
    return body + _checksum(body)


def digest(secret: str) -> bytes | None:
    """What is stored of a secret, or None if its checksum is wrong."""
    body, given = secret[:-8], secret[-8:]
    if not secret.isascii() or _checksum(body) != given:
        return None
    return hashlib.sha256(secret.encode()).digest()


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def user_of(digest: bytes, kind: str = "key") -> AnySelect:
    """The account that a key of this kind stands for: each opens its own door only."""
    return (
        select(User.id.label("user_id"), User.is_admin)
        .join(ApiKey, ApiKey.user_id == User.id)
        .where(ApiKey.digest == digest, ApiKey.kind == kind, is_good(), User.is_active)
    )


def is_good() -> ColumnElement[bool]:
    """Whether an account's key is neither revoked nor over."""
    lasts = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.statement_timestamp())
    return and_(ApiKey.revoked_at.is_(None), lasts)


def member_of(digest: bytes) -> AnySelect:
    """The member that a token stands for, and the attempt if it is one's: then only while that is live."""
    live = exists().where(
        Task.squad_id == MemberToken.squad_id,
        Task.number == MemberToken.task_number,
        Task.attempt == MemberToken.attempt,
        Task.holder_id == MemberToken.member_id,
        or_(Task.lease_ends_at.is_(None), Task.lease_ends_at > func.statement_timestamp()),
    )
    return (
        select(Member.squad_id, Member.id.label("member_id"), MemberToken.task_number, MemberToken.attempt)
        .join(
            MemberToken,
            (MemberToken.squad_id == Member.squad_id) & (MemberToken.member_id == Member.id),
        )
        .where(
            MemberToken.digest == digest,
            MemberToken.revoked_at.is_(None),
            Member.retired_at.is_(None),
            or_(MemberToken.task_number.is_(None), live),
        )
    )


def mine(actor: Actor) -> AnySelect:
    """One's own API keys, newest first."""
    return _of(ApiKey.user_id == actor.user_id)


def of(actor: Actor, user_id: str) -> AnySelect:
    """The API keys of an account, newest first: anybody's for an administrator, one's own for others."""
    listed = _of(ApiKey.user_id == User.id, User).lateral("listed")
    theirs = or_(User.id == actor.user_id, true() == actor.is_admin)
    return select(listed.c["items"]).select_from(User).where(User.id == user_id, theirs)


def _of(condition: ColumnElement[bool], *outer: Any) -> AnySelect:
    item = (
        select(ApiKey.id, ApiKey.name, ApiKey.kind, ApiKey.created_at, ApiKey.expires_at, ApiKey.revoked_at)
        .where(condition)
        .order_by(ApiKey.created_at.desc(), ApiKey.id)
        .correlate(*outer)
        .lateral("item")
    )
    return documents.items(item)


async def create(session: AsyncSession, actor: Actor, user_id: str | None, name: str) -> Secret:
    """Make an API key.

    Args:
        session: the transaction.
        actor: who asks.
        user_id: for whom; None for oneself. Somebody else's takes an administrator.
        name: what it is for.

    Raises:
        Forbidden: the actor is a member token, which gets no keys.
        NotFound: there is no such account, or it is not the actor's to give a key.
    """
    if actor.user_id is None:
        raise Forbidden("Only an account may have keys; use an API key.")
    user = await session.scalar(
        select(User).where(
            User.id == (user_id or actor.user_id), or_(User.id == actor.user_id, literal(actor.is_admin))
        )
    )
    if user is None:
        raise NotFound("User not found")
    secret = new_secret(USER)
    key = ApiKey(user_id=user.id, name=name, digest=digest(secret))
    session.add(key)
    await session.flush()
    return Secret(key.id, secret)


async def revoke(session: AsyncSession, actor: Actor, key_id: str) -> None:
    """End an API key of one's own, or anybody's for an administrator; it is dead everywhere within a second.

    Doing it twice is no error.

    Raises:
        NotFound: one has no such key.
    """
    theirs = or_(ApiKey.user_id == actor.user_id, literal(actor.is_admin))
    key = await session.scalar(select(ApiKey).where(ApiKey.id == key_id, theirs))
    if key is None:
        raise NotFound("Key not found")
    if key.revoked_at is None:
        key.revoked_at = await session.scalar(select(func.statement_timestamp()))
