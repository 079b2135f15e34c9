"""A member in five lines: it takes the tasks of its role and does them.

asq squad create webshop && asq task create "mend the cart" --role shouter
python examples/worker.py
"""

import asyncio

from agentsquad.client import AsyncClient


async def main() -> None:
    """Work, until cancelled."""
    async with AsyncClient(member="ada") as squad:
        async for claim in squad.work(role="shouter"):
            await claim.complete(claim.task.title.upper())


if __name__ == "__main__":
    asyncio.run(main())
