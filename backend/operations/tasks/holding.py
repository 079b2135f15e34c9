"""Claiming tasks, and what a holder does: everything carries the claim's handle, and only the live one counts."""

from collections.abc import Sequence
from typing import Any, Final, cast

from sqlalchemy import Table, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.fields import parts_of
from agentsquad.schemas.tasks import (
    AcceptNew,
    CompleteNew,
    FailNew,
    HandoffNew,
    HeartbeatNew,
    HeartbeatsNew,
    Held,
    RejectNew,
    ReleaseNew,
    WaitNew,
)
from backend.core.errors import Invalid
from backend.core.jsons import dumps
from backend.models import Attempt, Task
from backend.operations import access
from backend.operations.access import Actor, SquadRef
from backend.operations.functions import on_board
from backend.operations.tasks.reserving import overlapping

_TASK: Final = cast("Table", Task.__table__)


async def claim(
    session: AsyncSession,
    actor: Actor,
    squad: SquadRef,
    number: int | None = None,
    limit: int = 1,
    paths: Sequence[str] = (),
    lease_seconds: int | None = None,
) -> str | None:
    """Claim a task by its number, or the next ones that match. Answers `Claims` as JSON; None: nothing to do.

    Args:
        session: the transaction.
        actor: who acts.
        squad: in which squad.
        number: which task.
        limit: how many at most.
        paths: what to reserve until the attempt ends, as `schemas.fields.Globs` leaves them; then only one is claimed.
        lease_seconds: the attempt's own lease; None: the squad's. A person's claim has none.

    Raises:
        Invalid: several are wanted, with paths.
        NotFound: no such squad or task.
        WrongStatus: the task named is not free.
        Forbidden: it is for another member or role, or a review of one's own work.
        Paused: the task was named, and the member or the squad is paused.
        Reserved: there is something to claim, but a live attempt reserves what overlaps with the paths.
    """
    if paths and limit != 1:
        raise Invalid("With `paths` one task is claimed at once; leave out `limit`.", field="body.limit")
    taken = await overlapping(session, actor, squad, paths) if paths else None
    claimed: str | None = await on_board(
        session, "claim_tasks", actor, squad, ":number, :limit, :lease, :paths",
        number=number, limit=limit, lease=lease_seconds, paths=list(paths),
    )  # fmt: skip
    if claimed is not None and taken is not None:
        raise taken
    return claimed


async def heartbeat(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: HeartbeatNew) -> str:
    """Extend the lease of a live claim. Answers a `Heartbeat` as JSON.

    Raises:
        LostClaim: the claim is no longer live, or somebody else's; its `status` says whether it was cancelled.
    """
    return await _held(session, "heartbeat_task", actor, squad, number, given)


async def heartbeat_all(session: AsyncSession, actor: Actor, squad: SquadRef, given: HeartbeatsNew) -> str:
    """Extend the leases of several claims. Answers `Heartbeats` as JSON: each says for itself whether it is live."""
    beats: str = await on_board(session, "heartbeat_tasks", actor, squad, ":claims", claims=given.claims)
    return beats


async def renew(session: AsyncSession, actor: Actor, squad: SquadRef) -> int | None:
    """Note that a member was there, and extend the live claims of its own that have a lease of their own. No event.

    Whoever acts for one attempt only extends that one. Answers the seconds of the shortest lease, if there is one.

    Raises:
        NotFound: no such squad, or none that the actor is part of.
    """
    entered = await access.enter(session, actor, squad, lock=False, archived=True)
    claims = [tuple_(Task.number, Task.attempt) == tuple_(*parts_of(actor.claim))] if actor.claim else []
    held = (
        select(Task.number, Attempt.lease_seconds)
        .join(
            Attempt,
            (Attempt.squad_id == Task.squad_id)
            & (Attempt.task_number == Task.number)
            & (Attempt.attempt == Task.attempt)
            & Attempt.lease_seconds.is_not(None),
        )
        .where(
            Task.squad_id == entered.squad_id,
            Task.holder_id == entered.member_id,
            Task.lease_ends_at > func.clock_timestamp(),
            *claims,
        )
        .order_by(Task.number)  # as all others lock tasks
        .with_for_update(of=Task, key_share=True)
    )
    leases = {row.number: row.lease_seconds for row in await session.execute(held)}
    if leases:
        ends = func.renewed(_TASK.table_valued(), entered.lease_seconds)
        mine = update(Task).where(Task.squad_id == entered.squad_id, Task.number == func.any(list(leases)))
        await session.execute(mine.values(lease_ends_at=ends), execution_options={"synchronize_session": False})
    return min(leases.values(), default=None)


