"""The examples, each at work on a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agentsquad.client import AsyncClient
from agentsquad.schemas.squads import SquadNew
from agentsquad.schemas.tasks import Task, TaskNew
from examples import graph_worker, planner, worker
from tests.campaigns.crew import eventually
from tests.cli.conftest import client, home, server, start  # noqa: F401  (fixtures)


@pytest.fixture
async def owner(client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncClient]:  # noqa: F811  (a fixture)
    """The owner of a squad, which the examples find as a stranger's do."""
    async with client:
        await client.create_squad(SquadNew(name="webshop"))
        yield client


@asynccontextmanager
async def running(*mains: Any) -> AsyncIterator[None]:
    """Examples that run meanwhile."""
    tasks = [asyncio.create_task(main) for main in mains]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(error, asyncio.CancelledError) for error in ends), ends


async def ended(owner: AsyncClient, number: int) -> Task:
    """The task, as soon as it has ended."""

    async def has() -> bool:
        return (await owner.task(number)).status in {"done", "failed"}

    await eventually(has, 20)
    return await owner.task(number)


async def test_a_plain_worker_does_the_tasks_of_its_role(owner: AsyncClient) -> None:
    await owner.create_tasks([TaskNew(title="mend the cart", role="shouter")])
    async with running(worker.main()):
        task = await ended(owner, 1)
    assert (task.result, task.attempt) == ("MEND THE CART", 1)


class Counting:
    """A graph of one node."""

    async def ainvoke(self, state: dict[str, Any]) -> dict[str, Any]:
        return {"sum": sum(state["numbers"]), "of": state["title"]}


async def test_a_graph_is_a_member_and_what_it_raises_stops_nobody(owner: AsyncClient) -> None:
    await owner.create_tasks(
        [TaskNew(title="broken", role="counter"), TaskNew(title="whole", role="counter", input={"numbers": [1, 2]})]
    )
    async with running(graph_worker.work(Counting(), "tess", "counter")):
        broken, whole = await ended(owner, 1), await ended(owner, 2)
    assert broken.status == "failed"
    assert (await owner.attempts(1))[0].reason == "KeyError: 'numbers'"
    assert whole.result == {"sum": 3, "of": "whole"}


async def test_a_planner_splits_waits_and_puts_together(owner: AsyncClient) -> None:
    await owner.create_tasks([TaskNew(title="Review the cart", role="lead", input={"files": ["cart.py", "pay.py"]})])

    async def reviewer() -> None:
        async with AsyncClient(member="rob") as rob:
            async for claim in rob.work(role="reviewer"):
                await claim.complete(f"{claim.task.title}: {len(claim.dependencies)} read before")

    async with running(planner.main(), reviewer()):
        task = await ended(owner, 1)
    assert task.result == {
        "findings": {
            "Review cart.py": "Review cart.py: 0 read before",
            "Review pay.py": "Review pay.py: 0 read before",
            "Say what is worst": "Say what is worst: 2 read before",
        },
        "not done": [],
    }
    assert task.attempt == 2
