"""`asq usage` and `asq budget`: what hosted members have spent, and what they may."""

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from agentsquad import spending
from agentsquad.cli import words
from agentsquad.cli.running import Answer, verb
from agentsquad.client import AsyncClient, checked
from agentsquad.schemas.budgets import Budget, BudgetNew, Spent, TaskUsage, Usage

app = typer.Typer()
Task = Annotated[
    int | None, typer.Argument(metavar="TASK", min=1, help="Of this task and all that is below it, not of the squad.")
]


@verb(app, "usage")
async def usage(client: AsyncClient, number: Task = None) -> Answer:
    """What hosted members have spent, with the limits: in the squad, or for a task."""
    if number is None:
        whole = await client.usage()
        return Answer(whole, _table("the squad", whole.squad, [(each.member, each) for each in whole.members]))
    spent = await client.task_usage(number)
    return Answer(
        spent, _table(f"#{number}", spent.task, [(f"attempt {each.attempt}", each) for each in spent.attempts])
    )


@verb(app, "budget")
async def budget(
    client: AsyncClient,
    number: Task = None,
    cost: Annotated[float | None, typer.Option("--cost", min=0, help="At most so many dollars.")] = None,
    tokens: Annotated[int | None, typer.Option("--tokens", min=0, help="At most so many tokens.")] = None,
    calls: Annotated[int | None, typer.Option("--calls", min=0, help="At most so many calls of models.")] = None,
    none: Annotated[bool, typer.Option("--none", help="No limit but those that are given.")] = False,
) -> Answer:
    """What hosted members may spend, in the squad or for a task; options set it, and what was blocked goes on."""
    given = {"cost": cost, "tokens": tokens, "calls": calls}
    given = {limit: most for limit, most in given.items() if most is not None}
    if not given and not none:
        return _budget(number, await _spent(client, number))
    if not none:
        now = _of(await _spent(client, number))
        given = {"cost": now.max_cost, "tokens": now.max_tokens, "calls": now.max_calls} | given
    new = checked(BudgetNew, **given)
    return _budget(number, await (client.set_budget(new) if number is None else client.set_task_budget(number, new)))


async def _spent(client: AsyncClient, number: int | None) -> Usage | TaskUsage:
    return await (client.usage() if number is None else client.task_usage(number))


def _of(found: Usage | TaskUsage) -> Budget:
    return found.squad if isinstance(found, Usage) else found.task


def _budget(number: int | None, found: Usage | TaskUsage) -> Answer:
    now = _of(found)
    whose = "the squad" if number is None else f"#{number}"
    limits = spending.limits(now.max_cost, now.max_tokens, now.max_calls)
    calls, tokens, cost = spending.amounts(now)
    return Answer(found, Text(f"{whose} may spend: {limits}\nspent: {cost}; {tokens} tokens; {calls} calls"))


def _table(whose: str, whole: Budget, parts: Iterable[tuple[str, Spent]]) -> RenderableType:
    rows = [(whose, *spending.amounts(whole))]
    rows += [(name, f"{spent.calls:,}", f"{spent.tokens:,}", spending.cost(spent)) for name, spent in parts]
    return words.table(("", "calls", "tokens", "cost"), rows, nothing="")