async def complete(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: CompleteNew) -> str:
    """Hand in the result of a live claim and free what waited for it. Answers the task as JSON.

    Raises:
        LostClaim: the claim is no longer live, or somebody else's.
        WrongStatus: it is a review, which is accepted or rejected.
    """
    result = dumps(given.result)
    return await _held(session, "complete_task", actor, squad, number, given, "CAST(:result AS jsonb)", result=result)


async def fail(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: FailNew) -> str:
    """End a live claim without a result. Answers the task as JSON.

    Raises:
        LostClaim: the claim is no longer live, or somebody else's.
        WrongStatus: it is a review.
    """
    values = {"reason": given.reason, "retry": given.retry}
    return await _held(session, "fail_task", actor, squad, number, given, ":reason", ":retry", **values)


async def release(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: ReleaseNew) -> str:
    """Give a live claim back, which uses no try. Answers the task as JSON.

    Raises:
        LostClaim: the claim is no longer live, or somebody else's.
    """
    return await _held(session, "release_task", actor, squad, number, given, ":reason", reason=given.reason)


async def handoff(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: HandoffNew) -> str:
    """Give a held task to a member or a role, with a note. Answers the task as JSON.

    Raises:
        LostClaim: the claim is no longer live, or somebody else's.
        WrongStatus: it is a review.
        Invalid: neither a member nor a role is named, or no such member.
    """
    if given.to is None and given.role is None:
        raise Invalid("Name a member in `to`, or a role in `role`.", field="body.to")
    values = {"to": given.to, "role": given.role, "note": given.note}
    return await _held(session, "handoff_task", actor, squad, number, given, ":to", ":role", ":note", **values)


async def wait_for_children(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: WaitNew) -> str:
    """Let a held task wait until its children have ended. Answers the task as JSON.

    Raises:
        LostClaim: the claim is no longer live, or somebody else's.
        WrongStatus: it is a review.
        Conflict: a child waits for the task itself.
    """
    return await _held(session, "wait_for_children", actor, squad, number, given)


async def accept(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: AcceptNew) -> str:
    """Accept the result under review: the task is done. Answers the task as JSON.

    Raises:
        LostClaim: the review is no longer live, or somebody else's.
        WrongStatus: the claim is no review.
    """
    return await _held(session, "review_task", actor, squad, number, given, "true", ":note", note=given.note)


async def reject(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, given: RejectNew) -> str:
    """Reject the result under review: the task is free for the member that did it. Answers the task as JSON.

    Raises:
        LostClaim: the review is no longer live, or somebody else's.
        WrongStatus: the claim is no review.
    """
    return await _held(session, "review_task", actor, squad, number, given, "false", ":note", note=given.note)


def attempt_of(number: int, given: Held) -> int:
    """The attempt at a task that a claim's handle names.

    Raises:
        Invalid: it names another task.
    """
    task, attempt = parts_of(given.claim)
    if task != number:
        raise Invalid(f"The claim {given.claim} is not one of #{number}.", field="body.claim")
    return attempt


async def _held(
    session: AsyncSession,
    function: str,
    actor: Actor,
    squad: SquadRef,
    number: int,
    given: Held,
    *more: str,
    **values: Any,
) -> str:
    attempt = attempt_of(number, given)
    held: str = await on_board(
        session, function, actor, squad, ", ".join([":number", ":attempt", *more]),
        number=number, attempt=attempt, **values,
    )  # fmt: skip
    return held
