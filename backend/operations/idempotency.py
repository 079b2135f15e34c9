"""A request that comes again gets the first one's answer: the key is written in the operation's own transaction.

Kept for a day. Errors aren't remembered, nor a claim that found nothing; an answer that holds a secret isn't
stored. Whoever comes with the key of a request that is still under way waits for it.
"""

import dataclasses
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pydantic import BaseModel
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas import limits
from backend.core.errors import AlreadyCreated, IdempotencyMismatch
from backend.core.statements import AnySelect
from backend.models import IdempotencyKey
from backend.operations.access import Actor
from backend.operations.documents import document
from backend.operations.keys import Pass, Secret

_KEPT: Final = func.make_interval(0, 0, 0, 0, limits.KEPT)


async def once(
    session: AsyncSession,
    actor: Actor,
    key: str | None,
    operation: Callable[..., Awaitable[Any]],
    *args: Any,
    show: Callable[[Any], AnySelect] | None = None,
) -> Any:
    """Run a write operation, or answer what it answered before.

    Args:
        session: the transaction.
        actor: who acts; a key is the actor's own.
        key: the caller's name for this request; None if it has none.
        operation: a write operation, called with session, actor and `args`.
        args: its arguments.
        show: the read whose row is the answer, made from what the operation answers; None if that is the answer.

    Raises:
        IdempotencyMismatch: the key was another request's.
        AlreadyCreated: it was this one's, and the answer held a secret.
    """
    if actor.claim is not None:  # enter_squad holds it against the attempt, under the squad's lock
        await session.execute(select(func.set_config("agentsquad.claim", actor.claim, True)))
    if key is None:
        return await _answer(session, actor, operation, args, show)
    name = f"{operation.__module__}.{operation.__qualname__}"
    mine = {"actor_id": actor.user_id or actor.member_id, "key": key}
    fresh = {"operation": name, "digest": _digest(name, actor.acts_as, args), "answer": None, "made_id": None}
    row = insert(IdempotencyKey).values(**mine, **fresh)
    old = IdempotencyKey.created_at < func.statement_timestamp() - _KEPT
    taken = row.on_conflict_do_update(
        index_elements=["actor_id", "key"], set_=fresh | {"created_at": func.statement_timestamp()}, where=old
    )
    this = (IdempotencyKey.actor_id == mine["actor_id"], IdempotencyKey.key == key)
    if await session.scalar(taken.returning(IdempotencyKey.key)) is None:
        return _repeated((await session.scalars(select(IdempotencyKey).where(*this))).one(), fresh)
    answer = await _answer(session, actor, operation, args, show)
    match answer:
        case None:
            await session.execute(delete(IdempotencyKey).where(*this))
        case Secret() | Pass():
            await session.execute(update(IdempotencyKey).where(*this).values(made_id=answer.id))
        case _:
            await session.execute(update(IdempotencyKey).where(*this).values(answer=answer))
    return answer


async def forget(session: AsyncSession) -> None:
    """Delete what was kept for long enough."""
    await session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.created_at < text("statement_timestamp()") - _KEPT)
    )


async def _answer(
    session: AsyncSession,
    actor: Actor,
    operation: Callable[..., Awaitable[Any]],
    args: tuple[Any, ...],
    show: Callable[[Any], AnySelect] | None,
) -> Any:
    answer = await operation(session, actor, *args)
    return answer if show is None else await document(session, show(answer))


def _repeated(kept: IdempotencyKey, fresh: dict[str, Any]) -> str:
    if (kept.operation, kept.digest) != (fresh["operation"], fresh["digest"]):
        raise IdempotencyMismatch("This Idempotency-Key was another request's; use a new one for each request.")
    if kept.made_id is not None:
        raise AlreadyCreated("This was made before, and its secret is shown only once; revoke it and make another.",
            id=kept.made_id)  # fmt: skip
    return kept.answer or ""


def _digest(*parts: Any) -> bytes:
    return hashlib.sha256(json.dumps(parts, default=_plain, sort_keys=True).encode()).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return dict(value)  # pydantic's own way refuses what is nested deeply
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else str(value)
