"""Tokens of an attempt: whatever a holder starts speaks as the member with one, for as long as the claim is live."""

from sqlalchemy import delete, exists
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.tasks import TokenOfAttemptNew
from backend.core.errors import Forbidden
from backend.models import MemberToken, Task
from backend.operations import access, keys
from backend.operations.access import Actor, SquadRef
from backend.operations.messages import require_live
from backend.operations.tasks.holding import attempt_of


async def create_token(
    session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: TokenOfAttemptNew
) -> keys.Secret:
    """Make a token that acts as the holder until the attempt ends or its lease is over. No event.

    Raises:
        NotFound: no such squad or task.
        Invalid: the claim is one of another task.
        LostClaim: the claim is no longer live, or somebody else's.
        Forbidden: the actor is a token of another attempt, which would outlive it by this one.
    """
    entered = await access.enter(session, actor, squad)
    if actor.claim not in (None, given.claim):
        raise Forbidden(f"This token is good for the claim {actor.claim} only; ask with the member's own.")
    attempt = attempt_of(number, given)
    await require_live(session, entered, given.claim)
    live = exists().where(
        Task.squad_id == MemberToken.squad_id,
        Task.number == MemberToken.task_number,
        Task.attempt == MemberToken.attempt,
        Task.holder_id == MemberToken.member_id,
    )
    # Those of its ended attempts are dead already; nobody needs to see them.
    await session.execute(
        delete(MemberToken).where(
            MemberToken.squad_id == entered.squad_id,
            MemberToken.member_id == entered.member_id,
            MemberToken.task_number.is_not(None),
            ~live,
        )
    )
    secret = keys.new_secret(keys.MEMBER)
    token = MemberToken(
        squad_id=entered.squad_id,
        member_id=entered.member_id,
        digest=keys.digest(secret),
        task_number=number,
        attempt=attempt,
    )
    session.add(token)
    await session.flush()
    return keys.Secret(token.id, secret)
