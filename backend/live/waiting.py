"""Long polls: whoever waits until there is something to claim, or anything new. They hold no connection meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from backend.core.errors import Overloaded
from backend.live.feed import Channel, Feed
from backend.operations import members, tasks
from backend.operations.access import Actor, SquadRef

BUSY: Final = 0.1  # seconds until a waiting claim tries again when the database was busy
T = TypeVar("T")
CHECK: Final = 5.0  # seconds between two looks whether the caller is still there, and still known


@dataclass(frozen=True, slots=True)
class News:
    """What there is for a member.

    Args:
        work: whether it could claim something.
        unread: how many messages wait for it.
    """

    work: bool
    unread: int


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

    async def careful() -> str | None:
        """With a look first that locks nothing: for most who were woken nothing is left."""
        if await feed.database.reads.row(tasks.claimable, actor, squad) is None or not await there():
            return None
        return await attempt()

    claimed = await attempt()
    if claimed is not None or not seconds:
        return claimed
    return await _until(feed, await feed.require(actor, squad), careful, there, seconds, lambda log: log.freed)


async def news(feed: Feed, actor: Actor, squad: SquadRef, there: Callable[[], Awaitable[bool]], seconds: float) -> News:
    """What there is for a member, as soon as there is something; nothing, when the time is over or nobody waits.

    Raises:
        NotFound: no such squad.
    """

    async def look() -> News | None:
        me = await feed.database.reads.row(members.me, actor, squad)
        work = await feed.database.reads.row(tasks.claimable, actor, squad) is not None
        return News(work, me["unread"]) if me is not None and (work or me["unread"]) else None

    log = await feed.require(actor, squad)
    return await _until(feed, log, look, there, seconds, lambda log: max(log.freed, log.sent)) or News(False, 0)


async def _until(
    feed: Feed,
    log: Any,
    look: Callable[[], Awaitable[T | None]],
    there: Callable[[], Awaitable[bool]],
    seconds: float,
    moved: Callable[[Channel], int],
) -> T | None:
    """Look whenever the log has moved, until there is something. Those who wait look one after another."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    found: T | None = None
    async with feed.channel(log) as channel:
        seen = -1  # what was written before the following began may have been something
        while not feed.ending:
            if moved(channel) > seen:
                seen = moved(channel)
                try:
                    async with channel.claiming:
                        found = await look()
                except Overloaded:
                    seen = -1  # it may still be there
                    await asyncio.sleep(BUSY)
            if found is not None or loop.time() >= ends or not await there():
                return found
            checked = loop.time() + CHECK
            while moved(channel) <= seen and loop.time() < min(ends, checked) and not feed.ending:
                await channel.wait(min(ends, checked) - loop.time())
    return None
