"""The journal of hosted members: each step is a row before it costs something, and whole as soon as it has ended.

Whoever writes a step gives its number, so that one that is sent again, because nobody saw the commit, is found.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import Table, case, func, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.fields import parts_of
from agentsquad.schemas.steps import ASKING
from backend.core.errors import LostClaim
from backend.core.jsons import dumps
from backend.core.statements import AnySelect
from backend.models import Event, Step, Task
from backend.operations import access, budgets, documents
from backend.operations.access import Actor, Entered, SquadRef
from backend.operations.functions import call
from backend.operations.messages import require_live

_STEP = cast("Table", Step.__table__)


@dataclass(frozen=True, slots=True)
class StepNew:
    """A step to write.

    Args:
        claim: the handle of the attempt.
        number: the next one of the task.
        kind: `prompt`, `answer`, `tool` or `summary`.
        name: of the model or the tool.
        content: what is known of it already.
        tokens: what it may cost.
        cost: the same in dollars; None: nobody knows.
    """

    claim: str
    number: int
    kind: str
    name: str = ""
    content: Any = None
    tokens: int = 0
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended.

    Args:
        content: all of it.
        state: `finished` or `failed`.
        input_tokens: what the model read; None: unknown.
        output_tokens: what it wrote; None: unknown.
        cost: dollars; None: unknown.
    """

    content: Any
    state: str = "finished"
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None

    @property
    def tokens(self) -> int | None:
        """All of them, if they are known."""
        return None if self.input_tokens is None else self.input_tokens + (self.output_tokens or 0)


def page(actor: Actor, squad: SquadRef, number: int, after: int, limit: int) -> AnySelect:
    """The steps of a task behind one of them, in order."""
    item = (
        select(Step.number, func.step_json(_STEP.table_valued()).label("step"))
        .where(Step.squad_id == Task.squad_id, Step.task_number == Task.number, Step.number > after)
        .order_by(Step.number)
        .limit(limit)
        .correlate(Task)
        .lateral("item")
    )
    items = documents.array(item.c.step).label("items")
    following = case((func.count() == limit, func.max(item.c.number))).label("next")
    return _listed(select(items, following).select_from(item), actor, squad, number)


def latest(actor: Actor, squad: SquadRef, number: int, before: int, limit: int) -> AnySelect:
    """The last steps of a task before one of them, in order; `next` is the first of these if there are earlier ones."""
    last = (
        select(Step.number, func.step_json(_STEP.table_valued()).label("step"))
        .where(Step.squad_id == Task.squad_id, Step.task_number == Task.number, Step.number < before)
        .order_by(Step.number.desc())
        .limit(limit)
        .correlate(Task)
        .subquery("last")
    )
    item = select(last).order_by(last.c.number).lateral("item")
    items = documents.array(item.c.step).label("items")
    first = func.min(item.c.number)
    following = case(((func.count() == limit) & (first > 1), first)).label("next")
    return _listed(select(items, following).select_from(item), actor, squad, number)


def ended(actor: Actor, squad: SquadRef, number: int) -> AnySelect:
    """The last step of a task that has ended, however; 0 if none has."""
    mine = (Step.squad_id == access.scope(actor, squad), Step.task_number == number, Step.state != "started")
    return select(func.coalesce(func.max(Step.number), 0).label("step")).where(*mine)


def quiet(actor: Actor, squad: SquadRef, number: int) -> AnySelect:
    """How many steps of a task have ended since its last event of another kind, and since the last part of it was made.

    That a part was made is an event of the part.
    """
    scope = access.scope(actor, squad)
    mine = (Event.squad_id == scope, Event.task == number)
    of_steps = Event.kind.like("step.%")
    last = select(func.coalesce(func.max(Event.position), 0)).where(*mine, ~of_steps).scalar_subquery()
    parts = select(Task.created_at).where(Task.squad_id == scope, Task.parent == number)
    made = parts.order_by(Task.number.desc()).limit(1).scalar_subquery()
    ended = (*mine, Event.kind == "step.ended", Event.position > last, func.coalesce(Event.at > made, true()))
    return select(func.count().label("steps")).where(*ended)


