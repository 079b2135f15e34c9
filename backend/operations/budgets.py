"""What hosted members may spend, and what they have spent."""

from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Numeric, case, cast, func, literal_column, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from agentsquad.schemas.budgets import BudgetNew
from agentsquad.schemas.steps import ASKING
from backend.core.errors import NotFound
from backend.core.jsons import dumps
from backend.core.statements import AnySelect
from backend.models import Attempt, Budget, Member, Squad, Step, Task
from backend.models.budgets import SQUAD
from backend.operations import access, documents, events
from backend.operations.access import Actor, SquadRef
from backend.operations.functions import call


async def set_squad(session: AsyncSession, actor: Actor, squad: SquadRef, new: BudgetNew) -> None:
    """Set what a squad may spend, and let go on what the old limits have blocked.

    Raises:
        NotFound: no such squad.
        Forbidden: the actor is not its owner.
    """
    await _set(session, actor, squad, SQUAD, new)


async def set_task(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, new: BudgetNew) -> None:
    """Set what a task, with all that is below it, may spend, and let go on what the old limits have blocked.

    Raises:
        NotFound: no such squad or task.
        Forbidden: the actor is not its owner.
    """
    await _set(session, actor, squad, number, new)


async def _set(session: AsyncSession, actor: Actor, squad: SquadRef, number: int, new: BudgetNew) -> None:
    entered = await access.enter(session, actor, squad)
    access.require_owner(entered)
    if number != SQUAD and await session.get(Task, (entered.squad_id, number)) is None:
        raise NotFound("Task not found")
    limits: dict[str, Any] = {
        "max_tokens": new.tokens,
        "max_cost": None if new.cost is None else Decimal(str(new.cost)),
        "max_calls": new.calls,
    }
    limits |= {"told_at": None, "waived": False}
    row = insert(Budget).values(squad_id=entered.squad_id, task_number=number, **limits)
    await session.execute(row.on_conflict_do_update(index_elements=["squad_id", "task_number"], set_=limits))
    kind, task = ("squad.budget_set", None) if number == SQUAD else ("task.budget_set", number)
    change: events.Change = {"kind": kind, "task": task, "data": new.model_dump()}
    await events.append(session, entered.squad_id, entered.actor, [change])
    values = {"squad": entered.squad_id, "actor": dumps(entered.actor), "budget": number}
    await call(session, "free_budget(:squad, CAST(:actor AS jsonb), :budget)", **values)


def reached(limit: dict[str, Any], model: str) -> dict[str, Any]:
    """Why a task stops, as it is told: by the limit that `reserve_step` has answered, for a call of a model."""
    name, whose = limit["limit"], "the squad's" if limit["budget"] == SQUAD else f"#{limit['budget']}'s"
    most, used, asked = (limit[each] and _said(name, limit[each]) for each in ("max", "used", "asked"))
    budget = f"{whose} budget of {most or 0}{'' if name == 'cost' else f' {name}'}"
    spent = (
        f"{used or 'nothing'} of it is spent or reserved. Raise it, or resume the task, which lets it go on past it."
    )
    if limit["asked"] is None:
        reason = f"nobody knows what {model} costs, so {budget} can't bound it; give the same budget a limit in tokens."
    elif name == "calls":
        reason = f"{budget} is used up: {spent}"
    else:
        reason = f"{budget} has no room for the next call of {model}, which may take {asked}: {spent}"
    return {"reason": reason, "budget": limit["budget"], "limit": limit["limit"], "max": limit["max"]}


def _said(limit: str, amount: float) -> str:
    return f"${amount:,.4f}".rstrip("0").rstrip(".") if limit == "cost" else f"{amount:,.0f}"


def squad(actor: Actor, squad: SquadRef) -> AnySelect:
    """What a squad has spent: as a whole, and each of its members."""
    item = (
        select(Member.name.label("member"), *_sums())
        .join(Member, (Member.squad_id == Step.squad_id) & (Member.id == Step.member_id))
        .where(Step.squad_id == Squad.id, _paid())
        .group_by(Member.name)
        .order_by(Member.name)
        .correlate(Squad)
        .lateral("item")
    )
    listed = documents.items(item).lateral("listed")
    whole = func.budget_json(Squad.id, SQUAD).label("squad")
    found = select(whole, listed.c["items"].label("members")).select_from(Squad).join(listed, true())
    return found.where(Squad.id == access.scope(actor, squad))


def task(actor: Actor, squad: SquadRef, number: int) -> AnySelect:
    """What a task has spent: with all that is below it, and each attempt at itself."""
    item = (
        select(Attempt.attempt, *_sums())
        .join(
            Step,
            (Step.squad_id == Attempt.squad_id)
            & (Step.task_number == Attempt.task_number)
            & (Step.attempt == Attempt.attempt)
            & _paid(),
        )
        .where(Attempt.squad_id == Task.squad_id, Attempt.task_number == Task.number)
        .group_by(Attempt.attempt)
        .order_by(Attempt.attempt)
        .correlate(Task)
        .lateral("item")
    )
    listed = documents.items(item).lateral("listed")
    whole = func.budget_json(Task.squad_id, Task.number).label("task")
    found = select(whole, listed.c["items"].label("attempts")).select_from(Task).join(listed, true())
    return found.where(Task.squad_id == access.scope(actor, squad), Task.number == number)


def _paid() -> ColumnElement[bool]:
    """The predicate of their partial index, which parameters would defeat."""
    asking: list[ColumnElement[str]] = [literal_column(f"'{kind}'") for kind in ASKING]
    started: ColumnElement[str] = literal_column("'started'")
    return Step.kind.in_(asking) & (Step.state != started)


def _sums() -> list[Any]:
    tokens = func.coalesce(Step.input_tokens + func.coalesce(Step.output_tokens, 0), Step.reserved_tokens)
    cost = func.coalesce(Step.cost, case((Step.input_tokens.is_(None), Step.reserved_cost)))
    return [
        func.count().label("calls"),
        func.sum(tokens).label("tokens"),
        func.coalesce(func.sum(cost), cast(0, Numeric)).label("cost"),
        func.count().filter(cost.is_(None)).label("unpriced"),
    ]
