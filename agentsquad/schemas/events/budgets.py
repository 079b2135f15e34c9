"""Events of budgets."""

from typing import Literal

from agentsquad.schemas.events.base import BaseEvent, Data


class Limits(Data):
    """The limits from now on; null: none."""

    tokens: int | None
    cost: float | None
    calls: int | None


class SquadBudgetSet(BaseEvent):
    """What the squad may spend was set."""

    kind: Literal["squad.budget_set"]
    data: Limits


class TaskBudgetSet(BaseEvent):
    """What a task, with all that is below it, may spend was set."""

    kind: Literal["task.budget_set"]
    data: Limits
