"""What hosted members have spent, and what they may, over HTTP."""

from fastapi import Response

from agentsquad.schemas.budgets import BudgetNew, TaskUsage, Usage
from backend.interfaces.http import answers
from backend.interfaces.http.dependencies import Db, InSquad, Number, Who, Writes
from backend.interfaces.http.errors import Router
from backend.operations import budgets

router = Router(prefix="/squads/{squad}", tags=["budgets"])


@router.get("/usage", response_model=Usage)
async def budgets_squad(database: Db, actor: Who, squad: InSquad) -> Response:
    """What a squad has spent and may spend: as a whole, and what each of its members has spent."""
    return answers.found(await database.reads.json(budgets.squad, actor, squad), answers.NO_SQUAD)


@router.put("/budget", response_model=Usage)
async def budgets_set_squad(writer: Writes, squad: InSquad, new: BudgetNew) -> Response:
    """Set what a squad may spend; what isn't given is without a limit. What was blocked goes on. The owner only."""
    return await writer.write(budgets.set_squad, squad, new, show=lambda _: budgets.squad(writer.actor, squad))


@router.get("/tasks/{number:digits}/usage", response_model=TaskUsage)
async def budgets_task(database: Db, actor: Who, squad: InSquad, number: Number) -> Response:
    """What a task has spent and may spend, with all that is below it, and what each attempt at itself has spent."""
    return answers.found(await database.reads.json(budgets.task, actor, squad, number), answers.NO_TASK)


@router.put("/tasks/{number:digits}/budget", response_model=TaskUsage)
async def budgets_set_task(writer: Writes, squad: InSquad, number: Number, new: BudgetNew) -> Response:
    """Set what a task may spend, with all that is below it, as for a squad. The owner only."""
    show = lambda _: budgets.task(writer.actor, squad, number)  # noqa: E731  (what was set is shown as it is now)
    return await writer.write(budgets.set_task, squad, number, new, show=show)
