"""A member around a graph: anything with `ainvoke(state)`, such as a compiled LangGraph graph.

The graph gets the task's input, with its title, description and the results that it builds on beside; what it answers
is the task's result. What it raises fails the task, with the error as the reason, and the worker goes on.

    python examples/graph_worker.py my_package.my_module:graph --as tess --role tester
"""

import argparse
import asyncio
import importlib
from typing import Any, Protocol

from agentsquad.client import AsyncClient, Held


class Graph(Protocol):
    """What is needed of a graph."""

    async def ainvoke(self, state: dict[str, Any]) -> Any:
        """Run it to its end."""


def state(claim: Held) -> dict[str, Any]:
    """What the graph begins with."""
    given = claim.task.input if isinstance(claim.task.input, dict) else {"input": claim.task.input}
    built_on = {done.number: done.result for done in claim.dependencies}
    return {"title": claim.task.title, "description": claim.task.description, "results": built_on, **given}


async def work(graph: Graph, member: str, role: str) -> None:
    """Let the graph do the tasks of a role, until cancelled."""
    async with AsyncClient(member=member) as squad:
        async for claim in squad.work(role=role):
            try:
                result = await graph.ainvoke(state(claim))
            except Exception as error:  # noqa: BLE001  (one task that can't be done stops no worker)
                await claim.fail(f"{type(error).__name__}: {error}")
            else:
                await claim.complete(result)


def main() -> None:
    """Read the command line and work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", help="module:name of the graph")
    parser.add_argument("--as", dest="member", required=True)
    parser.add_argument("--role", default="")
    given = parser.parse_args()
    module, _, name = given.graph.partition(":")
    asyncio.run(work(getattr(importlib.import_module(module), name), given.member, given.role))


if __name__ == "__main__":
    main()