async def begin(session: AsyncSession, actor: Actor, squad: SquadRef, new: StepNew) -> bool | None:
    """Begin a step, and reserve what it may cost.

    If a budget has no room for it, the task is blocked instead: False. If only calls under way leave none for now,
    nothing happens: None.

    Raises:
        LostClaim: the claim is no longer live.
    """
    entered, step = await _entered(session, actor, squad, new)
    if step is not None:
        await require_live(session, entered, new.claim)  # what begins now may cost something, or have its effect
        return True
    if new.kind in ASKING:
        reached = await call(
            session,
            "reserve_step(:squad, :task, :tokens, CAST(:cost AS numeric))",
            squad=entered.squad_id, task=parts_of(new.claim)[0], tokens=new.tokens, cost=new.cost,
        )  # fmt: skip
        if reached is not None:
            limit = json.loads(reached)
            if limit["waits"]:
                return None
            await _block(session, entered, new.claim, "budget", budgets.reached(limit, new.name))
            return False
    await _write(session, entered, new, "started")
    return True


async def end(session: AsyncSession, actor: Actor, squad: SquadRef, claim: str, number: int, outcome: Outcome) -> bool:
    """End a step, and settle what it has cost. False: its attempt was over already, so that only the cost counts.

    Raises:
        NotFound: no such squad.
        LostClaim: the claim has no such step.
    """
    entered = await access.enter(session, actor, squad, archived=True)
    task, attempt = parts_of(claim)
    mine = (
        Step.squad_id == entered.squad_id,
        Step.task_number == task,
        Step.number == number,
        Step.attempt == attempt,
        Step.member_id == entered.member_id,
    )
    step = (await session.scalars(select(Step).where(*mine))).one_or_none()
    if step is None:
        raise LostClaim(f"Step {number} of #{task} is not one of {claim}.", task=task)
    if step.state in ("finished", "failed") or (step.state == "unknown" and step.input_tokens is not None):
        return step.state != "unknown"  # it was sent again
    live = await _is_live(session, entered, claim)
    if step.kind in ASKING and (outcome.tokens is not None or step.state == "started"):
        settle = func.settle_step if step.state == "started" else func.correct_step
        await session.execute(select(settle(_STEP.table_valued(), outcome.tokens, outcome.cost)).where(*mine))
    now = step.ended_at or await session.scalar(select(func.clock_timestamp()))
    step.state = outcome.state if live else "unknown"
    step.content = outcome.content
    step.input_tokens, step.output_tokens, step.cost = outcome.input_tokens, outcome.output_tokens, outcome.cost
    step.ended_at = now
    await session.flush()
    await _tell(session, entered, step, "step.ended")
    return live


async def record(session: AsyncSession, actor: Actor, squad: SquadRef, new: StepNew) -> None:
    """Write a step that is whole already.

    Raises:
        LostClaim: the claim is no longer live.
    """
    entered, step = await _entered(session, actor, squad, new)
    if step is None:
        await _write(session, entered, new, "finished")


async def act(
    session: AsyncSession,
    actor: Actor,
    squad: SquadRef,
    new: StepNew,
    effect: Callable[[AsyncSession], Awaitable[Any]],
) -> Any:
    """Write a step together with its effect: both, or neither. Answers the content.

    Args:
        session: the transaction.
        actor: who acts.
        squad: where.
        new: the step.
        effect: does it in this transaction, and answers what becomes the content.

    Raises:
        LostClaim: the claim is no longer live.
        SquadError: what the effect raises.
    """
    entered, step = await _entered(session, actor, squad, new)
    if step is not None:
        return step.content
    content = await effect(session)
    await _write(session, entered, replace(new, content=content), "finished")
    return content


