"""Long polls: a claim that waits until there is something to claim. It holds no connection while it waits."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from backend.core.errors import Overloaded
from backend.live.feed import Channel, Feed
from backend.operations import tasks
from backend.operations.access import Actor, SquadRef

BUSY: Final = 0.1  # seconds until a waiting claim tries again when the database was busy
CHECK: Final = 5.0  # seconds between two looks whether the caller is still there, and still known


async def claim(
    feed: Feed,
    actor: Actor,
    squad: SquadRef,
    attempt: Callable[[], Awaitable[str | None]],
    there: Callable[[], Awaitable[bool]],
    seconds: float,
) -> str | None:
    """Claim as soon as something can be claimed; None when the time is over, or nobody waits any more.

    Args:
        feed: the process's feed.
        actor: who claims.
        squad: where.
        attempt: tries to claim, and answers None if there is nothing.
        there: whether the caller is still there, and still known: nobody gets a task who has left.
        seconds: how long to wait at most.

    Raises:
        NotFound: no such squad.
    """
    claimed = await attempt()
    if claimed is not None or not seconds:
        return claimed
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    async with feed.channel(await feed.require(actor, squad)) as channel:
        seen = -1  # what was written between the first try and the following may have freed something
        while not feed.ending:
            if channel.freed > seen:
                seen = channel.freed
                try:
                    claimed = await _try(feed, channel, actor, squad, attempt, there)
                except Overloaded:
                    seen = -1  # it may still be there
                    await asyncio.sleep(BUSY)
            if claimed is not None or loop.time() >= ends or not await there():
                return claimed
            checked = loop.time() + CHECK
            while channel.freed <= seen and loop.time() < min(ends, checked) and not feed.ending:
                await channel.wait(min(ends, checked) - loop.time())
    return None


async def _try(
    feed: Feed,
    channel: Channel,
    actor: Actor,
    squad: SquadRef,
    attempt: Callable[[], Awaitable[str | None]],
    there: Callable[[], Awaitable[bool]],
) -> str | None:
    """One after another, each with a look first that locks nothing: for most who were woken nothing is left."""
    async with channel.claiming:
        if await feed.database.reads.row(tasks.claimable, actor, squad) is None or not await there():
            return None
        return await attempt()
