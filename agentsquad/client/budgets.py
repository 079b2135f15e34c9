"""What hosted members did, what it has cost, and what it may cost."""

from agentsquad.client.wire import Wire
from agentsquad.schemas.budgets import BudgetNew, TaskUsage, Usage
from agentsquad.schemas.steps import Step, Steps


class BudgetCalls(Wire):
    """What is asked of steps and budgets."""

    async def steps(self, number: int) -> list[Step]:
        """What a task's hosted members did, step by step, over all attempts."""
        return [step async for step in self._items(Steps, await self._path("tasks", number, "steps"))]

    async def usage(self) -> Usage:
        """What the squad has spent and may spend, and what each of its members has spent."""
        return await self._ask(Usage, "GET", await self._path("usage"))

    async def task_usage(self, number: int) -> TaskUsage:
        """What a task has spent and may spend, with all that is below it, and what each attempt at it has spent."""
        return await self._ask(TaskUsage, "GET", await self._path("tasks", number, "usage"))

    async def set_budget(self, new: BudgetNew) -> Usage:
        """Set what the squad may spend; what isn't given is without a limit. What was blocked goes on."""
        return await self._ask(Usage, "PUT", await self._path("budget"), new)

    async def set_task_budget(self, number: int, new: BudgetNew) -> TaskUsage:
        """Set what a task may spend, with all that is below it, as for the squad."""
        return await self._ask(TaskUsage, "PUT", await self._path("tasks", number, "budget"), new)