async def stall(session: AsyncSession, actor: Actor, squad: SquadRef, claim: str, reason: str) -> None:
    """Block a task whose member gets nowhere, and tell the owner.

    Raises:
        LostClaim: the claim is no longer live.
    """
    entered = await access.enter(session, actor, squad)
    await _block(session, entered, claim, "stalled", {"reason": reason})


async def suspend(session: AsyncSession, actor: Actor, squad: SquadRef, claim: str, reason: str) -> None:
    """Pause a member that can't work as it is set up, give its task back, and tell the owner.

    Raises:
        LostClaim: the claim is no longer live.
    """
    entered = await access.enter(session, actor, squad)
    held = "hold_task(:squad, :member, :task, :attempt, '{in_progress,in_review}')"
    await call(session, f"suspend_holder({held}, :reason)", **_held(entered, claim), reason=reason)


def _listed(page: AnySelect, actor: Actor, squad: SquadRef, number: int) -> AnySelect:
    """A page of a task that the actor may see."""
    listed = page.lateral("listed")
    return (
        select(listed.c["items"], listed.c.next)
        .select_from(Task)
        .where(Task.squad_id == access.scope(actor, squad), Task.number == number)
    )


async def _entered(session: AsyncSession, actor: Actor, squad: SquadRef, new: StepNew) -> tuple[Entered, Step | None]:
    """The squad, locked, and the step, if this attempt has written it before.

    Raises:
        LostClaim: the claim is no longer live, or another attempt has written the step.
    """
    entered = await access.enter(session, actor, squad)
    task, attempt = parts_of(new.claim)
    step = await session.get(Step, (entered.squad_id, task, new.number), populate_existing=True)
    if step is None:
        await require_live(session, entered, new.claim)
    elif (step.attempt, step.member_id, step.kind) != (attempt, entered.member_id, new.kind):
        raise LostClaim(f"Step {new.number} of #{task} is another attempt's.", task=task)
    return entered, step


async def _is_live(session: AsyncSession, entered: Entered, claim: str) -> bool:
    lasts = Task.lease_ends_at.is_(None) | (Task.lease_ends_at > func.clock_timestamp())
    task, attempt = parts_of(claim)
    held = (Task.attempt == attempt) & (Task.holder_id == entered.member_id)
    mine = select(lasts & held).where(Task.squad_id == entered.squad_id, Task.number == task)
    return bool(await session.scalar(mine))


async def _write(session: AsyncSession, entered: Entered, new: StepNew, state: str) -> None:
    task, attempt = parts_of(new.claim)
    step = Step(
        squad_id=entered.squad_id,
        task_number=task,
        number=new.number,
        attempt=attempt,
        member_id=entered.member_id,
        kind=new.kind,
        state=state,
        name=new.name,
        content=new.content,
        reserved_tokens=new.tokens if new.kind in ASKING else 0,
        reserved_cost=new.cost,
        ended_at=None if state == "started" else await session.scalar(select(func.clock_timestamp())),
    )
    session.add(step)
    await session.flush()
    await _tell(session, entered, step, "step.started" if state == "started" else "step.ended")


async def _tell(session: AsyncSession, entered: Entered, step: Step, kind: str) -> None:
    """The event is made of the row: whatever reads the log and whatever reads the table see the same."""
    await call(
        session,
        "tell_step(:squad, :task, :number, CAST(:actor AS jsonb), :kind)",
        squad=entered.squad_id, task=step.task_number, number=step.number, actor=dumps(entered.actor), kind=kind,
    )  # fmt: skip


async def _block(session: AsyncSession, entered: Entered, claim: str, on: str, by: dict[str, Any]) -> None:
    arguments = "block_held(:squad, :member, :task, :attempt, :on, CAST(:by AS jsonb))"
    await call(session, arguments, **_held(entered, claim), on=on, by=dumps(by))


def _held(entered: Entered, claim: str) -> dict[str, Any]:
    """Whose attempt at which task it is, for a function of the board's."""
    task, attempt = parts_of(claim)
    return {"squad": entered.squad_id, "member": entered.member_id, "task": task, "attempt": attempt}
