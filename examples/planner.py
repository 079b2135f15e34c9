"""A lead: it splits a task into parts with dependencies, waits for them, and puts together what they came to.

It is asked twice: when the task is new, and again when all its parts have ended, however they ended. Meanwhile it holds
nothing, and may be restarted; one that died while it planned finds the parts that it had made.

    asq task create "Review the cart" --role lead --input '{"files": ["cart.py", "pay.py"]}'
    python examples/planner.py
"""

import asyncio
from typing import Any

from agentsquad.client import AsyncClient, Held
from agentsquad.schemas.tasks import TaskNew

ENDED = ("done", "failed", "cancelled")


def plan(files: list[str]) -> list[TaskNew]:
    """A task for each file, and one that waits for all of them."""
    reads = [TaskNew(title=f"Review {file}", role="reviewer", key=f"f{n}") for n, file in enumerate(files)]
    keys = [f"f{n}" for n in range(len(files))]
    return [*reads, TaskNew(title="Say what is worst", role="reviewer", depends_on=list(keys))]


def together(claim: Held) -> dict[str, Any]:
    """What the parts came to."""
    failed = [part.title for part in claim.children if part.status != "done"]
    return {"findings": {part.title: part.result for part in claim.children}, "not done": failed}


async def main() -> None:
    """Plan, until cancelled."""
    async with AsyncClient(member="lea") as squad:
        async for claim in squad.work(role="lead"):
            if not claim.children:
                await claim.create_tasks(plan(claim.task.input["files"]))
            if claim.children and all(part.status in ENDED for part in claim.children):
                await claim.complete(together(claim))
            else:
                await claim.wait_for_children()


if __name__ == "__main__":
    asyncio.run(main())
